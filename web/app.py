"""The Flask application: a box office, and the routes that lead to it."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response
from werkzeug.middleware.proxy_fix import ProxyFix

from application import tracing
from application.composition import Turnstile
from application.settings import Settings
from web import caller, cors, current, headers, metering, openapi, problems
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
    app.url_map.merge_slashes = False  # by redirects, to whatever host the request names
    app.json = MsgspecProvider(app)
    app.extensions[current.EXTENSION] = turnstile
    _answer_requests(app, turnstile.settings)
    api = openapi.describe(app)
    problems.register_problems(app)
    for blueprint in ROUTES:
        api.register_blueprint(blueprint)
    app.register_blueprint(rules.blueprint)
    openapi.serve(app, api)
    return app


def _answer_requests(app: Flask, settings: Settings) -> None:
    """What happens before and after every view."""
    stop, add_headers = metering.stopped_by(settings.access_log), headers.added_by(settings)

    def finish(response: Response) -> Response:
        response = add_headers(stop(response))
        tracing.end()
        return response

    if settings.trusted_proxies:
        proxies = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]
    app.before_request(metering.start)
    app.after_request(finish)
    if settings.cors_origins:
        cors.allow(app, settings.cors_origins)
    app.before_request(caller.identify)
