"""The OpenAPI document, generated from the schemas that validate, and the pages that show it."""

from hashlib import sha256
from http import HTTPStatus
from importlib.metadata import version
from importlib.resources import files
from secrets import token_urlsafe
from typing import Any

import flask_smorest
from flask import (
    Blueprint,
    Flask,
    Response,
    make_response,
    render_template,
    request,
    send_from_directory,
)
from flask_smorest.utils import prepare_response
from werkzeug.exceptions import HTTPException

from application.access.identity import ANONYMOUS, OF_KEYS
from web.encoding import JSON, encode
from web.permissions import RULES, Rule, callers
from web.problems import PROBLEM_JSON, http_problem
from web.schemas.common import Problem

DESCRIPTION = """
The ledger of a box office. Commands are appended to one log; everything else is computed from it.

**Commands** answer with `id`, `version` and `position`, the header `Turnstile-Position` and an
`ETag`. Send that tag as `If-Match` to act only on the version you saw.

**Asking again** is safe with an `Idempotency-Key`, on every `POST` and `PATCH`: for 24 hours the
same key and body get the stored answer, with `Idempotent-Replayed: true`, and the same key with
another body is refused with 422. A key belongs to its caller, method and path. Of accounts,
sessions and API keys (`/auth/…`, `/accounts`, `/api-keys`) only what took effect is stored, sealed;
a refusal is decided anew. Where nobody need be logged in (registration, log-in, refresh), a key
belongs to the body and, for another one, to the address that it comes from.

**Queries** are answered from read models, which follow the log within milliseconds. Send a
command's `Turnstile-Position` with a query, and it is answered from a state that has seen it.

**Callers** send `Authorization: Bearer` with the access token of a person (`/api/v1/auth/login`) or
with the API key of a gate or a service; a key may also come as `X-API-Key`. Each operation says for
whom it is; others are refused with 401 (nobody is known so) or 403 (known, but this is not theirs).

**Refusals** are problem documents (RFC 9457); `type` ends in the name of the rule that said no.
Ids are UUIDs, times RFC 3339 in UTC, money decimal strings beside a currency. Lists have `items`
and `next`, which is the `after` of the next page. Ignore members that you do not know: answers may
get more of them. Each answer has an `X-Request-ID`, and where asking is limited,
`RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (in seconds).
"""

PARAMETERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "IDEMPOTENCY_KEY": (
        "Idempotency-Key",
        "Makes the request safe to repeat for 24 hours: see *Asking again*.",
        {"type": "string", "pattern": "^[ -~]{1,255}$"},
    ),
    "IF_VERSION": (
        "If-Match",
        "The ETag of the version acted on; another one is refused with 412.",
        {"type": "string", "pattern": r'^(\*|(W/)?"[0-9]{1,9}")$', "examples": ['"7"']},
    ),
    "SEEN_POSITION": (
        "Turnstile-Position",
        "Answer from a state that has seen this position of the log.",
        {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    ),
    "REQUEST_ID": (
        "X-Request-ID",
        "Under which the request is logged and recorded: 1 to 128 visible ASCII characters; made"
        " unless given so.",
        {"type": "string"},
    ),
}

PAGES = {
    "swagger": "flask_openapi3_swagger",
    "redoc": "flask_openapi3_redoc",
}
"""Which installed package brings the scripts of which page."""

POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; connect-src 'self'; "
    "img-src 'self' data:; style-src 'self' 'unsafe-inline'; worker-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Both pages make their styles as they run; Redoc searches in a worker made of a blob."""

pages = Blueprint("pages", __name__, template_folder="templates")


class Api(flask_smorest.Api):  # type: ignore[misc]
    """The library's document with errors as they are: problem documents."""

    ERROR_SCHEMA = Problem

    def handle_http_exception(self, error: HTTPException) -> Response:
        return http_problem(error)

    def _register_responses(self) -> None:
        for status in HTTPStatus:
            if status >= 400:
                self._register_problem(status.name, status.phrase)
        self._register_problem("DEFAULT_ERROR", "Anything else that went wrong")

    def _register_problem(self, name: str, phrase: str) -> None:
        response = {"description": phrase, "schema": self.ERROR_SCHEMA}
        if name in ("SERVICE_UNAVAILABLE", "TOO_MANY_REQUESTS"):
            seconds = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
            response["headers"] = {"Retry-After": seconds}
        if name in ("CONFLICT", "NOT_FOUND"):
            where = "Where it stands in the log what was refused, if that is recorded."
            position = {"schema": {"type": "integer"}, "description": where}
            response["headers"] = {"Turnstile-Position": position}
        prepare_response(response, self.spec, PROBLEM_JSON)
        self.spec.components.response(name, response, lazy=True)


def describe(app: Flask) -> Api:
    """The API of `app`; its document is complete once all blueprints are registered."""
    api = Api(
        app,
        spec_kwargs={
            "title": "Turnstile",
            "version": version("turnstile"),
            "openapi_version": "3.1.0",
            "info": {"description": DESCRIPTION.strip()},
            "servers": [{"url": "/"}],
            "security": [{}, {"bearer": []}, {"key": []}],
        },
    )
    bearer = {"type": "http", "scheme": "bearer", "description": "An access token or an API key."}
    key = {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."}
    api.spec.components.security_scheme("bearer", bearer)
    api.spec.components.security_scheme("key", key)
    for reference, (name, said, schema) in PARAMETERS.items():
        parameter = {"name": name, "description": said, "required": False, "schema": schema}
        api.spec.components.parameter(reference, "header", parameter, lazy=True)
    return api


def serve(app: Flask, api: Api) -> None:
    """Serve the document as it is now, and its pages."""
    document = encode(_completed(api.spec.to_dict()))
    tag = sha256(document).hexdigest()[:32]

    def openapi() -> Response:
        response = Response(document, mimetype=JSON, headers={"Cache-Control": "no-cache"})
        response.set_etag(tag)
        response.make_conditional(request)
        return response

    app.add_url_rule("/openapi.json", "openapi", openapi)
    app.register_blueprint(pages)


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    """With who may ask for what, and with answers left open to members that come later: whoever
    reads them must ignore those (RFC 9457, section 3.2)."""
    rules = {endpoint.rpartition(".")[2]: rule for endpoint, rule in RULES.items()}
    operations = [
        operation
        for path in document["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    for operation in operations:
        rule = rules.get(operation["operationId"], ())  # `require_rules` refuses one without
        said = f"{operation.get('description', '')}\n\n{callers(rule)}".strip()
        operation |= {"security": _security(rule), "description": said}
    schemas = document["components"]["schemas"]
    del schemas["PaginationMetadata"]  # the library's own, which nothing here uses
    closed = _reached([operation.get("requestBody") for operation in operations], schemas)
    for name in schemas.keys() - closed:
        if schemas[name].get("additionalProperties") is False:
            del schemas[name]["additionalProperties"]
    return document


def _security(rule: Rule) -> list[dict[str, list[str]]]:
    roles = {grant.role for grant in rule}
    security: list[dict[str, list[str]]] = [{"bearer": []}]
    if roles.intersection(OF_KEYS):
        security.append({"key": []})
    return [{}, *security] if ANONYMOUS in roles else security


def _reached(part: Any, schemas: dict[str, Any]) -> set[str]:
    """The names of the schemas that `part` refers to, and that those refer to."""
    if isinstance(part, list):
        return set().union(*(_reached(inner, schemas) for inner in part))
    if not isinstance(part, dict):
        return set()
    name = str(part.get("$ref", "")).removeprefix("#/components/schemas/")
    named = {name} | _reached(schemas[name], schemas) if name in schemas else set()
    return named | _reached(list(part.values()), schemas)


@pages.get("/docs")
def docs() -> Response:
    """The document to try out."""
    return _page("swagger.html")


@pages.get("/redoc")
def redoc() -> Response:
    """The document to read."""
    return _page("redoc.html")


@pages.get("/docs/<any(swagger, redoc):page>/<path:name>")
def script(page: str, name: str) -> Response:
    """What the pages are made of."""
    folder = files(PAGES[page]) / "templates" / page
    return send_from_directory(str(folder), name, max_age=86_400)


def _page(template: str) -> Response:
    """A page that runs the scripts served here and its own one, which the nonce names."""
    nonce = token_urlsafe(16)
    response = make_response(render_template(template, nonce=nonce))
    response.headers["Content-Security-Policy"] = POLICY.format(nonce=nonce)
    return response
