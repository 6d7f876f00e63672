"""Connections: the same engine settings for every process, on PostgreSQL and SQLite."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.url import URL

WRITES = "turnstile_writes"
POOL_SIZE = 10
"""Connections that a process keeps; in need it opens as many again. Threads may be more: one
leads for all that issue commands, and a query holds a connection for milliseconds."""
BUSY_TIMEOUT_MS = 30_000
LONGEST_REST = 0.5
POSTGRES_OPTIONS = "-c timezone=UTC -c idle_in_transaction_session_timeout=60s"
"""A process that is frozen in the middle of an append must not stop every other for ever."""
REPLICA_OPTIONS = f"{POSTGRES_OPTIONS} -c default_transaction_read_only=on"
REPLICA_CONNECT_SECONDS = 2
REPLICA_SILENT_MS = 5_000
"""A host that has vanished sends no refusal; without these a query waits for minutes."""


def normal_url(url: str) -> URL:
    """The URL with its driver named; a plain `postgresql://` or `postgres://` is accepted."""
    parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg2")
    if parsed.get_backend_name() not in ("postgresql", "sqlite"):
        raise ValueError(f"Turnstile keeps its log in PostgreSQL or SQLite, not in {url!r}.")
    return parsed


def open_engine(url: str, *, pool_size: int = POOL_SIZE) -> Engine:
    """An engine for `url`; it connects when first used."""
    parsed = normal_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, pool_size)
    return _postgres(parsed, pool_size, options=POSTGRES_OPTIONS)


def open_replica(url: str, *, pool_size: int = POOL_SIZE) -> Engine:
    """An engine that only reads, from a streaming replica; a silent one is given up soon.

    Raises `ValueError` unless it is PostgreSQL.
    """
    parsed = normal_url(url)
    if parsed.get_backend_name() != "postgresql":
        raise ValueError("READ_DATABASE_URL names a streaming replica, which is PostgreSQL.")
    return _postgres(
        parsed,
        pool_size,
        options=REPLICA_OPTIONS,
        connect_timeout=REPLICA_CONNECT_SECONDS,
        tcp_user_timeout=REPLICA_SILENT_MS,
    )


def _postgres(url: URL, pool_size: int, **arguments: Any) -> Engine:
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"application_name": "turnstile", **arguments},
    )


def _sqlite(url: URL, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
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


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: all of it as it was at its first query, whatever others
    commit meanwhile, and in nobody's way."""
    level = {"isolation_level": "REPEATABLE READ"} if is_postgres(engine) else {}
    with engine.connect().execution_options(**level) as connection, connection.begin():
        yield connection


def let_others_write(engine: Engine, since: float) -> None:
    """After a transaction that began at `since` (by `time.monotonic`) and will be followed by
    more of them: SQLite's one write lock goes to whoever asks first, so rest as long."""
    if not is_postgres(engine):
        time.sleep(min(time.monotonic() - since, LONGEST_REST))


def is_postgres(engine: Engine | Connection) -> bool:
    """Whether the engine or connection talks to PostgreSQL."""
    return engine.dialect.name == "postgresql"
