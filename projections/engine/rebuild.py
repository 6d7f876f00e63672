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
from typing import TypeVar

import structlog
from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import OperationalError

from application.composition import Turnstile
from application.store import log
from application.store.database import let_others_write, snapshot, writing
from application.store.signals import READ_MODELS
from application.store.writes import writes_to
from projections.engine import comparing, parking
from projections.engine.comparing import Comparison, TableComparison, compare_table
from projections.engine.positions import positions
from projections.engine.read_model import ReadModel
from projections.engine.shadow import Shadow, shadows

BATCH = 10_000
LEVEL_SECONDS = 60.0
SWAP_SECONDS = 60.0
SWAP_PAUSE = 0.2

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
    (building,) = _builds(turnstile, {model: progress})
    return _at_once(building.rebuilding())


def compare(
    turnstile: Turnstile, model: ReadModel, progress: Progress = lambda done, total: None
) -> Comparison:
    """The same without the swap: the live rows stay, and only the comparison is kept."""
    (building,) = _builds(turnstile, {model: progress})
    return _at_once(building.comparing())


def rebuild_together(
    turnstile: Turnstile, progress: Mapping[ReadModel, Progress]
) -> Outcomes[Rebuilt]:
    """`rebuild` each of these read models, reading what they have in common once."""
    return _in_turns({one.model: one.rebuilding() for one in _builds(turnstile, progress)})


def compare_together(
    turnstile: Turnstile, progress: Mapping[ReadModel, Progress]
) -> Outcomes[Comparison]:
    """`compare` each of these read models, reading what they have in common once."""
    return _in_turns({one.model: one.comparing() for one in _builds(turnstile, progress)})


def largest_first(connection: Connection, models: Sequence[ReadModel]) -> list[ReadModel]:
    """Read models by the rows they have now: who shares the work wants no large one left for
    the end, when nobody has anything to do beside it."""
    sizes = {
        model.name: sum(_count(connection, table) for table in model.tables) for model in models
    }
    return sorted(models, key=lambda model: -sizes[model.name])


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


def _builds(turnstile: Turnstile, progress: Mapping[ReadModel, Progress]) -> list["_Build"]:
    return [
        _Build(turnstile, shadow, progress[shadow.model])
        for shadow in shadows(turnstile.engine, list(progress))
    ]


class _Build:
    """One read model's tables, built again step by step."""

    def __init__(self, turnstile: Turnstile, shadow: Shadow, progress: Progress) -> None:
        self.model = shadow.model
        self._turnstile = turnstile
        self._engine = turnstile.engine
        self._shadow = shadow
        self._progress = progress

    def rebuilding(self) -> Steps[Rebuilt]:
        """Build them, compare them with the live ones, and swap them in."""
        with self._shadow.leased():
            yield from self._build()
            yield from self._shadow.vacuum()
            yield from self._fill(self._shadow.comparable)
            comparison = self._compare()
            yield
            yield from self._fill(log.read_head)
            return self._swap(comparison)

    def comparing(self) -> Steps[Comparison]:
        """Build them, compare them with the live ones, and drop them."""
        with self._shadow.leased():
            yield from self._build()
            comparison = self._compare()
            return comparison

    def _build(self) -> Steps[None]:
        """The tables built again as far as the live ones are."""
        self._shadow.prepare()
        yield
        yield from self._fill(self._shadow.comparable)
        yield from self._shadow.index()
        yield from self._fill(self._shadow.comparable)

    def _fill(self, goal_of: Callable[[Connection], int]) -> Steps[None]:
        """Take everything up to a goal, which moves on while the log does."""
        goal = self._shadow.position + 1
        while self._shadow.position < goal:
            started = time.monotonic()
            with writing(self._engine) as connection:
                goal, head = goal_of(connection), log.read_head(connection)
                end = max(self._shadow.position, min(goal, self._shadow.position + BATCH))
                self._shadow.keep_lease(connection)
                standing = self._shadow.take(connection, end, then_to=goal)
            self._shadow.moved_to(standing)
            self._progress(end, head)
            let_others_write(self._engine, started)
            yield

    def _compare(self) -> Comparison:
        """Compare the rebuilt rows with the live ones, keep what is found, and log a difference."""
        seen = snapshot(self._engine) if self._shadow.unfilled else self._side_by_side()
        with seen as connection:
            started = time.monotonic()
            tables = [] if self._shadow.unfilled else self._compare_tables(connection)
            seconds = round(time.monotonic() - started, 3)
            parked = parking.parked_counts(connection)
        comparison = Comparison.of(
            tables,
            read_model=self.model.name,
            position=self._shadow.position,
            parked_before=parked.get(self.model.name, parking.NONE)[1],
            parked_after=parked.get(self._shadow.name, parking.NONE)[1],
            started_at=self._shadow.started_at,
            seconds=seconds,
        )
        with writing(self._engine) as connection:
            self._shadow.keep_lease(connection)
            comparing.keep(connection, comparison)
        if comparison.outcome == comparing.DIFFERENT:
            _log_difference(comparison)
        return comparison

    @contextmanager
    def _side_by_side(self) -> Iterator[Connection]:
        """A connection that sees the live rows and the rebuilt ones at one position, however many
        events both take meanwhile.

        The live position is locked only to bring the rebuilt rows there. Whether the projector was
        quicker than the snapshot shows in the snapshot itself; then it is done again.
        """
        names = (self.model.name, self._shadow.name)
        deadline = time.monotonic() + LEVEL_SECONDS
        while time.monotonic() < deadline:
            self._level()
            with snapshot(self._engine) as connection:
                if positions(connection, names) == dict.fromkeys(names, self._shadow.position):
                    yield connection
                    return
        raise RebuildFailed(
            f"{self.model.name}: the live rows moved on at every attempt to compare."
        )

    def _level(self) -> None:
        with writing(self._engine) as connection:
            self._shadow.keep_lease(connection)
            standing = self._shadow.take(connection, self._shadow.lock_live(connection))
        self._shadow.moved_to(standing)

    def _compare_tables(self, connection: Connection) -> list[TableComparison]:
        found = []
        for live, rebuilt in self._shadow.tables.items():
            found.append(compare_table(connection, live, rebuilt))
            with writing(self._engine) as other:
                self._shadow.keep_lease(other)
        return found

    def _swap(self, comparison: Comparison) -> Rebuilt:
        with self._engine.connect() as connection:
            rows = sum(_count(connection, table) for table in self._shadow.tables.values())
        deadline = time.monotonic() + SWAP_SECONDS
        while time.monotonic() < deadline:
            try:
                with writing(self._engine) as connection:
                    self._shadow.keep_lease(connection)
                    moved = self._shadow.swap_in(connection, comparison)
                    with writes_to(connection) as writes:
                        self._turnstile.signals.announce(writes, READ_MODELS)
            except OperationalError as error:
                logger.info("rebuild.swap_waits", read_model=self.model.name, error=str(error.orig))
                time.sleep(SWAP_PAUSE)
                continue
            self._turnstile.signals.ring(READ_MODELS)
            swapped = replace(comparison, swapped_at=moved.moved_at)
            return Rebuilt(self.model.name, moved.position, rows, swapped)
        raise RebuildFailed(f"{self.model.name}: its tables were in use at every attempt.")


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


def _count(connection: Connection, table: Table) -> int:
    counting = text(f"SELECT count(*) FROM {table.name}")  # nosec B608 # names only
    return int(connection.execute(counting).scalar_one())
