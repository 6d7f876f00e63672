"""Applying batches of events to one read model, in the caller's transactions."""

from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import Connection, Table
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError, StatementError

from application.store.writes import Writes, writes_to
from domain.aggregate import Fact
from projections.engine.decoding import Undecoded
from projections.engine.parking import park, parked_streams
from projections.engine.positions import Standing
from projections.engine.read_model import Handler, ReadModel
from projections.engine.rows import REMEMBERED, Memory, Rehearsal, Rows

logger = structlog.get_logger(__name__)


class Refusal(NamedTuple):
    """An event that a handler or the database would not take, by its position, and why."""

    position: int
    error: str


class Target:
    """A read model as one process writes it, batch after batch.

    `tables` maps the model's tables to those written to, and `name` is that under which its
    position is kept and what cannot be taken is parked; both are the live ones unless given.

    What the process remembers of it is good for as long as nobody else moves it. So each batch
    begins with `stands_at`, and ends, once it is committed, with `moved_to`; a batch that fails
    in between leaves nothing to be trusted.
    """

    def __init__(
        self,
        model: ReadModel,
        tables: dict[Table, Table] | None = None,
        name: str | None = None,
        remembered: int = REMEMBERED,
    ) -> None:
        self.model = model
        self.name = name or model.name
        self.tables = tables or {table: table for table in model.tables}
        self._handlers: dict[type[Fact], Handler] = {**model.handlers, Undecoded: self._refuse}
        self._memory = Memory(self.tables, remembered)
        self._adding: set[type[Fact]] = set()
        self._waiting: dict[UUID, str] | None = None
        self._standing: Standing | None = None

    def stands_at(self, standing: Standing) -> None:
        """Where the read model was found, and locked; at position 0 its tables are empty."""
        if standing != self._standing:
            self._forget(empty=standing.position == 0)
        self._standing = None

    def moved_to(self, standing: Standing) -> None:
        """Where it stands now that what was taken is durable."""
        self._standing = standing

    def take(self, connection: Connection, facts: Sequence[Fact]) -> None:
        """Let the handlers take them, in order, and write the rows they changed.

        Where that fails, they are taken halve by halve, until the one is found that fails on
        its own: it is parked, with what follows on its stream.
        """
        mine = self._mine(facts)
        if mine:
            self._take_or_park(connection, mine)

    def take_together(self, writes: Writes, facts: Sequence[Fact]) -> None:
        """The same among the writes of others, where nothing is likely to fail.

        Any error is raised; the caller's transaction must then be given up, and each read model
        `take` the events by itself.
        """
        mine = self._mine(facts)
        if mine:
            self._take(writes, mine)

    def take_until_refused(self, connection: Connection, facts: Sequence[Fact]) -> Refusal | None:
        """Take what waited of one stream, in order, up to the first event that fails again."""
        mine = self._mine(facts)
        return self._first_refusal(connection, mine) if mine else None

    def _mine(self, facts: Sequence[Fact]) -> list[Fact]:
        handlers = self._handlers
        return [fact for fact in facts if type(fact) in handlers]

    def _take_or_park(self, connection: Connection, facts: Sequence[Fact]) -> None:
        error = self._failure(connection, facts, self._take)
        if error is None:
            return
        if len(facts) == 1:
            self._park(connection, facts[0], error)
        else:
            middle = len(facts) // 2
            self._take_or_park(connection, facts[:middle])
            self._take_or_park(connection, facts[middle:])

    def _first_refusal(self, connection: Connection, facts: Sequence[Fact]) -> Refusal | None:
        error = self._failure(connection, facts, self._handle)
        if error is None:
            return None
        if len(facts) == 1:
            return Refusal(facts[0].position, _reason(error))
        middle = len(facts) // 2
        return self._first_refusal(connection, facts[:middle]) or self._first_refusal(
            connection, facts[middle:]
        )

    def _failure(
        self,
        connection: Connection,
        facts: Sequence[Fact],
        take: Callable[[Writes, Sequence[Fact]], None],
    ) -> Exception | None:
        """Let `take` have them, all or none: what is wrong with them, or None once it is done."""
        try:
            with connection.begin_nested(), writes_to(connection) as writes:
                take(writes, facts)
        except Exception as error:
            self._forget()
            if not _lies_in_events(error):
                raise
            return error
        return None

    def _take(self, writes: Writes, facts: Sequence[Fact]) -> None:
        """Take them at once; those of streams that wait are parked behind them."""
        waiting = self._parked_streams(writes.connection)
        behind = [fact for fact in facts if fact.originator_id in waiting] if waiting else []
        if behind:
            facts = [fact for fact in facts if fact.originator_id not in waiting]
            reasons = [(fact, waiting[fact.originator_id]) for fact in behind]
            park(writes.connection, self.name, reasons)
        self._handle(writes, facts)

    def _handle(self, writes: Writes, facts: Sequence[Fact]) -> None:
        rows = Rows(writes.connection, self._memory)
        if not self._memory.complete:
            rows.prefetch(self._rehearse(writes.connection, facts))
        handlers = self._handlers
        for fact in facts:
            handlers[type(fact)](rows, fact)
        if rows.unforeseen:
            self._adding.clear()
        rows.write(writes)

    def _refuse(self, rows: Rows, event: Undecoded) -> None:
        if event.event_topic in self.model.topics:
            raise event.reason

    def _rehearse(self, connection: Connection, facts: Sequence[Fact]) -> Rehearsal:
        """Find out which rows are needed, also from now on by which kinds of events none are."""
        rehearsal = Rehearsal(connection, self._memory)
        handlers = self._handlers
        kinds = {type(fact) for fact in facts} - self._adding
        looking = set()
        for fact in facts:
            kind = type(fact)
            if kind not in kinds:
                continue
            looks = rehearsal.looks
            try:
                handlers[kind](rehearsal, fact)
            except Exception:  # it fails again, and loudly, when it counts
                looking.add(kind)
            if rehearsal.looks > looks:
                looking.add(kind)
        self._adding |= kinds - looking
        return rehearsal

    def _parked_streams(self, connection: Connection) -> dict[UUID, str]:
        if self._waiting is None:
            self._waiting = parked_streams(connection, self.name)
        return self._waiting

    def _park(self, connection: Connection, fact: Fact, error: Exception) -> None:
        reason = _reason(error)
        park(connection, self.name, [(fact, reason)])
        logger.error(
            "projection.parked",
            read_model=self.name,
            position=fact.position,
            stream_id=str(fact.originator_id),
            error=reason,
        )

    def _forget(self, *, empty: bool = False) -> None:
        self._memory.forget(empty=empty)
        self._waiting = None


def _lies_in_events(error: Exception) -> bool:
    """Whether the events cannot be taken, rather than the database or its tables be used."""
    if isinstance(error, SQLAlchemyError):
        return isinstance(error, DataError | IntegrityError) or type(error) is StatementError
    return True


def _reason(error: Exception) -> str:
    """What to tell operators: of the database's words the first line only, since what follows is
    the statement and the rows, with whatever names are in them."""
    said = str(getattr(error, "orig", None) or error)
    return f"{type(error).__name__}: {said.splitlines()[0] if said else ''}"
