"""The rows of a batch: loaded at once, changed in memory, written at once."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, insert, select, update

from application.store.database import open_engine, writing
from application.store.writes import FEW, MANY, writes_to
from projections.engine.rows import REMEMBERED, Memory, MissingRow, Rehearsal, Rows
from tests.statements import statements

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


def write(rows: Rows, connection: Connection) -> None:
    with writes_to(connection) as writes:
        rows.write(writes)


def stored(connection: Connection) -> list[Any]:
    query = select(counts).order_by(counts.c.gate, counts.c.day)
    return [tuple(row) for row in connection.execute(query)]


def test_a_row_that_is_not_there_is_made_with_defaults(connection: Connection) -> None:
    rows = Rows(connection, Memory(TABLES))
    rows.of(counts, gate="south", day=1).scans += 1
    rows.of(counts, gate="south", day=1).scans += 1
    write(rows, connection)
    assert stored(connection) == [("north", 1, 5, None), ("south", 1, 2, None)]


def test_a_stored_row_is_changed_and_no_other(connection: Connection) -> None:
    connection.execute(insert(counts), [{"gate": "north", "day": 2, "scans": 7}])
    rows = Rows(connection, Memory(TABLES))
    rows.get(counts, day=1, gate="north").scans += 1
    write(rows, connection)
    assert stored(connection) == [("north", 1, 6, None), ("north", 2, 7, None)]


def test_only_the_columns_that_changed_are_written(connection: Connection) -> None:
    rows = Rows(connection, Memory(TABLES))
    rows.get(counts, gate="north", day=1).scans += 1
    connection.execute(update(counts).values(note="by hand"))
    write(rows, connection)
    assert stored(connection) == [("north", 1, 6, "by hand")]


def test_rows_that_changed_in_different_columns_are_written_together(
    connection: Connection,
) -> None:
    connection.execute(insert(counts), [{"gate": "south", "day": 1, "scans": 7, "note": "wet"}])
    rows = Rows(connection, Memory(TABLES))
    rows.get(counts, gate="north", day=1).scans += 1
    rows.get(counts, gate="south", day=1).note = "dry"
    write(rows, connection)
    assert stored(connection) == [("north", 1, 6, None), ("south", 1, 7, "dry")]


def test_a_row_that_should_be_there_fails_loudly(connection: Connection) -> None:
    rows = Rows(connection, Memory(TABLES))
    with pytest.raises(MissingRow, match="counts has no row"):
        rows.get(counts, gate="south", day=1)
    assert rows.find(counts, gate="south", day=1) is None


def test_a_row_is_never_added_twice(connection: Connection) -> None:
    rows = Rows(connection, Memory(TABLES))
    rows.add(counts, gate="south", day=1, scans=3)
    with pytest.raises(ValueError, match="already"):
        rows.add(counts, gate="south", day=1)


def test_a_removed_row_is_gone_and_may_come_back(connection: Connection) -> None:
    rows = Rows(connection, Memory(TABLES))
    rows.remove(counts, gate="north", day=1)
    rows.remove(counts, gate="nowhere", day=1)
    assert rows.find(counts, gate="north", day=1) is None
    rows.of(counts, gate="north", day=1).scans = 1
    write(rows, connection)
    assert stored(connection) == [("north", 1, 1, None)]


def test_a_row_that_comes_back_under_an_equal_key_is_the_same(connection: Connection) -> None:
    days = range(1, FEW + 2)
    connection.execute(insert(counts), [{"gate": "north", "day": day} for day in days[1:]])
    for some in (days[:1], days):
        rows = Rows(connection, Memory(TABLES))
        for day in some:
            rows.remove(counts, gate="north", day=day)
            rows.of(counts, gate="".join(["no", "rth"]), day=day).scans = 7 + len(some)
        write(rows, connection)
    assert stored(connection) == [("north", day, 7 + len(days), None) for day in days]


def test_a_removed_row_is_deleted(connection: Connection) -> None:
    rows = Rows(connection, Memory(TABLES))
    rows.remove(counts, gate="north", day=1)
    write(rows, connection)
    assert stored(connection) == []


def test_a_key_is_all_primary_key_columns(connection: Connection) -> None:
    with pytest.raises(TypeError, match="keyed by gate, day"):
        Rows(connection, Memory(TABLES)).of(counts, gate="north")


def test_a_rehearsal_loads_everything_in_one_query(connection: Connection) -> None:
    memory = Memory(TABLES)
    rehearsal = Rehearsal(connection, memory)
    for day in range(50):
        rehearsal.of(counts, gate="north", day=day).scans += 1
    rows = Rows(connection, memory)
    with statements(connection) as said:
        rows.prefetch(rehearsal)
        for day in range(50):
            rows.of(counts, gate="north", day=day).scans += 1
    assert len(said) == 1
    write(rows, connection)
    assert len(stored(connection)) == 50
    assert stored(connection)[1] == ("north", 1, 6, None)


def test_what_was_read_or_written_is_not_read_again(connection: Connection) -> None:
    memory = Memory(TABLES)
    with statements(connection) as said:
        for _ in range(3):
            rows = Rows(connection, memory)
            rows.of(counts, gate="north", day=1).scans += 1
            rows.of(counts, gate="south", day=1).scans += 1
            write(rows, connection)
    assert sum(sql.startswith("SELECT") for sql in said) == 2
    assert stored(connection) == [("north", 1, 8, None), ("south", 1, 3, None)]


def test_what_was_forgotten_is_read_again(connection: Connection) -> None:
    memory = Memory(TABLES)
    Rows(connection, memory).get(counts, gate="north", day=1).scans = 99
    memory.forget()
    assert Rows(connection, memory).get(counts, gate="north", day=1).scans == 5


def test_nothing_is_looked_up_in_tables_known_to_be_empty(connection: Connection) -> None:
    memory = Memory(TABLES)
    memory.forget(empty=True)
    assert memory.complete
    assert Rows(connection, memory).find(counts, gate="north", day=1) is None


def test_only_the_last_batch_is_remembered_of_very_many_rows(connection: Connection) -> None:
    memory = Memory(TABLES)
    memory.forget(empty=True)
    first = Rows(connection, memory)
    for day in range(2, REMEMBERED + 1):
        first.add(counts, gate="south", day=day)
    write(first, connection)
    assert memory.complete
    second = Rows(connection, memory)
    for day in (1, 2, 3):
        second.of(counts, gate="south", day=day).scans += 1
    write(second, connection)
    assert memory.complete
    third = Rows(connection, memory)
    third.add(counts, gate="west", day=1)
    write(third, connection)
    assert list(memory.tables[counts].slots) == [("west", 1)]
    fourth = Rows(connection, memory)
    fourth.get(counts, gate="south", day=2).scans += 1
    write(fourth, connection)
    assert ("south", 2, 2, None) in stored(connection)
    assert len(stored(connection)) == REMEMBERED + 2


def test_a_row_that_was_removed_is_forgotten_with_the_old_ones(connection: Connection) -> None:
    memory = Memory(TABLES, remembered=8)
    rows = Rows(connection, memory)
    for day in range(10):
        rows.add(counts, gate="south", day=day)
    rows.remove(counts, gate="south", day=9)
    write(rows, connection)
    assert list(memory.tables[counts].slots) == [("south", 8)]
    assert Rows(connection, memory).find(counts, gate="south", day=9) is None


def test_of_a_batch_larger_than_memory_only_what_was_touched_last_is_remembered(
    connection: Connection,
) -> None:
    memory = Memory(TABLES, remembered=8)
    rows = Rows(connection, memory)
    for day in range(1, 11):
        rows.add(counts, gate="west", day=day)
    write(rows, connection)
    assert list(memory.tables[counts].slots) == [("west", 9), ("west", 10)]
    again = Rows(connection, memory)
    again.get(counts, gate="west", day=1).scans += 1
    write(again, connection)
    assert ("west", 1, 1, None) in stored(connection)


def test_very_many_rows_are_written_as_few_are(connection: Connection) -> None:
    for count, gate in ((3, "few"), (MANY, "many")):
        rows = Rows(connection, Memory(TABLES))
        for day in range(count):
            rows.add(counts, gate=gate, day=day, note=f'{day} "quoted", \\ \t {{}} NULL')
        rows.add(counts, gate=gate, day=count, note="NULL")
        rows.add(counts, gate=gate, day=count + 1)
        write(rows, connection)
    of = {gate: [row for row in stored(connection) if row[0] == gate] for gate in ("few", "many")}
    assert of["few"][:3] == [("few", *row[1:]) for row in of["many"][:3]]
    assert of["few"][0][3] == '0 "quoted", \\ \t {} NULL'
    assert [row[3] for row in of["few"][3:]] == ["NULL", None]
    assert [row[3] for row in of["many"][MANY:]] == ["NULL", None]
