"""The rows that a batch of events touches: loaded at once, changed in memory, written at once."""

from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    Connection,
    Table,
    and_,
    cast,
    delete,
    func,
    literal,
    select,
    tuple_,
)

from application.store.bulk import insert_rows, upsert_rows
from application.store.database import is_postgres

SLICE = 300
Key = tuple[Any, ...]


class MissingRow(LookupError):
    """A handler relied on a row that is not there."""


class _TableRows:
    """One table's rows in memory, by primary key; None for a row that does not exist."""

    def __init__(self, table: Table, physical: Table) -> None:
        self.physical = physical
        self.names = tuple(column.name for column in table.columns)
        self.key_names = tuple(column.name for column in table.primary_key)
        self.row_class = _row_class(table)
        self.defaults = {column.name: _default(column) for column in table.columns}
        self.values_of = _values_of(self.names)
        self.key_of = _values_of(self.key_names)
        self.rows: dict[Key, Any] = {}
        self.loaded: dict[Key, Key] = {}

    def key(self, values: dict[str, Any]) -> Key:
        if len(values) != len(self.key_names):
            raise TypeError(f"{self.physical.name} is keyed by {', '.join(self.key_names)}.")
        return tuple(values[name] for name in self.key_names)

    def make(self, values: dict[str, Any]) -> Any:
        row = self.row_class()
        for name, default in self.defaults.items():
            setattr(row, name, values[name] if name in values else default())
        return row

    def load(self, connection: Connection, keys: Iterable[Key]) -> None:
        wanted = [key for key in keys if key not in self.rows]
        for values in _look_up(connection, self.physical, wanted):
            row = self.make(dict(zip(self.names, values, strict=True)))
            key = self.key_of(row)
            self.rows[key] = row
            self.loaded[key] = tuple(values)
        for key in wanted:
            self.rows.setdefault(key, None)

    def write(self, connection: Connection) -> None:
        new, changed = [], []
        values_of = self.values_of
        for key, row in self.rows.items():
            if row is None:
                continue
            values = values_of(row)
            if key not in self.loaded:
                new.append(values)
            elif values != self.loaded[key]:
                changed.append(values)
        gone = [key for key in self.loaded if self.rows[key] is None]
        for start in range(0, len(gone), SLICE):
            connection.execute(_removal(self.physical, gone[start : start + SLICE]))
        if new:
            insert_rows(connection, self.physical, new)
        if changed:
            upsert_rows(connection, self.physical, changed)


class Rows:
    """What handlers see of their tables. Keys are all primary key columns, by name."""

    def __init__(self, connection: Connection, tables: dict[Table, Table]) -> None:
        self._connection = connection
        self._tables = {table: _TableRows(table, physical) for table, physical in tables.items()}

    def of(self, table: Table, **key: Any) -> Any:
        """The row with that key, made with the columns' defaults if there is none."""
        row = self.find(table, **key)
        return row if row is not None else self.add(table, **key)

    def get(self, table: Table, **key: Any) -> Any:
        """The row with that key; raises `MissingRow`."""
        row = self.find(table, **key)
        if row is None:
            raise MissingRow(f"{table.name} has no row {key}.")
        return row

    def find(self, table: Table, **key: Any) -> Any | None:
        """The row with that key, or None."""
        rows = self._tables[table]
        wanted = rows.key(key)
        if wanted not in rows.rows:
            rows.load(self._connection, [wanted])
        return rows.rows[wanted]

    def add(self, table: Table, **values: Any) -> Any:
        """A new row."""
        rows = self._tables[table]
        row = rows.make(values)
        key = rows.key_of(row)
        if rows.rows.get(key) is not None:
            raise ValueError(f"{table.name} has a row {key} already.")
        rows.rows[key] = row
        return row

    def remove(self, table: Table, **key: Any) -> None:
        """Delete the row with that key, if there is one."""
        if self.find(table, **key) is not None:
            rows = self._tables[table]
            rows.rows[rows.key(key)] = None

    def prefetch(self, rehearsal: "Rehearsal") -> None:
        """Load all rows that were asked for in the rehearsal, in one query per table."""
        for table, keys in rehearsal.asked.items():
            self._tables[table].load(self._connection, keys)

    def write(self) -> None:
        """Write every change, in at most three statements per table."""
        for rows in self._tables.values():
            rows.write(self._connection)


class Rehearsal(Rows):
    """Learns which rows a batch touches: answers with throw-away rows, and notes their keys."""

    def __init__(self, connection: Connection, tables: dict[Table, Table]) -> None:
        super().__init__(connection, tables)
        self.asked: dict[Table, dict[Key, None]] = {table: {} for table in tables}

    def find(self, table: Table, **key: Any) -> Any:
        rows = self._tables[table]
        self.asked[table][rows.key(key)] = None
        return rows.make(key)

    def add(self, table: Table, **values: Any) -> Any:
        return self._tables[table].make(values)

    def remove(self, table: Table, **key: Any) -> None:
        self.find(table, **key)


def _row_class(table: Table) -> type:
    return type(table.name, (), {"__slots__": tuple(column.name for column in table.columns)})


def _values_of(names: tuple[str, ...]) -> Callable[[Any], Key]:
    """What reads these attributes of a row as a tuple, also when it is only one."""
    read = attrgetter(*names)
    return read if len(names) > 1 else lambda row: (read(row),)


def _default(column: Column[Any]) -> Callable[[], Any]:
    given = column.default
    if given is not None and given.is_callable:
        return lambda: given.arg(None)  # type: ignore[attr-defined]
    value = given.arg if given is not None else None  # type: ignore[attr-defined]
    return lambda: value


def _look_up(connection: Connection, table: Table, keys: list[Key]) -> Iterator[Any]:
    """The rows with these keys: all in one statement on PostgreSQL, where arrays have no limit."""
    if not keys:
        return
    if is_postgres(connection):
        yield from connection.execute(_joined(table, keys))
        return
    for start in range(0, len(keys), SLICE):
        yield from connection.execute(
            select(table).where(_among(table, keys[start : start + SLICE]))
        )


def _joined(table: Table, keys: list[Key]) -> Any:
    columns = list(table.primary_key)
    arrays = [
        cast(literal(list(values), ARRAY(column.type)), ARRAY(column.type))
        for column, values in zip(columns, zip(*keys, strict=True), strict=True)
    ]
    names = [f"key_{number}" for number in range(len(columns))]
    wanted = func.unnest(*arrays).table_valued(*names).render_derived(name="wanted")
    same = [column == wanted.c[name] for column, name in zip(columns, names, strict=True)]
    return select(table).join(wanted, and_(*same))


def _removal(table: Table, keys: list[Key]) -> Any:
    return delete(table).where(_among(table, keys))


def _among(table: Table, keys: list[Key]) -> Any:
    columns = list(table.primary_key)
    if len(columns) == 1:
        return columns[0].in_([key[0] for key in keys])
    return tuple_(*columns).in_(keys)
