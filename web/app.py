"""The Flask application: a box office, and the routes that lead to it."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, g

from application.composition import Turnstile
from web import caller, current, limits, metering, openapi, permissions, problems, tokens
from web.encoding import MsgspecProvider
from web.routes import ROUTES, rules

LARGEST_BODY = 1024 * 1024


class App(Flask):
    """What each request goes through is written here; hooks would cost more than they do.

    Those of the limiter, the only extension that has any, are run for whom there is a limit.
    """

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No view is a coroutine, so none needs to be looked at whether it is one."""
        return func

    def preprocess_request(self) -> None:
        metering.start()
        caller.identify()
        g.limited = limits.is_limited()
        if g.limited:
            super().preprocess_request()
        permissions.admit()

    def process_response(self, response: Response) -> Response:
        if g.get("limited"):
            response = super().process_response(response)
        metering.stop(response)
        return caller.name_request(response)

    def do_teardown_request(self, *error: Any) -> None:
        if g.get("limited"):
            super().do_teardown_request(*error)


def create_app(turnstile: Turnstile) -> Flask:
    """An application that serves `turnstile`."""
    app = App("web", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.json = MsgspecProvider(app)
    app.extensions[current.EXTENSION] = turnstile
    tokens.sign_tokens(app, turnstile.settings)
    api = openapi.describe(app)
    problems.register_problems(app)
    for blueprint in ROUTES:
        api.register_blueprint(blueprint)
    app.register_blueprint(rules.blueprint)
    openapi.serve(app, api)
    permissions.require_rules(app)
    limits.limit_requests(app, turnstile.settings)
    return app
