"""Blueprints whose decorators read, validate and document a route in one line each."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar

import flask_smorest
from flask import Response
from marshmallow import Schema
from sqlalchemy import Connection

from domain.errors import NotFound
from web.once import once
from web.parsing import load_body, load_query
from web.permissions import narrow
from web.problems import REPLAYED, BadRequest

V = TypeVar("V", bound=Callable[..., Any])
View = Callable[..., Response]

POSITION_HEADER = {
    "schema": {"type": "integer"},
    "description": "Where it stands in the log; send it with a query that must have seen it.",
}
ETAG_HEADER = {
    "schema": {"type": "string"},
    "description": 'The version, as `If-Match` takes it: `"7"`.',
}
REPLAYED_HEADER = {
    "schema": {"type": "string", "enum": ["true"]},
    "description": "The answer is the one that this Idempotency-Key, or nonce, got before.",
}
LOCATION_HEADER = {"schema": {"type": "string"}, "description": "Where it can be looked up."}
QUERY_HEADERS = {"Turnstile-Position": POSITION_HEADER}
VERSION_HEADERS = {**QUERY_HEADERS, "ETag": ETAG_HEADER}
COMMAND_HEADERS = {**VERSION_HEADERS, REPLAYED[0]: REPLAYED_HEADER}

_COMMAND_PROBLEMS = {400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503}
_QUERY_PROBLEMS = {400, 401, 403, 429, 503}
_NEW_PARAMETERS = ("REQUEST_ID", "IDEMPOTENCY_KEY")
_COMMAND_PARAMETERS = (*_NEW_PARAMETERS, "IF_VERSION")
_QUERY_PARAMETERS = ("REQUEST_ID", "SEEN_POSITION")


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """Routes of one subject.

    The library's decorators are used for what they document; what they would do at run time
    is done here at a fraction of the price.
    """

    def __init__(self, name: str, url_prefix: str, description: str) -> None:
        super().__init__(name, __name__, url_prefix=url_prefix, description=description)

    def get(self, rule: str) -> Callable[[V], V]:
        """A query at that path."""

        def decorator(view: V) -> V:
            names_things = "<" in rule or getattr(view, "names_things", False)
            problems = _QUERY_PROBLEMS | ({404} if names_things else set())
            return self._route(rule, "GET", _QUERY_PARAMETERS, problems)(view)

        return decorator

    def makes(self, rule: str) -> Callable[[V], V]:
        """A command at that path that makes something, which has no version to match yet."""
        return self._route(rule, "POST", _NEW_PARAMETERS, _COMMAND_PROBLEMS)

    def post(self, rule: str) -> Callable[[V], V]:
        """A command at that path."""
        return self._route(rule, "POST", _COMMAND_PARAMETERS, _COMMAND_PROBLEMS)

    def patch(self, rule: str) -> Callable[[V], V]:
        """A change of what is at that path."""
        return self._route(rule, "PATCH", _COMMAND_PARAMETERS, _COMMAND_PROBLEMS)

    def asks_for_job(self, rule: str) -> Callable[[V], V]:
        """A job for the workers, which is asked for by a POST at that path."""
        return self._route(rule, "POST", _NEW_PARAMETERS, _COMMAND_PROBLEMS - {409, 412})

    def once(self, rule: str, *problems: int) -> Callable[[Callable[..., Any]], View]:
        """A change of accounts, sessions or keys, which the view prepares for a POST at that path
        and `web.once` makes."""
        route = self._route(rule, "POST", _NEW_PARAMETERS, {401, 409, 429, *problems})
        return lambda view: route(once(view))

    def plain(self, rule: str, method: str = "GET", *problems: int) -> Callable[[V], V]:
        """What is neither command nor query, such as what is about the process.

        Credentials are looked at wherever they are sent, and whoever has none is kept from
        asking too much: 401 and 429 are among its problems.
        """
        return self._route(rule, method, ("REQUEST_ID",), {401, 429, *problems})

    def takes(
        self, schema: type[Schema], example: Any = None
    ) -> Callable[[Callable[..., Any]], View]:
        """Give the view the JSON body as `schema` reads it, after its other arguments."""
        reader = schema()
        needed = any(field.required for field in reader.fields.values())
        document = super().arguments(schema, required=needed, example=example)

        def decorator(view: Callable[..., Any]) -> View:
            @wraps(view)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return view(*args, load_body(reader), **kwargs)

            wrapper._apidoc = document(view)._apidoc  # type: ignore[attr-defined]
            return wrapper

        return decorator

    def asks(
        self, schema: type[Schema], error_status: int = 422
    ) -> Callable[[Callable[..., Any]], View]:
        """Give the view the query string as `schema` reads it, after its connection; narrowed
        down to what the caller may see."""
        document = super().arguments(schema, location="query", error_status_code=error_status)
        reader = schema()

        def decorator(view: Callable[..., Any]) -> View:
            @wraps(view)
            def wrapper(connection: Connection, **ids: Any) -> Any:
                query = load_query(reader, error_status)
                try:
                    narrowed = narrow(connection, ids, query)
                except NotFound as error:
                    if error_status == 400:
                        raise BadRequest(error.detail) from error
                    raise
                return view(connection, narrowed, **ids)

            wrapper.narrows = True  # type: ignore[attr-defined]
            wrapper.names_things = any(  # type: ignore[attr-defined]
                name.endswith("_id") for name in reader.fields
            )
            wrapper._apidoc = document(view)._apidoc  # type: ignore[attr-defined]
            return wrapper

        return decorator

    def answers(
        self, status: int, schema: Any = None, headers: Any = None, **said: Any
    ) -> Callable[[V], V]:
        """Document what the view answers with."""
        document = super().response(status, schema, headers=headers, **said)

        def decorator(view: V) -> V:
            view._apidoc = document(view)._apidoc  # type: ignore[attr-defined]
            return view

        return decorator

    def creates(self, schema: type[Schema]) -> Callable[[V], V]:
        """Document what a command that makes something answers with."""
        return self.answers(201, schema, {**COMMAND_HEADERS, "Location": LOCATION_HEADER})

    def records(self, schema: type[Schema], status: int = 200) -> Callable[[V], V]:
        """Document what a command answers with."""
        return self.answers(status, schema, COMMAND_HEADERS)

    def shows_version(self, schema: type[Schema]) -> Callable[[V], V]:
        """Document what a query that tells the version answers with."""
        return self.answers(200, schema, VERSION_HEADERS)

    def shows(self, schema: Any, **said: Any) -> Callable[[V], V]:
        """Document what a query answers with."""
        return self.answers(200, schema, QUERY_HEADERS, **said)

    def _route(
        self, rule: str, method: str, parameters: Sequence[str], problems: set[int]
    ) -> Callable[[V], V]:
        def decorator(view: V) -> V:
            _document(view, parameters, problems)
            self.add_url_rule(rule, view.__name__, view, methods=[method])
            return view

        return decorator


def _document(view: Any, parameters: Sequence[str], problems: set[int]) -> None:
    """Add what all routes of a kind have in common to what is known of this one."""
    apidoc = view._apidoc = deepcopy(getattr(view, "_apidoc", {}))
    apidoc.setdefault("arguments", {}).setdefault("parameters", []).extend(parameters)
    responses = apidoc.setdefault("response", {}).setdefault("responses", {})
    for status in sorted(problems):
        responses.setdefault(status, []).append(HTTPStatus(status).name)
    apidoc.setdefault("manual_doc", {})["operationId"] = view.__name__
