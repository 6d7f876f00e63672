"""What comes back from PostgreSQL, on each kind of connection; and that SQLite keeps commits."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from application.store.database import for_batches, for_queries, writing
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


@pytest.mark.parametrize("kind", [lambda engine: engine, for_batches, for_queries])
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


def test_a_commit_on_sqlite_is_on_the_disk(migrated_sqlite_url: str, open_database: OpenEngine):
    engine = open_database(migrated_sqlite_url)
    with writing(engine) as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == FULL
    with ExitStack() as opened:
        pooled = [opened.enter_context(engine.connect()) for _ in range(3)]
        for connection in pooled:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == FULL
