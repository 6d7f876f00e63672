"""What a rebuild found in the live rows: compared one by one inside the database, and kept."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    Text,
    and_,
    cast,
    false,
    func,
    insert,
    or_,
    select,
    update,
)

from domain.ids import uuid7
from projections.engine.tables import comparisons

EXAMPLES = 5
"""Of each kind and table; more of them say no more."""
WITHHELD = "(text)"
"""Stands for every text: a name, an address or a ticket's secret has no place in what is kept,
since the rows themselves can be rid of it."""

EQUAL, DIFFERENT, UNFILLED = "equal", "different", "unfilled"
COUNTS = ("equal", "missing", "extra", "different")

Shown = str | None


@dataclass(frozen=True)
class Example:
    """A row that is not the same: what is wrong with it (`missing`, `extra` or `different`), its
    key, and of a different one the columns with their values `[live, rebuilt]`."""

    fault: str
    key: dict[str, Shown]
    columns: dict[str, tuple[Shown, Shown]]


@dataclass(frozen=True)
class TableComparison:
    """Rows of one table by what came of them: `missing` in the live one, `extra` in it, or
    `different` from the rebuilt one."""

    table: str
    equal: int
    missing: int
    extra: int
    different: int
    examples: list[Example]

    @property
    def is_equal(self) -> bool:
        return not (self.missing or self.extra or self.different)


@dataclass(frozen=True)
class Comparison:
    """The report of one rebuild. The live rows and the rebuilt ones both stood at `position`.

    `outcome` is `EQUAL`, `DIFFERENT`, or `UNFILLED` where there were no live rows to compare.
    `parked_before` and `parked_after` count the events that waited for the live read model and
    for the rebuilt one. `seconds` are those of comparing alone; `swapped_at` stays None where the
    live rows were left.
    """

    id: UUID
    read_model: str
    position: int
    outcome: str
    equal: int
    missing: int
    extra: int
    different: int
    parked_before: int
    parked_after: int
    started_at: datetime
    compared_at: datetime
    seconds: float
    tables: list[TableComparison]
    swapped_at: datetime | None = None

    @classmethod
    def of(cls, tables: list[TableComparison], **about: Any) -> "Comparison":
        """What these come to, of which there are none where nothing was filled."""
        outcome = EQUAL if all(table.is_equal for table in tables) else DIFFERENT
        counts = {name: sum(getattr(table, name) for table in tables) for name in COUNTS}
        return cls(
            id=uuid7(),
            outcome=outcome if tables else UNFILLED,
            compared_at=datetime.now(UTC),
            tables=tables,
            **counts,
            **about,
        )


def compare_table(connection: Connection, live: Table, rebuilt: Table) -> TableComparison:
    """Hold every column of every row against its counterpart."""
    found = _counterpart(live)
    query = select(
        func.count().label("rebuilt"),
        func.count(found).label("in_both"),
        func.count().filter(_differs(live, rebuilt)).label("different"),
    ).select_from(rebuilt.outerjoin(live, _same_key(live, rebuilt)))
    rows = connection.execute(query).one()
    all_live = connection.execute(select(func.count()).select_from(live)).scalar_one()
    missing, extra = rows.rebuilt - rows.in_both, all_live - rows.in_both
    examples = [
        *(_lone(connection, "missing", rebuilt, live) if missing else ()),
        *(_lone(connection, "extra", live, rebuilt) if extra else ()),
        *(_different(connection, live, rebuilt) if rows.different else ()),
    ]
    equal = rows.in_both - rows.different
    return TableComparison(str(live.name), equal, missing, extra, rows.different, examples)


def keep(connection: Connection, comparison: Comparison) -> None:
    """Remember it."""
    values = asdict(comparison) | {"tables": msgspec.json.encode(comparison.tables).decode()}
    connection.execute(insert(comparisons).values(values))


def note_swap(connection: Connection, comparison: Comparison, at: datetime) -> None:
    """Remember that the rebuilt rows have taken the live ones' place."""
    same = comparisons.c.id == comparison.id
    connection.execute(update(comparisons).where(same).values(swapped_at=at))


def kept(
    connection: Connection, read_model: str | None = None, limit: int = 20
) -> list[Comparison]:
    """Those of that read model, or of all, the latest first."""
    query = select(comparisons).order_by(comparisons.c.compared_at.desc()).limit(limit)
    if read_model is not None:
        query = query.where(comparisons.c.read_model == read_model)
    return [_read(row._asdict()) for row in connection.execute(query)]


def latest(connection: Connection, read_model: str) -> Comparison | None:
    """The last one of that read model."""
    return next(iter(kept(connection, read_model, limit=1)), None)


def _read(row: dict[str, Any]) -> Comparison:
    tables = msgspec.json.decode(row["tables"], type=list[TableComparison])
    return Comparison(**row | {"tables": tables})


def _lone(connection: Connection, fault: str, here: Table, there: Table) -> list[Example]:
    """Rows of one table that the other has not."""
    joined = here.outerjoin(there, _same_key(here, there))
    query = select(*map(_as_text, here.primary_key)).select_from(joined)
    rows = connection.execute(query.where(_counterpart(there).is_(None)).limit(EXAMPLES))
    return [Example(fault, _key(here, row), {}) for row in rows]


def _different(connection: Connection, live: Table, rebuilt: Table) -> list[Example]:
    names = _other_names(live)
    columns = [*live.primary_key, *(table.c[name] for name in names for table in (live, rebuilt))]
    query = select(*map(_as_text, columns)).join_from(rebuilt, live, _same_key(live, rebuilt))
    rows = connection.execute(query.where(_differs(live, rebuilt)).limit(EXAMPLES))
    return [
        Example("different", _key(live, row), _changes(live, row[len(live.primary_key) :]))
        for row in rows
    ]


def _changes(table: Table, values: Any) -> dict[str, tuple[Shown, Shown]]:
    """Names of the columns that differ, of `values` that are live and rebuilt in turns."""
    pairs = zip(_other_names(table), values[::2], values[1::2], strict=True)
    return {
        name: (_shown(table.c[name], live), _shown(table.c[name], rebuilt))
        for name, live, rebuilt in pairs
        if live != rebuilt
    }


def _key(table: Table, values: Any) -> dict[str, Shown]:
    columns = zip(table.primary_key, values, strict=False)
    return {str(column.name): _shown(column, value) for column, value in columns}


def _shown(column: Column[Any], value: Shown) -> Shown:
    return value if value is None or not isinstance(column.type, Text) else WITHHELD


def _as_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Nothing can be wrong with a value that this would not survive."""
    return cast(column, Text).label(None)


def _same_key(one: Table, other: Table) -> ColumnElement[bool]:
    return and_(*(column == other.c[column.name] for column in one.primary_key))


def _counterpart(table: Table) -> Column[Any]:
    """What is NULL in an outer join where the table has no such row."""
    return next(iter(table.primary_key))


def _differs(live: Table, rebuilt: Table) -> ColumnElement[bool]:
    """Of rows that are in both."""
    unlike = (live.c[name].is_distinct_from(rebuilt.c[name]) for name in _other_names(live))
    return and_(_counterpart(live).is_not(None), or_(false(), *unlike))


def _other_names(table: Table) -> list[str]:
    return [str(column.name) for column in table.columns if not column.primary_key]
