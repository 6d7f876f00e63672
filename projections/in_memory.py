"""Rows with no database behind them: what handlers make of some facts, to look at and let go."""

from collections.abc import Callable, Iterable
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Column, Table

from projections.engine.rows import Rows


class RowsInMemory(Rows):
    """The rows of these tables; at first there are none. Handlers see what they always see."""

    def __init__(self, tables: Iterable[Table]) -> None:
        self._made = {table: _InMemory(table) for table in tables}

    def of(self, table: Table, **key: Any) -> Any:
        made = self._made[table]
        return made.rows.get(made.key(key)) or made.add(key)

    def find(self, table: Table, **key: Any) -> Any | None:
        made = self._made[table]
        return made.rows.get(made.key(key))

    def add(self, table: Table, **values: Any) -> Any:
        return self._made[table].add(values)

    def remove(self, table: Table, **key: Any) -> None:
        made = self._made[table]
        made.rows.pop(made.key(key), None)

    def all(self, table: Table) -> list[Any]:
        """Every row of the table, in the order in which they were made."""
        return list(self._made[table].rows.values())


class _InMemory:
    """One table's rows by primary key."""

    def __init__(self, table: Table) -> None:
        self.name = table.name
        self.defaults = {column.name: _default(column) for column in table.columns}
        self.key: Callable[[dict[str, Any]], Any] = itemgetter(*table.primary_key.columns.keys())
        self.rows: dict[Any, SimpleNamespace] = {}

    def add(self, values: dict[str, Any]) -> SimpleNamespace:
        key = self.key(values)
        if key in self.rows:
            raise ValueError(f"{self.name} has a row {key} already.")
        row = self.rows[key] = SimpleNamespace(**self.defaults | values)
        return row


def _default(column: Column[Any]) -> Any:
    given = column.default
    return None if given is None else given.arg  # type: ignore[attr-defined]
