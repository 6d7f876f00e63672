"""Queries: a connection to read from, a state that is new enough, and an answer that says so."""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache, partial, wraps
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import structlog
from flask import Response
from prometheus_client import Counter
from sqlalchemy import Connection, Engine, func, or_, select
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from application.store import log, signals
from application.store.database import as_of_one_moment, asked_again, for_queries
from application.store.tables import tracking
from domain.errors import NotFound
from projections.engine.parking import VERSION_TAKEN
from projections.engine.positions import Standing
from projections.engine.read_model import ReadModel
from web.current import asked, noted, turnstile
from web.encoding import json_response
from web.permissions import permit_query
from web.problems import BadRequest, NotCaughtUp, ReplicaUnavailable

WAIT_SECONDS = 2.0
POLL_SECONDS = 0.25
REPLAY_SECONDS = 0.02
"""Bells come from the primary; the replica has replayed what they announce a moment later."""
ATTEMPTS = 3
CANCELLED = ("40001", "40P01")
"""SQLSTATEs of a query that stood in the way of replay: of a rebuild's swap, or of a vacuum."""

REPLICA_FAILURES = Counter("turnstile_replica_failures", "Queries that the replica failed")

T = TypeVar("T")
View = Callable[..., Response]

logger = structlog.get_logger(__name__)

_position_form = re.compile(r"[0-9]{1,18}").fullmatch


def reads(*models: ReadModel, together: bool = False) -> Callable[[Callable[..., Any]], View]:
    """Give the view a connection, once these models have seen what the caller has seen.

    A view that asks several things reads them `together`, as of one moment. It returns the answer,
    or what to answer with; its `version`, if it has one, becomes the `ETag`. Without a model it
    reads the log itself. Where there is a replica, it answers.
    """
    tables = _tables_of(models) if together else ()
    return _answering([model.name for model in models], lambda: turnstile().readers, tables)


def reads_version(model: ReadModel) -> Callable[[Callable[..., Any]], View]:
    """The same for a view that shows the one aggregate in its path, together with its `version`."""
    tables = _tables_of([model])
    return _answering([model.name], lambda: turnstile().readers, tables, with_version=True)


def reads_primary() -> Callable[[Callable[..., Any]], View]:
    """The same for what has no position in the log to wait for: jobs and leases."""
    return _answering([], lambda: turnstile().engine)


def found(value: T | None, kind: str, wanted: UUID | str) -> T:
    """`value`; raises `NotFound` for None."""
    if value is None:
        raise NotFound(f"There is no {kind} {wanted}.")
    return value


def _tables_of(models: Sequence[ReadModel]) -> tuple[str, ...]:
    return tuple(table.name for model in models for table in model.tables)


def _answering(
    names: list[str],
    engine_of: Callable[[], Engine],
    together: Sequence[str] = (),
    *,
    with_version: bool = False,
) -> Callable[[Callable[..., Any]], View]:
    def decorator(view: Callable[..., Any]) -> View:
        narrows = hasattr(view, "narrows")

        @wraps(view)
        def wrapper(**ids: Any) -> Response:
            engine, wanted = engine_of(), _wanted_position()

            def look() -> tuple[int, Any] | None:
                with _connection(engine, together) as connection:
                    aggregate_id = next(iter(ids.values())) if with_version else None
                    position, version = _seen(connection, names, aggregate_id)
                    if wanted is not None and position < wanted:
                        _require_room_to_wait(connection, names, wanted)
                        return None
                    if not narrows:
                        permit_query(connection, ids)
                    shown = view(connection, **ids)
                    return position, shown if version is None else {**shown, "version": version}

            ask = partial(_await, engine, names, look, wanted)
            of_replica = engine is not turnstile().engine
            position, shown = _of_replica(ask) if of_replica else asked_again(ask)
            return _respond(position, shown)

        return wrapper

    return decorator


def _connection(engine: Engine, together: Sequence[str]) -> AbstractContextManager[Connection]:
    return as_of_one_moment(engine, together) if together else for_queries(engine).connect()


class _Seen(NamedTuple):
    """Up to which position of the log an answer has come, and of which version it tells."""

    position: int
    version: int | None = None


def _seen(connection: Connection, names: list[str], aggregate_id: UUID | None) -> _Seen:
    """What the read models of those names have all seen; asked first, so that what is shown may be
    newer than what is told of it, but never older."""
    if not names:
        return _Seen(log.read_head(connection))
    if aggregate_id is None:
        rows = connection.execute(_standings(tuple(names))).all()
        noted().standings = tuple(Standing(*row) for row in rows)
        return _Seen(min(row.position for row in rows) if len(rows) == len(names) else 0)
    (name,) = names
    one = {"read_model": name, "stream_id": aggregate_id}
    position, version = connection.execute(_position_and_version(name), one).one()
    return _Seen(position or 0, version or 0)


def _respond(position: int, shown: Any) -> Response:
    response = shown if isinstance(shown, Response) else json_response(shown)
    response.headers["Turnstile-Position"] = str(position)
    if isinstance(shown, dict) and "version" in shown:
        response.headers["ETag"] = f'"{shown["version"]}"'
    return response


def _wanted_position() -> int | None:
    given = asked().environ.get("HTTP_TURNSTILE_POSITION")
    if given is None:
        return None
    if not _position_form(given):
        raise BadRequest("Turnstile-Position is the position that a command answered with.")
    return int(given)


def _require_room_to_wait(connection: Connection, names: list[str], wanted: int) -> None:
    """Half of the threads at most wait, so that the others can take commands, however far the read
    models are behind; and half of these for positions that may be made up."""
    most = max(1, turnstile().settings.web_threads // 2)
    waiting = turnstile().signals.bells[_bell(names)].waiting
    if waiting >= most or (waiting >= most // 2 and wanted > log.read_head(connection)):
        raise NotCaughtUp(f"Position {wanted} is not reached yet, and many wait; ask again.")


def _bell(names: list[str]) -> str:
    return signals.READ_MODELS if names else signals.LOG


def _await(engine: Engine, names: list[str], look: Callable[[], T | None], wanted: int | None) -> T:
    """What `look` finds, at once or when something has moved; raises `NotCaughtUp`."""
    poll = POLL_SECONDS if engine is turnstile().engine else REPLAY_SECONDS
    found = turnstile().signals.wait_for(_bell(names), look, WAIT_SECONDS, poll)
    if found is None:
        raise NotCaughtUp(f"Position {wanted} is not reached yet; ask again.")
    return found


@lru_cache(maxsize=64)
def _standings(names: tuple[str, ...]) -> Any:
    among = or_(*(tracking.c.name == name for name in names))
    query = select(tracking.c.position, tracking.c.moved_at).where(among)
    return query.order_by(tracking.c.name)


@lru_cache(maxsize=64)
def _position_and_version(name: str) -> Any:
    """Also where nothing has been tracked yet."""
    position = select(func.min(tracking.c.position)).where(tracking.c.name == name)
    return position.add_columns(VERSION_TAKEN)


def _of_replica(ask: Callable[[], T]) -> T:
    """What the replica answers, asked again when it cancelled the query or its session.

    A query changes nothing, so asking again is safe. Raises `ReplicaUnavailable`: the primary
    does not step in, since the load that was kept away from it would then stop it, too.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return ask()
        except (DBAPIError, PoolTimeout) as error:
            if not _is_outage(error):
                raise
            REPLICA_FAILURES.inc()
            logger.warning("replica.failed", attempt=attempt, error=str(error).split("\n")[0])
            if attempt == ATTEMPTS or not _is_passing(error):
                break
            time.sleep(attempt * REPLAY_SECONDS)  # in which replay gets past what it waited for
    raise ReplicaUnavailable(
        "Queries are answered by a replica, which does not answer; commands are taken as usual."
    )


def _is_outage(error: DBAPIError | PoolTimeout) -> bool:
    return not isinstance(error, DBAPIError) or (
        isinstance(error, OperationalError) or error.connection_invalidated
    )


def _is_passing(error: DBAPIError | PoolTimeout) -> bool:
    """Whether the next attempt, on another connection, is likely to get an answer."""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or getattr(error.orig, "pgcode", None) in CANCELLED
    )
