"""The shadow tables of a read model: made empty, filled, and swapped in for the live ones."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import structlog
from sqlalchemy import Connection, Engine, Index, MetaData, Table, delete, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import quoted_name

from application.store import log
from application.store.database import for_queries, is_postgres, writing
from application.store.tables import tracking
from application.store.writes import writes_to
from projections.engine import comparing, leases, parking
from projections.engine.applying import Target
from projections.engine.comparing import Comparison
from projections.engine.positions import (
    Standing,
    ensure_tracked,
    lock_positions,
    move,
    positions,
)
from projections.engine.read_model import ReadModel
from projections.engine.reading import Reading

REMEMBERED = 8_000
"""Rows of each table that stay in memory; few, since several read models are built at a time."""
LOCK_TIMEOUT_MS = 100
"""How long the swap waits for one table. It waits for the next while it holds the one before,
so all its waits together stay below PostgreSQL's `deadlock_timeout` (1 s), after which a query
that joins those tables would be the one to be cancelled."""
SUFFIX = "__new"
OLD = "__old"

logger = structlog.get_logger(__name__)


class RebuildRuns(Exception):
    """Another process is rebuilding this read model."""


def shadows(engine: Engine, models: Sequence[ReadModel]) -> list["Shadow"]:
    """The tables that will replace those of read models which take turns."""
    group = _Group(engine, models)
    return [Shadow(engine, model, group) for model in models]


def drop_abandoned(engine: Engine, models: Sequence[ReadModel]) -> list[str]:
    """Drop what rebuilds left that were killed, for no erasure reaches the names in there; whose
    that was."""
    return [one.model.name for one in shadows(engine, models) if one.drop_if_abandoned()]


def lease_of(model: ReadModel) -> str:
    """The name of the lease of who rebuilds it."""
    return f"rebuild:{model.name}"


class _Group:
    """Those that take turns: what they read, and under what name they hold their leases."""

    def __init__(self, engine: Engine, models: Sequence[ReadModel]) -> None:
        self.models = models
        self.reading = Reading(engine)
        self.holder = f"rebuild:{uuid4()}"
        self._engine = engine
        self._going = 0
        self._over = threading.Event()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the leases while any of them goes on, however long a step takes."""
        self._going += 1
        if self._going == 1:
            self._over = threading.Event()
            threading.Thread(target=self._keep, args=(self._over,), daemon=True).start()
        try:
            yield
        finally:
            self._going -= 1
            if self._going == 0:
                self._over.set()

    def _keep(self, over: threading.Event) -> None:
        while not over.wait(leases.SECONDS / 3):
            try:
                with writing(self._engine) as connection:
                    leases.renew(connection, self.holder)
            except SQLAlchemyError as error:
                logger.warning("rebuild.lease_not_renewed", error=str(error).split("\n")[0])


class Shadow:
    """The tables that will replace a read model's, and how far they are."""

    def __init__(self, engine: Engine, model: ReadModel, group: _Group) -> None:
        self._engine = engine
        self._group = group
        self.model = model
        self.name = model.name + SUFFIX
        self.lease = lease_of(model)
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
    def leased(self) -> Iterator[None]:
        """At the end of the block leave nothing behind, and let others rebuild it."""
        with self._group.kept():
            try:
                yield
            finally:
                with writing(self._engine) as connection:
                    if self.lease in leases.renew(connection, self._group.holder):
                        self._give_up(connection)

    def drop_if_abandoned(self) -> bool:
        """Drop the tables if they are there and nobody fills them; whether that was so."""
        with writing(self._engine) as connection:
            if self.name not in positions(connection, [self.name]):
                return False
            if not leases.take(connection, [self.lease], self._group.holder):
                return False
            self._give_up(connection)
            return True

    def _give_up(self, connection: Connection) -> None:
        self.drop(connection)
        leases.give_back(connection, self._group.holder, [self.lease])

    def prepare(self) -> None:
        """Take the right to rebuild, make the tables, and see whether there is anything to compare
        them with; raises `RebuildRuns`."""
        with writing(self._engine) as connection:
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

    def index(self) -> Iterator[None]:
        """Make the indexes that only queries need, one a step: quicker now than row by row."""
        for index in self.indexes:
            with writing(self._engine) as connection:
                self.keep_lease(connection)
            with writing(self._engine) as connection:
                index.create(connection, checkfirst=True)
            yield

    def vacuum(self) -> Iterator[None]:
        """Do what PostgreSQL does by itself some minutes later, one table a step: until then it
        would plan for tables that it does not know, and read rows of which the index tells enough.
        """
        if not is_postgres(self._engine):
            return
        for table in self.tables.values():
            with writing(self._engine) as connection:
                self.keep_lease(connection)
            with for_queries(self._engine).connect() as connection:
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
            _grant_the_same(connection, table, new)
            connection.execute(text(f"ALTER TABLE {table.name} RENAME TO {table.name}{OLD}"))
            connection.execute(text(f"ALTER TABLE {new.name} RENAME TO {table.name}"))
            connection.execute(text(f"DROP TABLE {table.name}{OLD}"))
        with writes_to(connection) as writes:
            standing = move(writes, [self.model.name], position)
        parking.hand_over(connection, self.name, self.model.name)
        connection.execute(delete(tracking).where(tracking.c.name == self.name))
        comparing.note_swap(connection, comparison, standing.moved_at)
        return standing


def _grant_the_same(connection: Connection, live: Table, new: Table) -> None:
    """Whoever may read the live table may read the new one, like the account of a replica."""
    if is_postgres(connection):
        names = {"live": live.name, "new": new.name}
        for grant in connection.execute(_GRANTS, names).scalars().all():
            connection.exec_driver_sql(grant)


_GRANTS = text(
    """
SELECT 'GRANT ' || privilege_type || ' ON TABLE ' || quote_ident(:new) || ' TO '
       || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
       || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
  FROM pg_class, aclexplode(relacl)
 WHERE pg_class.oid = CAST(:live AS regclass) AND grantee <> relowner
"""
)


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
