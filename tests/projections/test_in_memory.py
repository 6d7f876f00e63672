"""Rows with no database behind them, as handlers use them."""

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text

from projections.engine.rows import MissingRow
from projections.in_memory import RowsInMemory

counts, gates = (
    Table(
        name,
        MetaData(),
        Column("gate", Text, primary_key=True),
        Column("day", Integer, primary_key=True),
        Column("scans", Integer, nullable=False, default=0),
        Column("note", Text),
    )
    for name in ("counts", "gates")
)


@pytest.fixture
def rows() -> RowsInMemory:
    return RowsInMemory((counts, gates))


def listed(rows: RowsInMemory, table: Table = counts) -> list[Any]:
    return [(row.gate, row.day, row.scans, row.note) for row in rows.all(table)]


def test_a_row_that_is_not_there_is_made_with_defaults(rows: RowsInMemory) -> None:
    rows.of(counts, gate="north", day=1).scans += 1
    rows.of(counts, day=1, gate="north").scans += 1
    rows.of(counts, gate="north", day=2).note = "quiet"
    assert listed(rows) == [("north", 1, 2, None), ("north", 2, 0, "quiet")]
    assert listed(rows, gates) == []


def test_a_row_that_should_be_there_fails_loudly(rows: RowsInMemory) -> None:
    rows.of(counts, gate="north", day=1)
    with pytest.raises(MissingRow, match="counts has no row"):
        rows.get(counts, gate="north", day=2)
    assert rows.find(counts, gate="north", day=2) is None
    assert rows.get(counts, gate="north", day=1) is rows.find(counts, gate="north", day=1)


def test_a_row_is_added_once(rows: RowsInMemory) -> None:
    rows.add(counts, gate="north", day=1, scans=7)
    with pytest.raises(ValueError, match="already"):
        rows.add(counts, gate="north", day=1)
    assert listed(rows) == [("north", 1, 7, None)]


def test_a_removed_row_is_gone_and_may_come_back(rows: RowsInMemory) -> None:
    rows.add(counts, gate="north", day=1, scans=7)
    rows.add(counts, gate="south", day=1)
    rows.remove(counts, gate="north", day=1)
    rows.remove(counts, gate="north", day=9)
    assert listed(rows) == [("south", 1, 0, None)]
    assert rows.of(counts, gate="north", day=1).scans == 0


def test_a_key_is_given_whole(rows: RowsInMemory) -> None:
    with pytest.raises(KeyError):
        rows.of(counts, gate="north")
