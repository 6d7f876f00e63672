"""The rows that events touch: loaded at once, changed in memory, written at once.

What was loaded or written is remembered from batch to batch, so that a row which every order
changes is read once, not every time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field, make_dataclass
from functools import lru_cache
from itertools import compress, count
from operator import attrgetter, is_not, itemgetter
from typing import Any

from sqlalchemy import Column, Connection, Table, select, tuple_

from application.store import prepared
from application.store.database import is_postgres
from application.store.postgres_text import array_text
from application.store.writes import Writes, unnested

REMEMBERED = 25_000
"""Rows of each table, unless told otherwise; beyond that only the quarter of them that was touched
last stays in memory."""
SLICE = 300
Key = tuple[Any, ...]


class MissingRow(LookupError):
    """A handler relied on a row that is not there."""


class _Shape:
    """How rows of one table are made and read."""

    def __init__(self, table: Table) -> None:
        self.name = table.name
        self.row_class = _row_class(table)
        self.values_of = _reader(attrgetter, table.columns.keys())
        self.key_names = tuple(column.name for column in table.primary_key)
        self.key_of = _reader(attrgetter, self.key_names)
        self._key_named = _reader(itemgetter, self.key_names)
        self._names = table.columns.keys()
        self._changing: dict[frozenset[int], tuple[list[str], Callable[[Key], Key]]] = {}
        self.key_in = _reader(itemgetter, [self._names.index(name) for name in self.key_names])

    def changing(self, columns: frozenset[int]) -> tuple[list[str], Callable[[Key], Key]]:
        """The names of the columns at these places that are not of the key, and what reads the key
        with them of a row."""
        known = self._changing.get(columns)
        if known is None:
            names = [self._names[place] for place in sorted(columns)]
            names = [name for name in names if name not in self.key_names]
            known = names, itemgetter(*map(self._names.index, (*self.key_names, *names)))
            self._changing[columns] = known
        return known

    def key(self, values: dict[str, Any]) -> Key:
        if len(values) != len(self.key_names):
            raise TypeError(f"{self.name} is keyed by {', '.join(self.key_names)}.")
        return self._key_named(values)


class _Slot:
    """The row in memory (None: does not exist) and as last stored (None: not stored)."""

    __slots__ = ("row", "stored", "touched")

    def __init__(self) -> None:
        self.row: Any = None
        self.stored: Key | None = None
        self.touched = False


class _TableRows:
    """One table's rows by primary key; `complete` when the database has no others, `unforeseen`
    when a row of the batch had to be looked up by itself."""

    def __init__(self, table: Table, physical: Table, remembered: int) -> None:
        self.physical = physical
        self.remembered = remembered
        self.shape = _shape(table)
        self.forget(empty=False)

    def forget(self, *, empty: bool) -> None:
        self.slots: dict[Key, _Slot] = {}
        self.touched: list[_Slot] = []
        self.complete = empty
        self.unforeseen = False

    def has_to_load(self, key: Key) -> bool:
        return not self.complete and key not in self.slots

    def load(self, connection: Connection, keys: Iterable[Key]) -> None:
        wanted = [key for key in keys if self.has_to_load(key)]
        for key in wanted:
            self.slots[key] = _Slot()
        for values in _look_up(connection, self.physical, wanted):
            row = self.shape.row_class(*values)
            slot = self.slots[self.shape.key_of(row)]
            slot.row, slot.stored = row, values

    def slot(self, key: Key, connection: Connection) -> _Slot:
        """Where the row with that key belongs; it is going to be changed."""
        slot = self.slots.get(key)
        if slot is None:
            if not self.complete:
                self.unforeseen = True
                self.load(connection, [key])
                return self.new_slot(key)
            slot = self.slots[key] = _Slot()
        if not slot.touched:
            slot.touched = True
            self.touched.append(slot)
        return slot

    def new_slot(self, key: Key) -> _Slot:
        """The same where nothing needs to be looked up."""
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = _Slot()
        if not slot.touched:
            slot.touched = True
            self.touched.append(slot)
        return slot

    def write(self, writes: Writes) -> None:
        new: list[Key] = []
        changed: list[Key] = []
        gone: list[Key] = []
        columns: set[int] = set()
        for slot in self.touched:
            slot.touched = False
            values = None if slot.row is None else self.shape.values_of(slot.row)
            if values == slot.stored:
                continue
            if values is None:
                gone.append(self.shape.key_in(slot.stored))
            elif slot.stored is None:
                new.append(values)
            else:
                changed.append(values)
                columns.update(compress(count(), map(is_not, values, slot.stored)))
            slot.stored = values
        writes.delete(self.physical, gone)
        writes.insert(self.physical, new)
        if changed:
            names, of = self.shape.changing(frozenset(columns))
            writes.update(self.physical, names, list(map(of, changed)))
        self._forget_old()
        self.unforeseen = False

    def _forget_old(self) -> None:
        if len(self.slots) > self.remembered:
            latest = self.touched[-self.remembered // 4 :]
            kept = [slot for slot in latest if slot.row is not None]
            self.slots = {self.shape.key_of(slot.row): slot for slot in kept}
            self.complete = False
        self.touched = []


class Memory:
    """What one process remembers of a read model's rows, to be forgotten when others write them.

    `tables` maps the tables that handlers name to those that are read and written.
    """

    def __init__(self, tables: dict[Table, Table], remembered: int = REMEMBERED) -> None:
        self.tables = {
            table: _TableRows(table, physical, remembered) for table, physical in tables.items()
        }

    def forget(self, *, empty: bool = False) -> None:
        """Trust nothing any more, save that the tables are `empty`."""
        for rows in self.tables.values():
            rows.forget(empty=empty)

    @property
    def complete(self) -> bool:
        """Whether no row needs to be looked up."""
        return all(rows.complete for rows in self.tables.values())


class Rows:
    """What handlers see of their tables. Keys are all primary key columns, by name."""

    def __init__(self, connection: Connection, memory: Memory) -> None:
        self._connection = connection
        self._tables = memory.tables

    def of(self, table: Table, **key: Any) -> Any:
        """The row with that key, made with the columns' defaults if there is none."""
        rows = self._tables[table]
        slot = rows.slot(rows.shape.key(key), self._connection)
        if slot.row is None:
            slot.row = rows.shape.row_class(**key)
        return slot.row

    def get(self, table: Table, **key: Any) -> Any:
        """The row with that key; raises `MissingRow`."""
        row = self.find(table, **key)
        if row is None:
            raise MissingRow(f"{table.name} has no row {key}.")
        return row

    def find(self, table: Table, **key: Any) -> Any | None:
        """The row with that key, or None."""
        rows = self._tables[table]
        return rows.slot(rows.shape.key(key), self._connection).row

    def add(self, table: Table, **values: Any) -> Any:
        """A new row."""
        rows = self._tables[table]
        row = rows.shape.row_class(**values)
        slot = rows.new_slot(rows.shape.key_of(row))
        if slot.row is not None:
            raise ValueError(f"{table.name} has that row already.")
        slot.row = row
        return row

    def remove(self, table: Table, **key: Any) -> None:
        """Delete the row with that key, if there is one."""
        rows = self._tables[table]
        rows.slot(rows.shape.key(key), self._connection).row = None

    @property
    def unforeseen(self) -> bool:
        """Whether a row was asked for that the rehearsal had not."""
        return any(rows.unforeseen for rows in self._tables.values())

    def prefetch(self, rehearsal: "Rehearsal") -> None:
        """Load all rows that were asked for in the rehearsal, in one query per table."""
        for table, keys in rehearsal.asked.items():
            self._tables[table].load(self._connection, keys)

    def write(self, writes: Writes) -> None:
        """Write every change, in at most three statements per table."""
        for rows in self._tables.values():
            rows.write(writes)


class Rehearsal(Rows):
    """Learns which rows a batch touches: answers with throw-away rows, and notes their keys.

    `looks` counts how often a handler wanted a row that may exist.
    """

    def __init__(self, connection: Connection, memory: Memory) -> None:
        super().__init__(connection, memory)
        self.asked: dict[Table, dict[Key, None]] = {}
        self.looks = 0
        self._made: set[tuple[Table, Key]] = set()

    def find(self, table: Table, **key: Any) -> Any:
        self.looks += 1
        rows = self._tables[table]
        wanted = rows.shape.key(key)
        if rows.has_to_load(wanted) and (table, wanted) not in self._made:
            self.asked.setdefault(table, {})[wanted] = None
        return rows.shape.row_class(**key)

    of = find

    def add(self, table: Table, **values: Any) -> Any:
        shape = self._tables[table].shape
        row = shape.row_class(**values)
        self._made.add((table, shape.key_of(row)))
        return row

    def remove(self, table: Table, **key: Any) -> None:
        self.find(table, **key)


@lru_cache(maxsize=512)
def _shape(table: Table) -> _Shape:
    return _Shape(table)


def _row_class(table: Table) -> Any:
    fields = [(column.name, Any, _default(column)) for column in table.columns]
    return make_dataclass(table.name, fields, slots=True, eq=False)


def _default(column: Column[Any]) -> Any:
    given: Any = column.default
    if given is not None and given.is_callable:
        return field(default_factory=lambda: given.arg(None))
    return field(default=None if given is None else given.arg)


def _reader(read: Any, names: Sequence[Any]) -> Callable[[Any], Key]:
    """A function that reads these columns of a row as a tuple, also when there is only one."""
    of = read(*names)
    return of if len(names) > 1 else lambda row: (of(row),)


def _look_up(connection: Connection, table: Table, keys: list[Key]) -> Iterator[Key]:
    """The rows with these keys: all in one statement on PostgreSQL, where arrays have no limit."""
    if not keys:
        return
    if is_postgres(connection):
        arrays = [array_text(array) for array in zip(*keys, strict=True)]
        yield from prepared.execute(connection, [_joined(table)], arrays)
        return
    columns = list(table.primary_key)
    among = tuple_(*columns) if len(columns) > 1 else columns[0]
    plain = keys if len(columns) > 1 else [key[0] for key in keys]
    for start in range(0, len(keys), SLICE):
        wanted = plain[start : start + SLICE]
        yield from map(tuple, connection.execute(select(table).where(among.in_(wanted))))


@lru_cache(maxsize=512)
def _joined(table: Table) -> str:
    keys = tuple(table.primary_key)
    same = " AND ".join(f"{table.name}.{key.name} = wanted.{key.name}" for key in keys)
    columns = ", ".join(f"{table.name}.{column.name}" for column in table.columns)
    rows = f"{table.name} JOIN ({unnested(keys)}) AS wanted ON {same}"
    return f"SELECT {columns} FROM {rows}"  # nosec B608 # names only
