"""Batches of events: what is rehearsed, and that a row is right whether it was or not."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select

from application.store.database import open_engine
from application.store.writes import writes_to
from projections.engine.applying import Target
from projections.engine.read_model import ReadModel
from projections.engine.rows import Rehearsal, Rows

visits = Table(
    "visits",
    MetaData(),
    Column("number", Integer, primary_key=True),
    Column("guests", Integer, nullable=False, default=0),
)


@dataclass(frozen=True)
class Came:
    """`known` guests are looked for, others are new."""

    TOPIC = "Visit.Came"
    number: int
    known: bool = False
    originator_id: UUID = field(default_factory=uuid4)


class Left(Came):
    TOPIC = "Visit.Left"


rehearsed: list[int] = []


def came(rows: Rows, event: Came) -> None:
    if isinstance(rows, Rehearsal):
        rehearsed.append(event.number)
    find = rows.get if event.known else rows.add
    find(visits, number=event.number).guests += 1


def left(rows: Rows, event: Left) -> None:
    if isinstance(rows, Rehearsal):
        rehearsed.append(event.number)
    rows.get(visits, number=event.number).guests -= 1


MODEL: Any = ReadModel("visits", tables=(visits,), handlers={Came: came, Left: left})  # type: ignore[dict-item]


@pytest.fixture
def connection(migrated_url: str) -> Iterator[Connection]:
    rehearsed.clear()
    engine = open_engine(migrated_url)
    with engine.connect() as connection:  # nothing is committed
        visits.create(connection)
        connection.execute(insert(visits), [{"number": 1, "guests": 5}])
        yield connection
    engine.dispose()


def take(connection: Connection, target: Target, *facts: Any) -> list[int]:
    """Which of them were rehearsed."""
    rehearsed.clear()
    with writes_to(connection) as writes:
        target.take_together(writes, facts)
    return list(rehearsed)


def stored(connection: Connection) -> list[Any]:
    return [tuple(row) for row in connection.execute(select(visits).order_by(visits.c.number))]


def test_events_that_only_add_rows_are_not_rehearsed_again(connection: Connection) -> None:
    target = Target(MODEL)
    assert take(connection, target, Came(2), Left(1)) == [2, 1]
    assert take(connection, target, Came(3), Left(3), Left(1)) == [3, 1]
    assert stored(connection) == [(1, 3), (2, 1), (3, 0)]


def test_events_that_look_for_a_row_after_all_are_rehearsed_again(connection: Connection) -> None:
    target = Target(MODEL)
    take(connection, target, Came(2))
    assert take(connection, target, Came(1, known=True), Came(3)) == []
    assert take(connection, target, Came(4), Came(1, known=True)) == [4, 1]
    assert take(connection, target, Came(5)) == [5]
    assert stored(connection) == [(1, 7), (2, 1), (3, 1), (4, 1), (5, 1)]
