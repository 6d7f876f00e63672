"""Rebuilding a read model from nothing, beside the live one, and swapping it in.

Shadow tables are filled from position 0 while queries and the live projector go on. They are
compared with the live ones, row by row, as both are at one position. The swap is one transaction:
it locks the live position, takes the last events, and renames.

A rebuild goes step by step, each a transaction or a look at the database, so that several read
models which handle the same events can take turns: each batch is then read and decoded once.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar
from uuid import uuid4

import structlog
from sqlalchemy import Connection, Index, MetaData, Table, delete, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.sql import quoted_name

from application.composition import Turnstile
from application.store import log
from application.store.database import (
    for_queries,
    is_postgres,
    let_others_write,
    snapshot,
    writing,
)
from application.store.signals import READ_MODELS
from application.store.tables import tracking
from application.store.writes import writes_to
from projections.engine import comparing, leases, parking
from projections.engine.applying import Target
from projections.engine.comparing import Comparison, TableComparison, compare_table
from projections.engine.positions import (
    Standing,
    ensure_tracked,
    lock_positions,
    move,
    positions,
)
from projections.engine.read_model import ReadModel
from projections.engine.reading import Reading

BATCH = 10_000
REMEMBERED = 8_000
"""Rows of each table that stay in memory; few, since several read models are built at a time."""
LEVEL_SECONDS = 60.0
SWAP_SECONDS = 60.0
SWAP_PAUSE = 0.2
LOCK_TIMEOUT_MS = 100
"""How long the swap waits for one table. It waits for the next while it holds the one before,
so all its waits together stay below PostgreSQL's `deadlock_timeout` (1 s), after which a query
that joins those tables would be the one to be cancelled."""
SUFFIX = "__new"
OLD = "__old"

Progress = Callable[[int, int], None]
"""Called with the position reached and the log's end."""

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work that pauses after each step; what it returns is what it came to."""
Outcomes = Generator[tuple[ReadModel, T | Exception]]
"""What became of each read model, as it is finished: an error concerns that one alone."""

logger = structlog.get_logger(__name__)


class RebuildFailed(Exception):
    """The rebuilt tables could not be compared or swapped in; the live ones are as they were."""


class RebuildRuns(Exception):
    """Another process is rebuilding this read model."""


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did: the model stands at `position`; its tables had `rows` rows just before
    the swap, which has no time to count."""

    name: str
    position: int
    rows: int
    comparison: Comparison


def rebuild(
    turnstile: Turnstile, model: ReadModel, progress: Progress = lambda done, total: None
) -> Rebuilt:
    """Build `model` again from the whole log and swap it in; queries go on meanwhile.

    It is compared with the live rows first. Where they differ it is swapped in all the same, since
    it is what the log says, and the comparison is kept and logged.

    Interrupted anywhere, it leaves the live tables alone, and starts again when called again.
    Raises `RebuildRuns` while another process rebuilds the same model.
    """
    return _at_once(_rebuilding(turnstile, _shadows(turnstile, [model])[0], progress))


def compare(
    turnstile: Turnstile, model: ReadModel, progress: Progress = lambda done, total: None
) -> Comparison:
    """The same without the swap: the live rows stay, and only the comparison is kept."""
    return _at_once(_comparing(turnstile, _shadows(turnstile, [model])[0], progress))


def rebuild_together(
    turnstile: Turnstile, progress: Mapping[ReadModel, Progress]
) -> Outcomes[Rebuilt]:
    """`rebuild` each of these read models, reading what they have in common once."""
    return _in_turns(
        {
            shadow.model: _rebuilding(turnstile, shadow, progress[shadow.model])
            for shadow in _shadows(turnstile, list(progress))
        }
    )


def compare_together(
    turnstile: Turnstile, progress: Mapping[ReadModel, Progress]
) -> Outcomes[Comparison]:
    """`compare` each of these read models, reading what they have in common once."""
    return _in_turns(
        {
            shadow.model: _comparing(turnstile, shadow, progress[shadow.model])
            for shadow in _shadows(turnstile, list(progress))
        }
    )


def _rebuilding(turnstile: Turnstile, shadow: "_Shadow", progress: Progress) -> Steps[Rebuilt]:
    with shadow.leased(turnstile):
        yield from _build(turnstile, shadow, progress)
        yield from shadow.vacuum(turnstile)
        comparison = _compare(turnstile, shadow)
        yield
        yield from _fill(turnstile, shadow, log.read_head, progress)
        return _swap(turnstile, shadow, comparison)


def _comparing(turnstile: Turnstile, shadow: "_Shadow", progress: Progress) -> Steps[Comparison]:
    with shadow.leased(turnstile):
        yield from _build(turnstile, shadow, progress)
        comparison = _compare(turnstile, shadow)
        with writing(turnstile.engine) as connection:
            shadow.keep_lease(connection)
            shadow.drop(connection)
        return comparison


def _build(turnstile: Turnstile, shadow: "_Shadow", progress: Progress) -> Steps[None]:
    """The tables built again as far as the live ones are."""
    shadow.prepare(turnstile)
    yield
    yield from _fill(turnstile, shadow, shadow.comparable, progress)
    yield from shadow.index(turnstile)
    yield from _fill(turnstile, shadow, shadow.comparable, progress)


def _at_once(work: Steps[T]) -> T:
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


def _in_turns(works: dict[ReadModel, Steps[T]]) -> Outcomes[T]:
    """Let each do a step after the other; those that are left when it is closed are given up."""
    going = dict(works)
    try:
        while going:
            for model, work in list(going.items()):
                outcome: T | Exception
                try:
                    next(work)
                    continue
                except StopIteration as end:
                    outcome = end.value
                except Exception as error:
                    outcome = error
                del going[model]
                yield model, outcome
    finally:
        for work in going.values():
            work.close()


def largest_first(connection: Connection, models: Sequence[ReadModel]) -> list[ReadModel]:
    """Read models by the rows they have now: who shares the work wants no large one left for
    the end, when nobody has anything to do beside it."""
    sizes = {
        model.name: sum(_count(connection, table) for table in model.tables) for model in models
    }
    return sorted(models, key=lambda model: -sizes[model.name])


def _fill(
    turnstile: Turnstile,
    shadow: "_Shadow",
    goal_of: Callable[[Connection], int],
    progress: Progress,
) -> Steps[None]:
    """Take everything up to a goal, which moves on while the log does."""
    goal = shadow.position + 1
    while shadow.position < goal:
        started = time.monotonic()
        with writing(turnstile.engine) as connection:
            goal, head = goal_of(connection), log.read_head(connection)
            end = max(shadow.position, min(goal, shadow.position + BATCH))
            shadow.keep_lease(connection)
            standing = shadow.take(connection, end, then_to=goal)
        shadow.moved_to(standing)
        progress(end, head)
        let_others_write(turnstile.engine, started)
        yield


def _compare(turnstile: Turnstile, shadow: "_Shadow") -> Comparison:
    """Compare the rebuilt rows with the live ones, keep what is found, and log a difference."""
    seen = snapshot(turnstile.engine) if shadow.unfilled else _side_by_side(turnstile, shadow)
    with seen as connection:
        started = time.monotonic()
        tables = [] if shadow.unfilled else _compare_tables(connection, turnstile, shadow)
        seconds = round(time.monotonic() - started, 3)
        parked = parking.parked_counts(connection)
    comparison = Comparison.of(
        tables,
        read_model=shadow.model.name,
        position=shadow.position,
        parked_before=parked.get(shadow.model.name, parking.NONE)[1],
        parked_after=parked.get(shadow.name, parking.NONE)[1],
        started_at=shadow.started_at,
        seconds=seconds,
    )
    with writing(turnstile.engine) as connection:
        shadow.keep_lease(connection)
        comparing.keep(connection, comparison)
    if comparison.outcome == comparing.DIFFERENT:
        _log_difference(comparison)
    return comparison


def _log_difference(comparison: Comparison) -> None:
    logger.warning(
        "rebuild.live_rows_differ",
        read_model=comparison.read_model,
        position=comparison.position,
        missing=comparison.missing,
        extra=comparison.extra,
        different=comparison.different,
        parked_before=comparison.parked_before,
        tables=[table.table for table in comparison.tables if not table.is_equal],
    )


@contextmanager
def _side_by_side(turnstile: Turnstile, shadow: "_Shadow") -> Iterator[Connection]:
    """A connection that sees the live rows and the rebuilt ones at one position, however many
    events both take meanwhile.

    The live position is locked only to bring the rebuilt rows there. Whether the projector was
    quicker than the snapshot shows in the snapshot itself; then it is done again.
    """
    deadline = time.monotonic() + LEVEL_SECONDS
    while time.monotonic() < deadline:
        _level(turnstile, shadow)
        with snapshot(turnstile.engine) as connection:
            at = positions(connection, [shadow.model.name, shadow.name])
            if at == {shadow.model.name: shadow.position, shadow.name: shadow.position}:
                yield connection
                return
    raise RebuildFailed(f"{shadow.model.name}: the live rows moved on at every attempt to compare.")


def _level(turnstile: Turnstile, shadow: "_Shadow") -> None:
    with writing(turnstile.engine) as connection:
        shadow.keep_lease(connection)
        standing = shadow.take(connection, shadow.lock_live(connection))
    shadow.moved_to(standing)


def _compare_tables(
    connection: Connection, turnstile: Turnstile, shadow: "_Shadow"
) -> list[TableComparison]:
    found = []
    for live, rebuilt in shadow.tables.items():
        found.append(compare_table(connection, live, rebuilt))
        with writing(turnstile.engine) as other:
            shadow.keep_lease(other)
    return found


def _swap(turnstile: Turnstile, shadow: "_Shadow", comparison: Comparison) -> Rebuilt:
    with turnstile.engine.connect() as connection:
        rows = sum(_count(connection, table) for table in shadow.tables.values())
    deadline = time.monotonic() + SWAP_SECONDS
    while time.monotonic() < deadline:
        try:
            with writing(turnstile.engine) as connection:
                shadow.keep_lease(connection)
                moved = shadow.swap_in(connection, comparison)
                with writes_to(connection) as writes:
                    turnstile.signals.announce(writes, READ_MODELS)
        except OperationalError as error:
            logger.info("rebuild.swap_waits", read_model=shadow.model.name, error=str(error.orig))
            time.sleep(SWAP_PAUSE)
            continue
        turnstile.signals.ring(READ_MODELS)
        swapped = replace(comparison, swapped_at=moved.moved_at)
        return Rebuilt(shadow.model.name, moved.position, rows, swapped)
    raise RebuildFailed(f"{shadow.model.name}: its tables were in use at every attempt.")


def _shadows(turnstile: Turnstile, models: Sequence[ReadModel]) -> list["_Shadow"]:
    group = _Group(models, Reading(turnstile.engine), f"rebuild:{uuid4()}")
    return [_Shadow(model, group) for model in models]


class _Group(NamedTuple):
    """Those that take turns: what they read, and under what name they hold their leases."""

    models: Sequence[ReadModel]
    reading: Reading
    holder: str


class _Shadow:
    """The tables that will replace a read model's."""

    def __init__(self, model: ReadModel, group: "_Group") -> None:
        self._group = group
        self.model = model
        self.name = model.name + SUFFIX
        self.lease = f"rebuild:{model.name}"
        metadata = MetaData()
        self.tables = {
            table: table.to_metadata(metadata, name=table.name + SUFFIX) for table in model.tables
        }
        self.target = Target(model, self.tables, self.name, REMEMBERED)
        self.indexes = [index for table in self.tables.values() for index in _set_aside(table)]
        self.started_at = datetime.now(UTC)
        self.position = 0
        self.unfilled = False

    @contextmanager
    def leased(self, turnstile: Turnstile) -> Iterator[None]:
        """At the end of the block let others rebuild it."""
        try:
            yield
        finally:
            with writing(turnstile.engine) as connection:
                leases.give_back(connection, self._group.holder, [self.lease])

    def prepare(self, turnstile: Turnstile) -> None:
        """Take the right to rebuild, make the tables, and see whether there is anything to compare
        them with; raises `RebuildRuns`."""
        with writing(turnstile.engine) as connection:
            leases.offer(connection, [self.lease])
            if not leases.take(connection, [self.lease], self._group.holder):
                raise RebuildRuns(f"{self.model.name} is being rebuilt by another process.")
            ensure_tracked(connection, [self.model.name])
            self.unfilled = positions(connection, [self.model.name])[self.model.name] == 0
            self._create(connection)

    def keep_lease(self, connection: Connection) -> None:
        """Renew it, and those of all that wait for their turns; raises `RebuildRuns` when it ran
        out and another took it: these tables, whose names are the same for all, are not ours any
        more."""
        if self.lease not in leases.renew(connection, self._group.holder):
            raise RebuildRuns(f"{self.model.name} was taken over by another process.")

    def comparable(self, connection: Connection) -> int:
        """How far to go before comparing: to the live rows and not past them, or to the end of the
        log where there are none."""
        if self.unfilled:
            return log.read_head(connection)
        return positions(connection, [self.model.name])[self.model.name]

    def lock_live(self, connection: Connection) -> int:
        """Where the live rows stand, and stay until the transaction ends."""
        return lock_positions(connection, [self.model.name])[self.model.name].position

    def take(self, connection: Connection, end: int, *, then_to: int = 0) -> Standing:
        """Take the events up to position `end`; `moved_to` once that is durable.

        Those that follow, up to `then_to`, are read meanwhile.
        """
        reading, models = self._group.reading, self._group.models
        facts = reading.read(connection, models, self.position, end, then_to=then_to)
        self.target.stands_at(lock_positions(connection, [self.name])[self.name])
        self.target.take(connection, facts)
        with writes_to(connection) as writes:
            return move(writes, [self.name], end)

    def moved_to(self, standing: Standing) -> None:
        """Where the rebuilt rows stand now."""
        self.target.moved_to(standing)
        self.position = standing.position

    def index(self, turnstile: Turnstile) -> Steps[None]:
        """Make the indexes that only queries need: quicker now than row by row."""
        for index in self.indexes:
            with writing(turnstile.engine) as connection:
                self.keep_lease(connection)
                index.create(connection, checkfirst=True)
            yield

    def vacuum(self, turnstile: Turnstile) -> Steps[None]:
        """Do what PostgreSQL does by itself some minutes later: until then it would plan for tables
        that it does not know, and read rows of which the index tells enough."""
        if not is_postgres(turnstile.engine):
            return
        for table in self.tables.values():
            with writing(turnstile.engine) as connection:
                self.keep_lease(connection)
            with for_queries(turnstile.engine).connect() as connection:
                connection.exec_driver_sql(f"VACUUM (ANALYZE) {table.name}")
            yield

    def drop(self, connection: Connection) -> None:
        """Leave nothing of it, nor of a rebuild that was interrupted before."""
        for table in self.tables.values():
            table.drop(connection, checkfirst=True)
        parking.unpark_all(connection, self.name)
        connection.execute(delete(tracking).where(tracking.c.name == self.name))

    def _create(self, connection: Connection) -> None:
        """Make the tables anew, empty."""
        self.drop(connection)
        for table in self.tables.values():
            table.create(connection)
        ensure_tracked(connection, [self.name])

    def swap_in(self, connection: Connection, comparison: Comparison) -> Standing:
        """Replace the live tables by these, at the position where the live ones stood or later."""
        position = max(self.position, self.lock_live(connection))
        self.take(connection, position)
        if is_postgres(connection):
            connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
        for table, new in self.tables.items():
            connection.execute(text(f"ALTER TABLE {table.name} RENAME TO {table.name}{OLD}"))
            connection.execute(text(f"ALTER TABLE {new.name} RENAME TO {table.name}"))
            connection.execute(text(f"DROP TABLE {table.name}{OLD}"))
        with writes_to(connection) as writes:
            standing = move(writes, [self.model.name], position)
        parking.hand_over(connection, self.name, self.model.name)
        connection.execute(delete(tracking).where(tracking.c.name == self.name))
        comparing.note_swap(connection, comparison, standing.moved_at)
        return standing


def _set_aside(table: Table) -> list[Index]:
    """Take the indexes off a table that is to be filled; they are named anew each time.

    Both databases keep an index's name when its table is renamed, so a name made from the
    table's would be taken by the rebuild before.
    """
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    for index in indexes:
        index.name = quoted_name(f"{index.name}_{uuid4().hex[:8]}", None)
    table.indexes.clear()
    return indexes


def _count(connection: Connection, table: Table) -> int:
    counting = text(f"SELECT count(*) FROM {table.name}")  # nosec B608 # names only
    return int(connection.execute(counting).scalar_one())
