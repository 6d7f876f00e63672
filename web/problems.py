"""Every refusal as a problem document (RFC 9457); which kind gets which status is said here."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import structlog
from dramatiq.errors import BrokerError
from flask import Flask, Response, current_app
from redis import RedisError
from sqlalchemy.exc import DataError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, TooManyRequests

from application import tracing
from application.access.identity import Unauthorized
from application.access.passwords import Busy
from application.store.group_commit import StoreUnavailable
from application.store.mapper import Undecodable
from application.store.sealing import SealBroken
from domain.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, Stale
from projections.paging import BadCursor
from web.current import asked
from web.encoding import json_response

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 1
MOST_FIELD_ERRORS = 20
LONGEST_FIELD_NAME = 100
REPLAYED = ("Idempotent-Replayed", "true")

STATUS_OF_KIND: dict[type[DomainError], int] = {
    Invalid: 422,
    Unauthorized: 401,
    NotFound: 404,
    Forbidden: 403,
    Conflict: 409,
    Stale: 412,
}

HTTP_RULES = {
    400: ("bad-request", "The request cannot be read"),
    401: ("unauthorized", "Nobody is known by these credentials"),
    403: ("forbidden", "The caller may not do this"),
    404: ("not-found", "There is no such thing"),
    405: ("method-not-allowed", "This cannot be done here"),
    412: ("stale", "It has changed since you read it"),
    413: ("too-large", "The request is too large"),
    415: ("unsupported-media-type", "The request is not JSON"),
    422: ("invalid-fields", "Some fields are not valid"),
    429: ("too-many-requests", "Too many requests"),
    500: ("internal-error", "Something went wrong on our side"),
    503: ("unavailable", "Not available at the moment"),
}

UNAVAILABLE_RULES = {
    "not-caught-up": "The read models are behind",
    "replica-unavailable": "The read replica does not answer",
    "not-ready": "The process cannot do its work",
}

UNREADABLE = ("unreadable-event", "An event of the log cannot be read by this program")

logger = structlog.get_logger(__name__)


class BadRequest(Exception):
    """The request cannot be understood, for a reason that the caller can mend."""


class InvalidFields(Exception):
    """Fields of the body or the query are not valid; `messages` is marshmallow's account."""

    def __init__(self, messages: Any, status: int = 422) -> None:
        super().__init__(messages)
        self.messages = messages
        self.status = status


class NotCaughtUp(Exception):
    """The read models have not reached the position that the caller has seen."""


class ReplicaUnavailable(Exception):
    """The replica that queries are answered from does not answer."""


def problem(
    status: int,
    rule: str,
    title: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """A problem document; `members` are added to it."""
    document = {
        "type": f"/problems/{rule}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": tracing.request_id(),
    }
    response = json_response(document | members, status, PROBLEM_JSON)
    response.headers.extend(headers or {})
    return response


def register_problems(app: Flask) -> None:
    """Answer everything that goes wrong in `app` with a problem document."""
    app.register_error_handler(DomainError, _refused)
    app.register_error_handler(InvalidFields, _invalid_fields)
    app.register_error_handler(BadCursor, _bad_cursor)
    app.register_error_handler(BadRequest, _bad_request)
    app.register_error_handler(HTTPException, http_problem)
    app.register_error_handler(Busy, _busy)
    app.register_error_handler(NotCaughtUp, _not_caught_up)
    app.register_error_handler(ReplicaUnavailable, _replica_unavailable)
    for unavailable in (StoreUnavailable, OperationalError, PoolTimeout, RedisError, BrokerError):
        app.register_error_handler(unavailable, _unavailable)
    app.register_error_handler(StatementError, _unbindable)
    app.register_error_handler(Undecodable, _unreadable)
    app.register_error_handler(SealBroken, _unreadable)
    app.register_error_handler(Exception, _unexpected)


def http_problem(error: HTTPException) -> Response:
    """A problem for what Flask itself refuses; headers such as `Allow` stay."""
    status = error.code or 500
    rule, title = HTTP_RULES.get(status, (_kebab(error.name), error.name))
    detail = title if status == 500 else error.description or title
    kept = {
        name: value
        for name, value in error.get_headers()
        if name.lower() not in ("content-type", "content-length")
    }
    return problem(status, rule, title, detail, headers=kept)


def known_rules() -> dict[str, tuple[int, str]]:
    """Every rule that can end a problem's `type`, with its status and title."""
    named = {rule: (status, title) for status, (rule, title) in HTTP_RULES.items()}
    named |= {rule: (503, title) for rule, title in UNAVAILABLE_RULES.items()}
    named[UNREADABLE[0]] = (500, UNREADABLE[1])
    return named | {cls.rule(): (_status_of(cls), cls.title) for cls in DomainError.kinds()}


def _busy(error: Busy) -> Response:
    return http_problem(TooManyRequests(str(error), retry_after=RETRY_AFTER_SECONDS))


def _refused(error: DomainError) -> Response:
    status = _status_of(type(error))
    headers = {401: _BEARER}.get(status, {}) | (dict([REPLAYED]) if error.replayed else {})
    if error.position is not None:
        headers["Turnstile-Position"] = str(error.position)
    told: dict[str, Any] = {}
    if error.field:
        told["errors"] = [_field_error(error.field.split("."), error.detail)]
    return problem(status, error.rule(), error.title, error.detail, headers=headers, **told)


def _invalid_fields(error: InvalidFields) -> Response:
    flat = _flat(error.messages, ())
    errors = [_field_error(path, message) for path, message in islice(flat, MOST_FIELD_ERRORS)]
    first = errors[0]
    detail = f"{first['field']}: {first['message']}" if first["field"] else str(first["message"])
    rule, title = HTTP_RULES[error.status]
    return problem(error.status, rule, title, detail, errors=errors)


def _field_error(path: Sequence[str], message: str) -> dict[str, str]:
    pointer = "".join(f"/{_escaped(part)}" for part in path)
    return {"field": ".".join(path), "pointer": pointer, "message": message}


def _bad_cursor(error: BadCursor) -> Response:
    return _invalid_fields(InvalidFields({"after": [str(error)]}))


def _bad_request(error: BadRequest) -> Response:
    return problem(400, *HTTP_RULES[400], str(error))


def _not_caught_up(error: NotCaughtUp) -> Response:
    return _unavailable_for_now("not-caught-up", str(error))


def _replica_unavailable(error: ReplicaUnavailable) -> Response:
    return _unavailable_for_now("replica-unavailable", str(error))


def _unavailable_for_now(rule: str, detail: str) -> Response:
    return problem(503, rule, UNAVAILABLE_RULES[rule], detail, headers=_RETRY)


def _unavailable(error: Exception) -> Response:
    logger.error("web.unavailable", request_id=tracing.request_id(), error=type(error).__name__)
    again = _WITH_KEY if _takes_idempotency_key() else "Try again in a moment."
    return problem(503, *HTTP_RULES[503], again, headers=_RETRY)


def _takes_idempotency_key() -> bool:
    """Whether the route of the request documents that it does."""
    view = current_app.view_functions.get(asked().endpoint or "")
    arguments = getattr(view, "_apidoc", {}).get("arguments", {})
    return "IDEMPOTENCY_KEY" in arguments.get("parameters", ())


def _unbindable(error: StatementError) -> Response:
    """A value that no database can hold is bad input, such as a time before the year 1 in UTC."""
    if isinstance(error, DataError) or isinstance(error.orig, OverflowError):
        logger.warning("web.out_of_range", request_id=tracing.request_id(), path=asked().path)
        return problem(400, *HTTP_RULES[400], "A value is out of range.")
    return _unexpected(error)


def _unreadable(error: Undecodable | SealBroken) -> Response:
    """What is in the event, or is wrong with it, may not be for the caller."""
    _log_failure(error)
    if isinstance(error, SealBroken):
        return problem(500, *UNREADABLE, str(error))
    return problem(500, *UNREADABLE, f"{error.event} is damaged, or of a later version.")


def _unexpected(error: Exception) -> Response:
    _log_failure(error)
    return problem(500, *HTTP_RULES[500], "It was logged under the request id.")


def _log_failure(error: Exception) -> None:
    logger.error(
        "web.failed",
        request_id=tracing.request_id(),
        method=asked().method,
        path=asked().path,
        exc_info=error,
    )


def _flat(messages: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Marshmallow's nested account as (path, message) pairs."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            here = () if name == "_schema" else (str(name)[:LONGEST_FIELD_NAME],)
            yield from _flat(inner, path + here)
    elif isinstance(messages, list):
        for message in messages:
            yield from _flat(message, path)
    else:
        yield path, str(messages)


def _escaped(part: str) -> str:
    """As a token of a JSON Pointer (RFC 6901)."""
    return part.replace("~", "~0").replace("/", "~1")


def _kebab(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _status_of(cls: type[DomainError]) -> int:
    return next((status for kind, status in STATUS_OF_KIND.items() if issubclass(cls, kind)), 409)


_WITH_KEY = (
    "Whether the command took effect is not known; asking again with the same Idempotency-Key"
    " finds out."
)
_BEARER = {"WWW-Authenticate": "Bearer"}
_RETRY = {"Retry-After": str(RETRY_AFTER_SECONDS)}
