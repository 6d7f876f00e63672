"""The Flask application: a box office, and the routes that lead to it."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response

from application.composition import Turnstile
from web import caller, current, metering, openapi, permissions, problems, tokens
from web.encoding import MsgspecProvider
from web.routes import ROUTES, rules

LARGEST_BODY = 1024 * 1024


class App(Flask):
    """No view is a coroutine, so none needs to be looked at whether it is one."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def create_app(turnstile: Turnstile) -> Flask:
    """An application that serves `turnstile`."""
    app = App("web", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    # A path is taken as it is: the redirect to a tidier one would lead to whatever Host was sent.
    app.url_map.merge_slashes = False
    app.json = MsgspecProvider(app)
    app.extensions[current.EXTENSION] = turnstile
    tokens.sign_tokens(app, turnstile.settings)
    app.before_request(_before)
    app.after_request(_after)
    api = openapi.describe(app)
    problems.register_problems(app)
    for blueprint in ROUTES:
        api.register_blueprint(blueprint)
    app.register_blueprint(rules.blueprint)
    openapi.serve(app, api)
    permissions.require_rules(app)
    return app


def _before() -> None:
    metering.start()
    caller.identify()
    permissions.admit()


def _after(response: Response) -> Response:
    metering.stop(response)
    return caller.name_request(response)
