"""What comes back from PostgreSQL, on each kind of connection, and how long is waited for it; and
that SQLite keeps commits."""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from application.store import log
from application.store.database import Holder, for_batches, for_queries, writing
from domain.ids import uuid7
from tests.application.store.conftest import OpenEngine

FULL = 2
"""What SQLite calls it when a commit waits until what it wrote is on the disk."""
PARIS = timezone(timedelta(hours=1))
VALUES = [
    ("uuid", UUID("0197f3a0-0000-7000-8000-0000000000ff")),
    ("uuid", None),
    ("uuid[]", [uuid7(), None, uuid7()]),
    ("uuid[]", []),
    ("timestamptz", datetime(2026, 11, 21, 18, 30, 0, 123456, UTC)),
    ("timestamptz", datetime(2026, 11, 21, 18, 30, 0, 120000, UTC)),
    ("timestamptz", datetime(1900, 1, 1, tzinfo=UTC)),
    ("timestamptz", datetime(2026, 7, 1, 12, tzinfo=PARIS)),
    ("timestamptz", None),
]


each_kind = pytest.mark.parametrize("kind", [lambda engine: engine, for_batches, for_queries])


@each_kind
@pytest.mark.parametrize(("sql_type", "value"), VALUES)
def test_ids_and_times_come_back_as_they_were(
    migrated_postgres_url: str,
    open_database: OpenEngine,
    kind: Callable[[Engine], Engine],
    sql_type: str,
    value: Any,
):
    """Times in UTC, by that very object: whoever compares the zones of times asks for it."""
    with kind(open_database(migrated_postgres_url)).connect() as connection:
        found = connection.exec_driver_sql(f"SELECT %s::{sql_type}", (value,)).scalar()
    assert found == value
    if isinstance(found, datetime):
        assert found.tzinfo is UTC


@each_kind
def test_a_server_that_has_vanished_is_given_up_within_half_a_minute(
    migrated_postgres_url: str, open_database: OpenEngine, kind: Callable[[Engine], Engine]
):
    with kind(open_database(migrated_postgres_url)).connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        to_connect = int(driver.info.dsn_parameters["connect_timeout"])
        with socket.socket(fileno=os.dup(driver.fileno())) as tcp:
            assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            unheard = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
            idle, interval, count = (
                tcp.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
    for seconds in (to_connect, unheard, idle + interval * count):
        assert 0 < seconds <= 30


def test_how_long_a_server_is_waited_for_is_as_the_url_says(
    migrated_postgres_url: str, open_database: OpenEngine
):
    url = make_url(migrated_postgres_url).update_query_dict({"connect_timeout": "77"})
    with open_database(url.render_as_string(hide_password=False)).connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        assert driver.info.dsn_parameters["connect_timeout"] == "77"
        assert driver.info.dsn_parameters["keepalives_count"] == "3"


@each_kind
def test_a_process_that_is_frozen_in_a_transaction_loses_it_after_a_minute(
    migrated_postgres_url: str, open_database: OpenEngine, kind: Callable[[Engine], Engine]
):
    with kind(open_database(migrated_postgres_url)).connect() as connection:
        asked = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout")
        assert asked.scalar() == "1min"


def test_a_transaction_that_its_owner_forgets_to_end_is_undone_and_told(
    migrated_postgres_url: str, open_database: OpenEngine
):
    def forget(holder: Holder) -> None:
        with holder.transaction() as connection:
            connection.exec_driver_sql("BEGIN")
            log.lock_head(connection)

    with pytest.raises(RuntimeError, match="not ended"):
        forget(Holder(open_database(migrated_postgres_url)))
    with writing(open_database(migrated_postgres_url)) as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
        assert log.lock_head(connection).position == 0


def test_a_commit_on_sqlite_is_on_the_disk(migrated_sqlite_url: str, open_database: OpenEngine):
    engine = open_database(migrated_sqlite_url)
    with writing(engine) as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == FULL
    with ExitStack() as opened:
        pooled = [opened.enter_context(engine.connect()) for _ in range(3)]
        for connection in pooled:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == FULL
