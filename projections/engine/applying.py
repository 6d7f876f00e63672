"""Applying a batch of events to one read model, in the caller's transaction."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import structlog
from sqlalchemy import Connection, Table

from domain.aggregate import Fact
from projections.engine.parking import park, parked_streams
from projections.engine.read_model import ReadModel
from projections.engine.rows import Rehearsal, Rows

logger = structlog.get_logger(__name__)


class _HandlerFailed(Exception):
    def __init__(self, fact: Fact, error: Exception) -> None:
        super().__init__(str(error))
        self.fact = fact
        self.error = f"{type(error).__name__}: {error}"


def live_tables(model: ReadModel) -> dict[Table, Table]:
    """The tables that queries read, each standing for itself."""
    return {table: table for table in model.tables}


def apply(
    connection: Connection,
    model: ReadModel,
    facts: Sequence[Fact],
    *,
    tables: dict[Table, Table] | None = None,
    name: str | None = None,
) -> None:
    """Let the model's handlers take `facts`, in order, and write the rows they changed.

    `tables` maps the model's tables to those written to, and `name` is that under which what
    a handler cannot take is parked; both are the live ones unless given.
    """
    name = name or model.name
    tables = tables or live_tables(model)
    mine = [fact for fact in facts if type(fact) in model.handlers]
    waiting = parked_streams(connection, name)
    while True:
        rows = Rows(connection, tables)
        try:
            parked = _handle_all(rows, Rehearsal(connection, tables), model, mine, waiting)
            break
        except _HandlerFailed as failure:
            _log(name, failure)
            waiting[failure.fact.originator_id] = failure.error
    rows.write()
    park(connection, name, parked)


def _handle_all(
    rows: Rows,
    rehearsal: Rehearsal,
    model: ReadModel,
    facts: Sequence[Fact],
    waiting: dict[UUID, str],
) -> list[tuple[Fact, str]]:
    """Run the handlers; the facts of streams that wait are returned instead, with the error."""
    parked = [
        (fact, waiting[fact.originator_id]) for fact in facts if fact.originator_id in waiting
    ]
    taken = [fact for fact in facts if fact.originator_id not in waiting]
    handlers = model.handlers
    for fact in taken:
        with suppress(Exception):  # it fails again, and loudly, when it counts
            handlers[type(fact)](rehearsal, fact)
    rows.prefetch(rehearsal)
    for fact in taken:
        try:
            handlers[type(fact)](rows, fact)
        except Exception as error:
            raise _HandlerFailed(fact, error) from error
    return parked


def _log(name: str, failure: _HandlerFailed) -> None:
    logger.error(
        "projection.parked",
        read_model=name,
        position=failure.fact.position,
        stream_id=str(failure.fact.originator_id),
        error=failure.error,
    )
