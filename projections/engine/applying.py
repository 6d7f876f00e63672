"""Applying a batch of events to one read model, in the caller's transaction."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import Connection, Table
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError, StatementError

from domain.aggregate import Fact
from projections.engine.parking import park, parked_streams, parked_streams_of
from projections.engine.read_model import ReadModel
from projections.engine.rows import Rehearsal, Rows

logger = structlog.get_logger(__name__)


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
    cannot be taken or written is parked; both are the live ones unless given.
    """
    mine = [fact for fact in facts if type(fact) in model.handlers]
    target = _Target(connection, model, tables or live_tables(model), name or model.name)
    if mine:
        target.take(mine)


def apply_together(
    connection: Connection, models: Sequence[ReadModel], facts: Sequence[Fact]
) -> None:
    """The same for several live models, where nothing is likely to fail: no savepoints.

    Any error is raised; the caller's transaction must then be given up, and each model take
    the facts with `apply`.
    """
    waiting = parked_streams_of(connection, [model.name for model in models])
    for model in models:
        mine = [fact for fact in facts if type(fact) in model.handlers]
        if mine:
            target = _Target(connection, model, live_tables(model), model.name)
            target.take_together(mine, waiting[model.name])


@dataclass(frozen=True)
class _Target:
    """What a batch is applied to."""

    connection: Connection
    model: ReadModel
    tables: dict[Table, Table]
    name: str

    def take(self, facts: Sequence[Fact]) -> None:
        """Take them together; where that fails, halve by halve, until the one is found that
        fails on its own: it is parked, with what follows on its stream."""
        try:
            with self.connection.begin_nested():
                self.take_together(facts, parked_streams(self.connection, self.name))
        except Exception as error:
            if not _lies_in_events(error):
                raise
            if len(facts) == 1:
                self._park(facts[0], error)
            else:
                middle = len(facts) // 2
                self.take(facts[:middle])
                self.take(facts[middle:])

    def take_together(self, facts: Sequence[Fact], waiting: dict[UUID, str]) -> None:
        """Take them at once; those of streams that wait are parked behind them."""
        taken = [fact for fact in facts if fact.originator_id not in waiting]
        rows = Rows(self.connection, self.tables)
        rows.prefetch(self._rehearse(taken))
        for fact in taken:
            self.model.handlers[type(fact)](rows, fact)
        rows.write()
        behind = [fact for fact in facts if fact.originator_id in waiting]
        park(self.connection, self.name, [(fact, waiting[fact.originator_id]) for fact in behind])

    def _rehearse(self, facts: Sequence[Fact]) -> Rehearsal:
        rehearsal = Rehearsal(self.connection, self.tables)
        for fact in facts:
            with suppress(Exception):  # it fails again, and loudly, when it counts
                self.model.handlers[type(fact)](rehearsal, fact)
        return rehearsal

    def _park(self, fact: Fact, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        park(self.connection, self.name, [(fact, reason)])
        logger.error(
            "projection.parked",
            read_model=self.name,
            position=fact.position,
            stream_id=str(fact.originator_id),
            error=reason,
        )


def _lies_in_events(error: Exception) -> bool:
    """Whether the events cannot be taken, rather than the database or its tables be used."""
    if isinstance(error, SQLAlchemyError):
        return isinstance(error, DataError | IntegrityError) or type(error) is StatementError
    return True
