"""Queries: a connection to read from, a state that is new enough, and an answer that says so."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

from flask import Response, request
from sqlalchemy import Connection, Engine, select

from application.store import log, signals
from application.store.tables import tracking
from domain.errors import NotFound
from projections.engine.read_model import ReadModel
from web.current import turnstile
from web.encoding import json_response
from web.problems import BadRequest, NotCaughtUp

WAIT_SECONDS = 2.0

T = TypeVar("T")
View = Callable[..., Response]

_position_form = re.compile(r"[0-9]{1,18}").fullmatch


def reads(*models: ReadModel) -> Callable[[Callable[..., Any]], View]:
    """Give the view a connection, once these models have seen what the caller has seen.

    The view returns what to answer with; its `version`, if it has one, becomes the `ETag`.
    Without a model it reads the log itself.
    """
    names = [model.name for model in models]

    def decorator(view: Callable[..., Any]) -> View:
        @wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Response:
            engine = turnstile().engine
            _await_position(engine, names)
            with engine.connect() as connection:
                position = position_of(connection, names)
                shown = view(connection, *args, **kwargs)
            response = json_response(shown)
            response.headers["Turnstile-Position"] = str(position)
            if isinstance(shown, dict) and "version" in shown:
                response.headers["ETag"] = f'"{shown["version"]}"'
            return response

        return wrapper

    return decorator


def position_of(connection: Connection, names: list[str]) -> int:
    """Up to which position of the log the read models of those names have all come."""
    if not names:
        return log.read_head(connection)
    query = select(tracking.c.name, tracking.c.position).where(tracking.c.name.in_(names))
    reached: dict[str, int] = {row.name: row.position for row in connection.execute(query)}
    return min(reached.get(name, 0) for name in names)


def found(value: T | None, kind: str, wanted: UUID | str) -> T:
    """`value`; raises `NotFound` for None."""
    if value is None:
        raise NotFound(f"There is no {kind} {wanted}.")
    return value


def _await_position(engine: Engine, names: list[str]) -> None:
    given = request.environ.get("HTTP_TURNSTILE_POSITION")
    if given is None:
        return
    if not _position_form(given):
        raise BadRequest("Turnstile-Position is the position that a command answered with.")
    wanted = int(given)

    def reached() -> bool:
        with engine.connect() as connection:
            return position_of(connection, names) >= wanted

    bell = signals.READ_MODELS if names else signals.LOG
    if not turnstile().signals.wait_until(bell, reached, WAIT_SECONDS):
        raise NotCaughtUp(f"Position {wanted} is not reached yet; ask again.")
