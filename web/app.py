"""The Flask application: a box office, and the routes that lead to it."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import MapAdapter

from application import tracing
from application.access.identity import Unauthorized
from application.composition import Turnstile
from application.settings import Settings
from web import (
    caller,
    current,
    headers,
    limits,
    metering,
    once,
    openapi,
    permissions,
    problems,
    tokens,
)
from web.cors import Cors
from web.current import noted
from web.encoding import MsgspecProvider
from web.routes import ROUTES, rules

LARGEST_BODY = 1024 * 1024


class _NoSessions(SessionInterface):
    """Who asks shows it with each request; nothing is kept in cookies."""

    def open_session(self, *_: Any) -> NullSession:
        return NullSession()


class App(Flask):
    """What each request goes through is written here; hooks would cost more than they do.

    Those of the limiter, the only extension that has any, are run for whom there is a limit.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__("web", static_folder=None)
        self.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
        self.url_map.merge_slashes = False  # by redirects, to whatever host the request names
        self.json = MsgspecProvider(self)
        self._meter = metering.stopped_by(settings.access_log)
        self._add_headers = headers.added_by(settings)
        self._cors = Cors(settings.cors_origins) if settings.cors_origins else None
        if settings.trusted_proxies:
            proxies = settings.trusted_proxies
            self.wsgi_app = ProxyFix(  # type: ignore[method-assign]
                self.wsgi_app, x_for=proxies, x_proto=proxies
            )

    session_interface = _NoSessions()

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Routes hang on the path alone, whatever host the request names."""
        if request is None:
            return None
        environ = request.environ
        return MapAdapter(
            self.url_map,
            environ.get("HTTP_HOST", ""),
            environ.get("SCRIPT_NAME", "/"),
            "",
            environ["wsgi.url_scheme"],
            request.path,
            request.method,
            environ.get("QUERY_STRING", ""),
        )

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No view is a coroutine, so none needs to be looked at whether it is one."""
        return func

    def preprocess_request(self) -> Response | None:
        metering.start()
        if self._cors is not None and self._cors.is_preflight():
            return self._cors.answer_preflight()
        caller.identify(limits.counting_wrong_keys)
        limited = noted().limited = limits.is_limited()
        if limited:
            super().preprocess_request()
        try:
            permissions.admit()
        except Unauthorized:
            kept = once.kept_for_who_left()
            if kept is None:
                raise
            return kept
        return None

    def process_response(self, response: Response) -> Response:
        if noted().get("limited"):
            response = super().process_response(response)
        if self._cors is not None:
            self._cors.add_headers(response)
        response = self._add_headers(self._meter(response))
        tracing.end()
        return response

    def do_teardown_request(self, *error: Any) -> None:
        if noted().get("limited"):
            super().do_teardown_request(*error)


def create_app(turnstile: Turnstile) -> Flask:
    """An application that serves `turnstile`."""
    app = App(turnstile.settings)
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
