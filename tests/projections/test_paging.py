"""Pages: every row once, in order, whatever happens between them; and cursors of others' making."""

import base64
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import (
    Column,
    Connection,
    Date,
    Double,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    delete,
    insert,
    select,
)

from application.store.database import open_engine, writing
from application.store.tables import UTCDateTime
from projections.paging import BadCursor, page

gigs = Table(
    "gigs",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("seats", Integer),
    Column("share", Double),
    Column("day", Date),
    Column("starts_at", UTCDateTime),
)
BY_START = (gigs.c.starts_at, gigs.c.id)


def gig(number: int) -> dict[str, Any]:
    """Two gigs at a time start at the same instant; the id tells them apart."""
    instant = datetime(2026, 6, 1 + number // 2, 19, 30, 0, 250, tzinfo=UTC)
    return {
        "id": UUID(int=number),
        "name": f"Gig № {number // 2}",
        "seats": -(number // 2),
        "share": number // 2 / 3,
        "day": instant.date(),
        "starts_at": instant,
    }


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = open_engine(database_url)
    with writing(engine) as connection:
        gigs.create(connection)
        connection.execute(insert(gigs), [gig(number) for number in range(7)])
        yield connection
    engine.dispose()


def numbers(found: dict[str, Any]) -> list[int]:
    return [item["id"].int for item in found["items"]]


def read_all(connection: Connection, **how: Any) -> list[list[int]]:
    pages = [page(connection, select(gigs.c.id), **how)]
    while pages[-1]["next"] is not None:
        pages.append(page(connection, select(gigs.c.id), after=pages[-1]["next"], **how))
    return [numbers(found) for found in pages]


def cursor(*values: Any, connection: Connection | None = None, by: Any = BY_START) -> str:
    """With these values; and with the mark of the list ordered so, if there is a connection."""
    if connection is not None:
        given = page(connection, select(gigs.c.id), order=by, limit=1)["next"]
        values = (msgspec.json.decode(base64.urlsafe_b64decode(given + "=="))[0], *values)
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def test_pages_go_on_in_the_middle_of_a_tie(connection):
    assert read_all(connection, order=BY_START, limit=3) == [[0, 1, 2], [3, 4, 5], [6]]


def test_pages_run_backwards_through_ties(connection):
    pages = read_all(connection, order=BY_START, limit=3, descending=True)
    assert pages == [[6, 5, 4], [3, 2, 1], [0]]


@pytest.mark.parametrize("column", ["name", "share", "day", "starts_at"])
def test_a_list_can_be_ordered_by_any_type(connection, column):
    pages = read_all(connection, order=(gigs.c[column], gigs.c.id), limit=1)
    assert pages == [[0], [1], [2], [3], [4], [5], [6]]


def test_a_list_can_be_ordered_by_whole_numbers(connection):
    pages = read_all(connection, order=(gigs.c.seats, gigs.c.id), limit=2)
    assert pages == [[6, 4], [5, 2], [3, 0], [1]]


def test_a_page_that_holds_the_last_row_is_the_last(connection):
    assert page(connection, select(gigs.c.id), order=BY_START, limit=7)["next"] is None
    assert page(connection, select(gigs.c.id), order=BY_START, limit=6)["next"] is not None


def test_an_empty_list_has_an_empty_page(connection):
    nothing = select(gigs.c.id).where(gigs.c.name == "no such gig")
    assert page(connection, nothing, order=BY_START) == {"items": [], "next": None}


def test_the_next_page_stays_where_it_is_when_rows_come_and_go(connection):
    first = page(connection, select(gigs.c.id), order=BY_START, limit=3)
    connection.execute(delete(gigs).where(gigs.c.id.in_([UUID(int=0), UUID(int=2)])))
    connection.execute(insert(gigs).values(gig(1) | {"id": UUID(int=99), "day": date.max}))
    after = page(connection, select(gigs.c.id), order=BY_START, limit=2, after=first["next"])
    assert numbers(after) == [3, 4]


def test_items_hold_what_the_query_selects_and_nothing_else(connection):
    named = select(gigs.c.name.label("starts_at"))
    found = page(connection, named, order=BY_START, limit=1)
    assert found["items"] == [{"starts_at": "Gig № 0"}]


def test_items_take_the_shape_asked_for(connection):
    found = page(
        connection,
        select(gigs.c.name),
        order=BY_START,
        limit=1,
        shape=lambda row: {"title": row["name"]},
    )
    assert found["items"] == [{"title": "Gig № 0"}]


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "?",
        "ü",
        "A",
        "AAAA",
        cursor(),
        cursor("2026-06-01T19:30:00Z", str(UUID(int=1))) + "!",
        cursor("2026-06-01T19:30:00Z", str(UUID(int=1))),
    ],
)
def test_a_cursor_of_nobodys_is_refused(connection, foreign):
    with pytest.raises(BadCursor):
        page(connection, select(gigs.c.id), order=BY_START, after=foreign)


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("2026-06-01T19:30:00Z",),
        ("2026-06-01T19:30:00Z", str(UUID(int=1)), "more"),
        ("2026-06-01T19:30:00", str(UUID(int=1))),
        ("2026-06-01T19:30:00Z", 1),
        (None, None),
        ("9999-99-99T00:00:00Z", str(UUID(int=1))),
    ],
)
def test_a_cursor_that_was_changed_is_refused(connection, values):
    forged = cursor(*values, connection=connection)
    with pytest.raises(BadCursor):
        page(connection, select(gigs.c.id), order=BY_START, after=forged)


def test_a_cursor_is_good_for_its_own_list_only(connection):
    given = page(connection, select(gigs.c.id), order=BY_START, limit=2)["next"]
    assert page(connection, select(gigs.c.id), order=BY_START, after=given)["items"]
    for other in (
        {"order": BY_START, "descending": True},
        {"order": (gigs.alias("others").c.starts_at, gigs.c.id)},
    ):
        with pytest.raises(BadCursor):
            page(connection, select(gigs.c.id), after=given, **other)


@pytest.mark.parametrize(
    ("column", "value"),
    [("name", "a\0b"), ("seats", 2**64), ("seats", 1.5), ("seats", True), ("day", "2026-02-30")],
)
def test_a_cursor_holding_what_no_database_takes_is_refused(connection, column, value):
    by = (gigs.c[column], gigs.c.id)
    forged = cursor(value, str(UUID(int=1)), connection=connection, by=by)
    with pytest.raises(BadCursor):
        page(connection, select(gigs.c.id), order=by, after=forged)
