"""The rows of a batch: loaded at once, changed in memory, written at once."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, event, insert, select

from application.store.database import open_engine, writing
from projections.engine.rows import MissingRow, Rehearsal, Rows

counts = Table(
    "counts",
    MetaData(),
    Column("gate", Text, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("scans", Integer, nullable=False, default=0),
    Column("note", Text),
)
TABLES = {counts: counts}


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = open_engine(database_url)
    with writing(engine) as connection:
        counts.create(connection)
        connection.execute(insert(counts), [{"gate": "north", "day": 1, "scans": 5}])
        yield connection
    engine.dispose()


def stored(connection: Connection) -> list[Any]:
    query = select(counts).order_by(counts.c.gate, counts.c.day)
    return [tuple(row) for row in connection.execute(query)]


def test_a_row_that_is_not_there_is_made_with_defaults(connection: Connection) -> None:
    rows = Rows(connection, TABLES)
    rows.of(counts, gate="south", day=1).scans += 1
    rows.of(counts, gate="south", day=1).scans += 1
    rows.write()
    assert stored(connection) == [("north", 1, 5, None), ("south", 1, 2, None)]


def test_a_stored_row_is_changed_and_no_other(connection: Connection) -> None:
    connection.execute(insert(counts), [{"gate": "north", "day": 2, "scans": 7}])
    rows = Rows(connection, TABLES)
    rows.get(counts, day=1, gate="north").scans += 1
    rows.write()
    assert stored(connection) == [("north", 1, 6, None), ("north", 2, 7, None)]


def test_a_row_that_should_be_there_fails_loudly(connection: Connection) -> None:
    rows = Rows(connection, TABLES)
    with pytest.raises(MissingRow, match="counts has no row"):
        rows.get(counts, gate="south", day=1)
    assert rows.find(counts, gate="south", day=1) is None


def test_a_row_is_never_added_twice(connection: Connection) -> None:
    rows = Rows(connection, TABLES)
    rows.add(counts, gate="south", day=1, scans=3)
    with pytest.raises(ValueError, match="already"):
        rows.add(counts, gate="south", day=1)


def test_a_removed_row_is_gone_and_may_come_back(connection: Connection) -> None:
    rows = Rows(connection, TABLES)
    rows.remove(counts, gate="north", day=1)
    rows.remove(counts, gate="nowhere", day=1)
    assert rows.find(counts, gate="north", day=1) is None
    rows.of(counts, gate="north", day=1).scans = 1
    rows.write()
    assert stored(connection) == [("north", 1, 1, None)]


def test_a_removed_row_is_deleted(connection: Connection) -> None:
    rows = Rows(connection, TABLES)
    rows.remove(counts, gate="north", day=1)
    rows.write()
    assert stored(connection) == []


def test_a_key_is_all_primary_key_columns(connection: Connection) -> None:
    with pytest.raises(TypeError, match="keyed by gate, day"):
        Rows(connection, TABLES).of(counts, gate="north")


def test_a_rehearsal_loads_everything_in_one_query(connection: Connection) -> None:
    statements: list[str] = []
    event.listen(
        connection, "before_cursor_execute", lambda _c, _u, sql, *_: statements.append(sql)
    )
    rehearsal = Rehearsal(connection, TABLES)
    for day in range(50):
        rehearsal.of(counts, gate="north", day=day).scans += 1
    rows = Rows(connection, TABLES)
    rows.prefetch(rehearsal)
    for day in range(50):
        rows.of(counts, gate="north", day=day).scans += 1
    assert len(statements) == 1
    rows.write()
    assert len(stored(connection)) == 50
    assert stored(connection)[1] == ("north", 1, 6, None)
