"""Rows that are written together, whether few are sent as JSON, some as arrays or many by COPY."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    select,
)
from sqlalchemy.exc import DataError

from application.store.database import open_engine, writing
from application.store.tables import UTCDateTime
from application.store.writes import FEW, MANY, writes_to
from domain.ids import uuid7

things = Table(
    "things",
    MetaData(),
    Column("place", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", Uuid),
    Column("said", Text),
    Column("large", BigInteger),
    Column("share", Double),
    Column("open", Boolean),
    Column("day", Date),
    Column("at", UTCDateTime),
    Column("hash", LargeBinary),
)
SAID = (
    "plain",
    "",
    None,
    "quoted \"twice\" and 'once'",
    "back\\slash \\n \\\\x00",
    "line\nand\ttab\r\n",
    "{curly, NULL} (%s) %(name)s 100 %",
    "Zażółć gęślą jaźń 🎫 \u2028",
    '{"v":1,"nested":{"text":"a \\"b\\""}}',
)
Row = tuple[Any, ...]
NUMBERS = (1, FEW, FEW + 1, MANY)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = open_engine(database_url)
    with writing(engine) as connection:
        things.create(connection)
        yield connection
    engine.dispose()


def row(number: int) -> Row:
    moment = datetime(2026, 11, 29, 23, 59, 59, number, UTC)
    rest = (uuid7(), SAID[number % len(SAID)], 2**62 + number, number / 7, number % 2 == 0)
    known = (*rest, moment.date(), moment, bytes([number % 256, 0, 255]))
    return ('the "north" gate', number, *(known if number % 5 else (None,) * len(known)))


def stored(connection: Connection) -> list[Row]:
    return [tuple(found) for found in connection.execute(select(things).order_by("number"))]


@pytest.mark.parametrize("number", [*NUMBERS, len(SAID) * 5])
def test_rows_come_back_as_they_were(connection: Connection, number: int):
    rows = [row(each) for each in range(number)]
    with writes_to(connection) as writes:
        writes.insert(things, rows)
    assert stored(connection) == rows


@pytest.mark.parametrize("number", NUMBERS)
def test_of_rows_that_exist_the_named_columns_are_changed(connection: Connection, number: int):
    rows = [row(each) for each in range(number + 1)]
    with writes_to(connection) as writes:
        writes.insert(things, rows)
        writes.update(
            things, ["said", "day"], [(*each[:2], "now", date(2027, 1, 1)) for each in rows[1:]]
        )
    changed = [(*each[:3], "now", *each[4:7], date(2027, 1, 1), *each[8:]) for each in rows[1:]]
    assert stored(connection) == [rows[0], *changed]


@pytest.mark.parametrize("number", NUMBERS)
def test_rows_are_written_over_those_with_their_keys(connection: Connection, number: int):
    first, second = [row(each) for each in range(number)], [row(each) for each in range(1, number)]
    with writes_to(connection) as writes:
        writes.insert(things, first)
        writes.upsert(things, second)
    assert stored(connection) == [*first[:1], *second]


@pytest.mark.parametrize("number", NUMBERS)
def test_rows_are_deleted_by_their_keys(connection: Connection, number: int):
    rows = [row(each) for each in range(number + 1)]
    with writes_to(connection) as writes:
        writes.insert(things, rows)
        writes.delete(things, [each[:2] for each in rows[1:]])
    assert stored(connection) == rows[:1]


@pytest.mark.parametrize("number", [1, FEW + 1])
@pytest.mark.parametrize("bad", ["nul \x00", "half \ud800"])
def test_a_text_that_postgresql_does_not_keep_is_refused(postgres_url: str, number: int, bad: str):
    engine = open_engine(postgres_url)
    rows = [(*row(each)[:3], bad, *row(each)[4:]) for each in range(number)]
    with writing(engine) as connection:
        things.create(connection)
    with (
        pytest.raises((DataError, ValueError)),
        writing(engine) as connection,
        writes_to(connection) as writes,
    ):
        writes.insert(things, rows)
    with engine.connect() as connection:
        assert stored(connection) == []
    engine.dispose()
