"""Connections: the same engine settings for every process, on PostgreSQL and SQLite."""

import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec
import psycopg2
from psycopg2.extensions import (
    TRANSACTION_STATUS_IDLE,
    new_array_type,
    new_type,
    register_type,
)
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.engine.url import URL
from sqlalchemy.exc import ArgumentError, DBAPIError

from application import tracing
from application.store.vault import Vault

T = TypeVar("T")

WRITES = "turnstile_writes"
VAULT = "turnstile_vault"
POOL_SIZE = 5
"""Connections that a process keeps for queries, and for all else; in need it opens as many again.
Threads may be more: one leads for all that issue commands, and a query takes milliseconds."""
BEGIN = "turnstile_begin"
"""Under this name a connection has in its `info` what is to be sent with its next statement."""
_SNAPSHOT = """\
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; LOCK TABLE {tables} IN ACCESS SHARE MODE; """
"""The snapshot is taken after the lock, by the first statement that asks for something."""
PREPARED = "turnstile_prepared"
"""Under this name a connection that prepares its statements has a `Prepared` in its `info`."""
PLANS = """
SET plan_cache_mode = force_generic_plan; SET jit = off;
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off
"""
"""Of prepared statements: a plan that was best for ten rows would be kept when there are a million.
The log's head, whose one row has no index, would then seem worth compiling for."""
BUSY_TIMEOUT_MS = 30_000
LONGEST_REST = 0.5
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
"""`secure_delete`: what is deleted is overwritten, so that who was erased is not in the file."""
POSTGRES_OPTIONS = "-c timezone=UTC -c idle_in_transaction_session_timeout=60s"
"""A process that is frozen in the middle of an append must not stop every other for ever."""
IN_TIME = {
    "connect_timeout": "5",
    "tcp_user_timeout": "15000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
"""A server that has vanished sends no refusal: it is given up after half a minute, not after 16
minutes. What the URL says about it counts more."""
REPLICA_OPTIONS = f"{POSTGRES_OPTIONS} -c default_transaction_read_only=on"
REPLICA_CONNECT_SECONDS = 2
REPLICA_SILENT_MS = 5_000
"""A host that has vanished sends no refusal; without these a query waits for minutes."""


@dataclass
class Prepared:
    """The cursor of a connection that prepares its statements, and how each of them is executed."""

    cursor: Any
    known: dict[str, str] = field(default_factory=dict)


_unsafe = re.compile(r"[^A-Za-z0-9._:@+=-]").sub


def normal_url(url: str) -> URL:
    """The URL with its driver named; a plain `postgresql://` or `postgres://` is accepted."""
    try:
        parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    except (ArgumentError, ValueError):
        raise ValueError("A database is named by a URL, like postgresql://host/name.") from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg2")
    if parsed.drivername not in ("postgresql+psycopg2", "sqlite", "sqlite+pysqlite"):
        driver = parsed.drivername
        raise ValueError(f"Turnstile keeps its log in PostgreSQL or SQLite, not in {driver}.")
    if parsed.database in (None, "", ":memory:") and parsed.get_backend_name() == "sqlite":
        raise ValueError("A database of SQLite is a file, like sqlite:///turnstile.db.")
    return parsed


def open_engine(url: str, vault: Vault | None = None) -> Engine:
    """An engine for `url`; it connects when first used. What is personal in the database opens
    with the keys in `vault`, unless given one for development."""
    parsed = normal_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, vault)
    within = parsed.set(query={**IN_TIME, **parsed.query})
    return _postgres(within, vault, options=POSTGRES_OPTIONS)


def open_replica(url: str, vault: Vault | None = None) -> Engine:
    """An engine that only reads, from a streaming replica; a silent one is given up soon.

    Raises `ValueError` unless it is PostgreSQL.
    """
    parsed = normal_url(url)
    if parsed.get_backend_name() != "postgresql":
        raise ValueError("A streaming replica is of PostgreSQL.")
    return _postgres(
        parsed,
        vault,
        options=REPLICA_OPTIONS,
        connect_timeout=REPLICA_CONNECT_SECONDS,
        tcp_user_timeout=REPLICA_SILENT_MS,
    )


def vault_of(database: Connection | Engine) -> Vault:
    """What opens the personal data of the database."""
    vault: Vault = database.get_execution_options()[VAULT]
    return vault


def _made_once(make: Callable[[Engine], Engine]) -> Callable[[Engine], Engine]:
    """One for each engine, also when many threads need it at once."""
    cached, making = lru_cache(maxsize=8)(make), threading.Lock()

    @wraps(make)
    def made(engine: Engine) -> Engine:
        with making:
            return cached(engine)

    return made


@_made_once
def for_queries(engine: Engine) -> Engine:
    """The same database for queries: without transactions, whose beginning and end would be round
    trips, and naming the request that each statement is for, as `pg_stat_activity` and PostgreSQL's
    log of slow statements show it.

    The batches of commands and of events, each of many requests, name none: SQLAlchemy's event
    took a tenth of a rush. SQLite's statements, which nobody watches, would miss its cache.
    """
    if not is_postgres(engine):
        return engine
    own = _committing_by_itself(engine)
    event.listen(own, "before_cursor_execute", _name_request, retval=True)
    return own


@contextmanager
def as_of_one_moment(engine: Engine, tables: Sequence[str]) -> Iterator[Connection]:
    """A connection `for_queries` on which all statements of the block see the same moment, and
    these tables: a rebuild that swaps others in waits.

    What begins it goes with the first statement, so it costs one round trip, to end it.
    """
    with for_queries(engine).connect() as connection:
        if not is_postgres(engine):  # where a transaction begins by itself
            yield connection
            return
        connection.info[BEGIN] = _SNAPSHOT.format(tables=", ".join(tables))
        try:
            yield connection
        finally:
            if not connection.invalidated:
                with suppress(DBAPIError):  # what was to be asked has been
                    connection.exec_driver_sql("ROLLBACK")


def _name_request(
    connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any
) -> tuple[str, Any]:
    """What could end the comment, or be taken for a parameter, is replaced."""
    statement = connection.info.pop(BEGIN, "") + statement
    request_id = tracing.request_id()
    if request_id:
        statement = f"/*request_id='{_unsafe('_', request_id)}'*/ {statement}"
    return statement, parameters


def _postgres(url: URL, vault: Vault | None, **arguments: Any) -> Engine:
    engine = _engine(url, vault, POOL_SIZE, {"application_name": "turnstile", **arguments})
    event.listen(engine, "connect", _read_quickly)
    return engine


def _read_quickly(connection: Any, _: Any) -> None:
    """Ids and times of rows, which the driver takes thrice as long to make: half of the time of
    reading an event."""
    for kind in _QUICKLY_READ:
        register_type(kind, connection)


def _id(text: Any, _: Any) -> UUID | None:
    return None if text is None else msgspec.convert(text, UUID)


def _time(text: Any, _: Any) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


_UUID_OID, _UUIDS_OID, _TIME_OID = 2950, 2951, 1184
_ID = new_type((_UUID_OID,), "UUID", _id)
_QUICKLY_READ = (
    _ID,
    new_array_type((_UUIDS_OID,), "UUID[]", _ID),
    new_type((_TIME_OID,), "TIMESTAMPTZ", _time),
)


def _engine(url: URL, vault: Vault | None, pool_size: int, connect_args: dict[str, Any]) -> Engine:
    """What is in rows is told in no error and no log: it may be personal."""
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        # The one used last is the one whose server process has all at hand: in turns, a rush lost
        # a tenth of its orders.
        pool_use_lifo=True,
        connect_args=connect_args,
        execution_options={VAULT: vault or Vault()},
        hide_parameters=True,
    )
    event.listen(engine, "handle_error", _say_less)
    return engine


def _say_less(context: ExceptionContext) -> None:
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None:
            keep_first_line(error)


def keep_first_line(error: BaseException) -> None:
    """Of a database's words keep the first line: the details show keys and whole rows."""
    if error.args and isinstance(error.args[0], str):
        error.args = (error.args[0].partition("\n")[0], *error.args[1:])


def _sqlite(url: URL, vault: Vault | None) -> Engine:
    arguments = {"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000}
    engine = _engine(url, vault, 2 * POOL_SIZE, arguments)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that is going to write: SQLite takes its one write lock at the start."""
    with engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
        yield connection


class Holder:
    """Keeps a connection from one transaction of its owner to the next: to take one from the pool
    and give it back costs as much as to ask PostgreSQL something. For one thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._idle: Connection | None = None
        _close_with(engine, weakref.WeakMethod(self.close))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection whose transaction is begun and ended by statements of ours, sent together
        with others: each round trip spared is one in which nobody else waits for the lock.

        Whoever asks ends the transaction on PostgreSQL; what is raised in the block undoes it.
        SQLite, which knows no round trips, has a transaction that is going to write.
        """
        if not is_postgres(self.engine):
            with writing(self.engine) as connection:
                yield connection
            return
        connection, self._idle = self._idle or for_batches(self.engine).connect(), None
        try:
            yield connection
            _require_ended(connection)
        except BaseException:
            connection.invalidate()  # which rolls back
            connection.close()
            raise
        self._idle = connection

    def close(self) -> None:
        """Close the connection that is kept; an engine that is disposed of asks for it."""
        connection, self._idle = self._idle, None
        if connection is not None:
            connection.detach()
            connection.close()


def _close_with(engine: Engine, close_of: "weakref.WeakMethod[Callable[[], None]]") -> None:
    """Close what is there when the engine is disposed of, without keeping alive who keeps it: with
    them, a connection goes back to the pool by itself."""

    def close(_: Engine) -> None:
        found = close_of()
        if found is not None:
            found()

    event.listen(engine, "engine_disposed", close)


def _require_ended(connection: Connection) -> None:
    """A transaction that is left open would hold its locks in the pool."""
    driver: Any = connection.connection.dbapi_connection
    if driver.info.transaction_status != TRANSACTION_STATUS_IDLE:
        raise RuntimeError("The transaction was not ended.")


@_made_once
def for_batches(engine: Engine) -> Engine:
    """The same database on connections that prepare their statements."""
    own = _committing_by_itself(engine)
    event.listen(own, "connect", _prepare_statements)
    return own


def _committing_by_itself(engine: Engine) -> Engine:
    """The same database on connections of its own, that begin no transactions by themselves: to
    change a connection's mode and back takes a round trip."""
    own = create_engine(
        engine.url,
        pool=engine.pool.recreate(),
        isolation_level="AUTOCOMMIT",
        execution_options=engine.get_execution_options(),
        hide_parameters=True,
    )
    event.listen(own, "connect", _read_quickly)  # after the dialect has had its own way
    event.listen(own, "handle_error", _say_less)
    event.listen(engine, "engine_disposed", lambda _: own.dispose())
    return own


def _prepare_statements(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(PLANS)
    record.info[PREPARED] = Prepared(cursor)


@contextmanager
def raw_cursor(connection: Connection) -> Iterator[Any]:
    """The driver's cursor, in the connection's transaction; errors are SQLAlchemy's as ever."""
    try:
        with closing(connection.connection.cursor()) as cursor:
            yield cursor
    except psycopg2.Error as error:
        raise as_sqlalchemys(error, connection) from error


def as_sqlalchemys(error: psycopg2.Error, connection: Connection) -> DBAPIError:
    """The driver's error as SQLAlchemy's; a connection that is lost is invalidated."""
    keep_first_line(error)
    lost = connection.dialect.is_disconnect(error, None, None)  # type: ignore[arg-type]
    if lost:
        connection.invalidate(error)
    made = DBAPIError.instance(
        None,
        None,
        error,
        psycopg2.Error,
        connection_invalidated=lost,
        dialect=connection.dialect,
    )
    return cast(DBAPIError, made)


def asked_again(ask: Callable[[], T]) -> T:
    """What `ask` reads, asked once more if its connection was lost: after the database has been
    restarted, the first to use a pool finds that, and gets a new one."""
    try:
        return ask()
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
    return ask()


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: all of it as it was at its first query, whatever others
    commit meanwhile, and in nobody's way."""
    level = {"isolation_level": "REPEATABLE READ"} if is_postgres(engine) else {}
    with engine.connect().execution_options(**level) as connection, connection.begin():
        yield connection


def truncate_wal(engine: Engine) -> None:
    """On SQLite, overwrite what the file beside the database still holds of older pages."""
    if not is_postgres(engine):
        with engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")  # a checkpoint is taken outside of transactions
            # It keeps writers out while it waits for readers, so it does not wait; some time
            # later nobody reads.
            connection.exec_driver_sql("PRAGMA busy_timeout = 0")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


def let_others_write(engine: Engine, since: float) -> None:
    """After a transaction that began at `since` (by `time.monotonic`) and will be followed by
    more of them: SQLite's one write lock goes to whoever asks first, so rest as long."""
    if not is_postgres(engine):
        time.sleep(min(time.monotonic() - since, LONGEST_REST))


def is_postgres(engine: Engine | Connection) -> bool:
    """Whether the engine or connection talks to PostgreSQL."""
    return engine.dialect.name == "postgresql"
