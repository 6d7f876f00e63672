"""Rebuilding a read model from nothing, beside the live one, and swapping it in.

Shadow tables are filled from position 0 while queries and the live projector go on. The swap is
one transaction: it locks the live position, takes the last events, and renames.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

import structlog
from sqlalchemy import Connection, Index, MetaData, Table, delete, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.sql import quoted_name

from application.composition import Turnstile
from application.store import log
from application.store.database import is_postgres, writing
from application.store.signals import READ_MODELS
from application.store.tables import tracking
from application.store.writes import writes_to
from domain.aggregate import Fact
from projections.engine import leases, parking
from projections.engine.applying import Target
from projections.engine.positions import Standing, ensure_tracked, lock_positions, move
from projections.engine.projector import read_facts
from projections.engine.read_model import ReadModel

BATCH = 10_000
LONGEST_REST = 0.5
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

logger = structlog.get_logger(__name__)


class RebuildFailed(Exception):
    """The rebuilt tables could not be swapped in; the live ones are as they were."""


class RebuildRuns(Exception):
    """Another process is rebuilding this read model."""


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did: the model stands at `position`, with `rows` rows in its tables."""

    name: str
    position: int
    rows: int


def rebuild(
    turnstile: Turnstile, model: ReadModel, progress: Progress = lambda done, total: None
) -> Rebuilt:
    """Build `model` again from the whole log and swap it in; queries go on meanwhile.

    Interrupted anywhere, it leaves the live tables alone, and starts again when called again.
    Raises `RebuildRuns` while another process rebuilds the same model.
    """
    shadow = _Shadow(model)
    try:
        shadow.prepare(turnstile)
        position = _fill(turnstile, shadow, 0, progress)
        shadow.index(turnstile)
        position = _fill(turnstile, shadow, position, progress)
        return _swap(turnstile, shadow, position)
    finally:
        with writing(turnstile.engine) as connection:
            leases.give_back(connection, shadow.holder)


def largest_first(connection: Connection, models: Sequence[ReadModel]) -> list[ReadModel]:
    """Read models by the rows they have now: who shares the work wants no large one left for
    the end, when nobody has anything to do beside it."""
    sizes = {
        model.name: sum(_count(connection, table) for table in model.tables) for model in models
    }
    return sorted(models, key=lambda model: -sizes[model.name])


def _fill(turnstile: Turnstile, shadow: "_Shadow", position: int, progress: Progress) -> int:
    """Take everything from `position` to the end of the log; where that was."""
    head = position + 1
    while position < head:
        started = time.monotonic()
        with writing(turnstile.engine) as connection:
            head = log.read_head(connection)
            end = min(head, position + BATCH)
            facts = read_facts(connection, [shadow.model], position, end)
            shadow.keep_lease(connection)
            standing = shadow.take(connection, facts, end)
        shadow.target.moved_to(standing)
        position = end
        progress(position, head)
        if turnstile.settings.embedded:  # SQLite's one write lock goes to whoever asks first
            time.sleep(min(time.monotonic() - started, LONGEST_REST))
    return position


def _swap(turnstile: Turnstile, shadow: "_Shadow", position: int) -> Rebuilt:
    deadline = time.monotonic() + SWAP_SECONDS
    while time.monotonic() < deadline:
        try:
            with writing(turnstile.engine) as connection:
                shadow.keep_lease(connection)
                rebuilt = shadow.swap_in(connection, position)
                with writes_to(connection) as writes:
                    turnstile.signals.announce(writes, READ_MODELS)
        except OperationalError as error:
            logger.info("rebuild.swap_waits", read_model=shadow.model.name, error=str(error.orig))
            time.sleep(SWAP_PAUSE)
            continue
        turnstile.signals.ring(READ_MODELS)
        return rebuilt
    raise RebuildFailed(f"{shadow.model.name}: its tables were in use at every attempt.")


class _Shadow:
    """The tables that will replace a read model's."""

    def __init__(self, model: ReadModel) -> None:
        self.model = model
        self.name = model.name + SUFFIX
        self.lease = f"rebuild:{model.name}"
        self.holder = f"{self.lease}:{uuid4()}"
        metadata = MetaData()
        self.tables = {
            table: table.to_metadata(metadata, name=table.name + SUFFIX) for table in model.tables
        }
        self.target = Target(model, self.tables, self.name)
        self.indexes = [index for table in self.tables.values() for index in _set_aside(table)]

    def prepare(self, turnstile: Turnstile) -> None:
        """Take the right to rebuild, and make the tables; raises `RebuildRuns`."""
        with writing(turnstile.engine) as connection:
            leases.offer(connection, [self.lease])
            if not leases.take(connection, [self.lease], self.holder):
                raise RebuildRuns(f"{self.model.name} is being rebuilt by another process.")
            ensure_tracked(connection, [self.model.name])
            self._create(connection)

    def keep_lease(self, connection: Connection) -> None:
        """Renew it; raises `RebuildRuns` when it ran out and another took it: these tables,
        whose names are the same for all, are not ours any more."""
        if not leases.renew(connection, self.lease, self.holder):
            raise RebuildRuns(f"{self.model.name} was taken over by another process.")

    def take(self, connection: Connection, facts: Sequence[Fact], end: int) -> Standing:
        """Take these events, which are all that matter up to position `end`."""
        self.target.stands_at(lock_positions(connection, [self.name])[self.name])
        self.target.take(connection, facts)
        with writes_to(connection) as writes:
            return move(writes, [self.name], end)

    def index(self, turnstile: Turnstile) -> None:
        """Make the indexes that only queries need: quicker now than row by row."""
        for index in self.indexes:
            with writing(turnstile.engine) as connection:
                self.keep_lease(connection)
                index.create(connection, checkfirst=True)

    def _create(self, connection: Connection) -> None:
        """Make the tables anew, empty; what an interrupted rebuild left behind is dropped."""
        for table in self.tables.values():
            table.drop(connection, checkfirst=True)
            table.create(connection)
        parking.unpark(connection, self.name)
        connection.execute(delete(tracking).where(tracking.c.name == self.name))
        ensure_tracked(connection, [self.name])

    def swap_in(self, connection: Connection, position: int) -> Rebuilt:
        """Replace the live tables by these, at the position where the live ones stood or later."""
        live = lock_positions(connection, [self.model.name])[self.model.name].position
        if live > position:
            self.take(connection, read_facts(connection, [self.model], position, live), live)
            position = live
        rows = sum(_count(connection, table) for table in self.tables.values())
        if is_postgres(connection):
            connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
        for table, new in self.tables.items():
            connection.execute(text(f"ALTER TABLE {table.name} RENAME TO {table.name}{OLD}"))
            connection.execute(text(f"ALTER TABLE {new.name} RENAME TO {table.name}"))
            connection.execute(text(f"DROP TABLE {table.name}{OLD}"))
        with writes_to(connection) as writes:
            move(writes, [self.model.name], position)
        parking.hand_over(connection, self.name, self.model.name)
        connection.execute(delete(tracking).where(tracking.c.name == self.name))
        return Rebuilt(self.model.name, position, rows)


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
    return int(connection.execute(text(f"SELECT count(*) FROM {table.name}")).scalar_one())
