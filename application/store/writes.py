"""Writes that go to the database together: on PostgreSQL in one round trip, however many.

A batch of commands inserts events and stored answers, moves the head of the log and rings a
bell; a batch of events changes rows of twenty tables. Sent one by one these cost whoever holds
the lock as many waits.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Column, Connection, Table, and_, bindparam, delete, insert, update
from sqlalchemy.dialects import postgresql, sqlite

from application.store import prepared
from application.store.database import is_postgres, raw_cursor
from application.store.postgres_text import Row, array_text, copy_text

FEW = 8
"""Up to so many rows are sent as JSON: this process writes it four times as fast as arrays (3 rows
of 9 columns: 9 instead of 43 µs), which the server reads faster from there on."""
MANY = 200
"""From so many rows on, COPY is quicker than an INSERT, though it takes a round trip of its own."""


Columns = tuple[Column[Any], ...]
Source = Callable[[Columns], str]
"""Makes SQL for rows of these columns, which are sent with it."""
WithRows = Callable[[Table, tuple[str, ...], Source], str]
"""Makes a statement that does something to a table with rows of its columns of these names."""

_IN_JSON = {"BYTEA": "TEXT"}
_encode = msgspec.json.Encoder().encode


class Writes:
    """Statements in order; SQLite, which is in this process, runs each at once.

    Rows are tuples of values in the order of the table's columns.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.on_postgres = is_postgres(connection)
        self._statements: list[str] = []
        self._values: list[Any] = []

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows."""
        if not rows:
            return
        if not self.on_postgres:
            self.connection.execute(insert(table), _named(table, rows))
        elif len(rows) < MANY:
            self._run_with(_insert_sql, table, table.columns.keys(), rows)
        else:
            self._copy(table, rows)

    def upsert(self, table: Table, rows: Sequence[Row]) -> None:
        """Write rows over those with the same primary key."""
        if not rows:
            return
        if self.on_postgres:
            self._run_with(_upsert_sql, table, table.columns.keys(), rows)
        else:
            self.connection.execute(_upsert(table), _named(table, rows))

    def update(self, table: Table, names: Sequence[str], rows: Sequence[Row]) -> None:
        """Change the columns of these names in rows that exist; each row has its primary key first,
        then their values."""
        if not rows:
            return
        keys = table.primary_key.columns.keys()
        given = (*keys, *names)
        if self.on_postgres:
            self._run_with(_update_sql, table, given, rows)
        else:
            same = and_(*(table.c[name] == bindparam(f"given_{name}") for name in keys))
            changes: dict[str, Any] = {name: bindparam(f"given_{name}") for name in names}
            named = [
                {f"given_{name}": value for name, value in zip(given, row, strict=True)}
                for row in rows
            ]
            self.connection.execute(update(table).where(same).values(changes), named)

    def delete(self, table: Table, keys: Sequence[Row]) -> None:
        """Delete the rows with these primary keys."""
        if not keys:
            return
        if self.on_postgres:
            self._run_with(_delete_sql, table, table.primary_key.columns.keys(), keys)
        else:
            columns = list(table.primary_key)
            same = [column == bindparam(f"key_{column.name}") for column in columns]
            named = [
                {f"key_{column.name}": value for column, value in zip(columns, key, strict=True)}
                for key in keys
            ]
            self.connection.execute(delete(table).where(and_(*same)), named)

    def _run_with(
        self, sql: WithRows, table: Table, names: Sequence[str], rows: Sequence[Row]
    ) -> None:
        if len(rows) > FEW:
            made = sql(table, tuple(names), unnested)
            self.run(made, *map(array_text, zip(*rows, strict=True)))
        else:
            named = [dict(zip(names, row, strict=True)) for row in rows]
            self.run(sql(table, tuple(names), from_json), _encode(named).decode())

    def run(self, sql: str, *values: Any) -> None:
        """Any statement, with `%s` for each value."""
        if self.on_postgres:
            self._statements.append(sql)
            self._values.extend(values)
        else:
            plain = tuple(_sqlite_value(value) for value in values)
            self.connection.exec_driver_sql(sql.replace("%s", "?"), plain)

    def send(self) -> None:
        """Run what waits; raises SQLAlchemy's errors, as each statement by itself would."""
        if self._statements:
            statements, values = self._statements, self._values
            self._statements, self._values = [], []
            prepared.execute(self.connection, statements, values)

    def _copy(self, table: Table, rows: Sequence[Row]) -> None:
        self.send()
        with raw_cursor(self.connection) as cursor:
            copy = f"COPY {table.name} ({_names(table.columns)}) FROM STDIN"
            cursor.copy_expert(copy, io.StringIO(copy_text(rows)))


@contextmanager
def writes_to(connection: Connection) -> Iterator[Writes]:
    """Writes that are sent at the end of the block."""
    writes = Writes(connection)
    yield writes
    writes.send()


def insert_missing(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert, at once, those rows whose keys are not there; the others stay as they are."""
    dialect = postgresql if is_postgres(connection) else sqlite
    if rows:
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def unnested(columns: Columns) -> str:
    """SQL for rows made of arrays, one for each of these columns, with `%s` for each."""
    arrays = ", ".join(f"%s::{_type(column)}[]" for column in columns)
    return f"SELECT * FROM unnest({arrays}) AS given ({_names(columns)})"  # nosec B608 # names only


def from_json(columns: Columns) -> str:
    """The same from one `%s`: an array of objects in JSON, which has no bytes, but Base64."""
    kinds = {column.name: _type(column) for column in columns}
    given = ", ".join(f"{name} {_IN_JSON.get(kind, kind)}" for name, kind in kinds.items())
    taken = (
        f"decode({name}, 'base64')" if kind in _IN_JSON else name for name, kind in kinds.items()
    )
    return f"SELECT {', '.join(taken)} FROM json_to_recordset(%s) AS given ({given})"  # nosec B608 # names only


@lru_cache(maxsize=512)
def _type(column: Column[Any]) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return column.type.compile(dialect).partition(" COLLATE")[0]


@lru_cache(maxsize=512)
def _insert_sql(table: Table, names: tuple[str, ...], source: Source) -> str:
    return f"INSERT INTO {table.name} ({', '.join(names)}) {_given(table, names, source)}"  # nosec B608 # names only


@lru_cache(maxsize=512)
def _upsert_sql(table: Table, names: tuple[str, ...], source: Source) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in _other_names(table))
    action = f"UPDATE SET {changes}" if changes else "NOTHING"  # nosec B608 # names only
    keys = ", ".join(table.primary_key.columns.keys())
    return f"{_insert_sql(table, names, source)} ON CONFLICT ({keys}) DO {action}"


@lru_cache(maxsize=512)
def _update_sql(table: Table, names: tuple[str, ...], source: Source) -> str:
    keys = table.primary_key.columns
    changes = ", ".join(f"{name} = given.{name}" for name in names if name not in keys)
    given = _given(table, names, source)
    return f"UPDATE {table.name} SET {changes} FROM ({given}) AS given WHERE {_same_key(table)}"  # nosec B608


@lru_cache(maxsize=512)
def _delete_sql(table: Table, names: tuple[str, ...], source: Source) -> str:
    given = _given(table, names, source)
    return f"DELETE FROM {table.name} USING ({given}) AS given WHERE {_same_key(table)}"  # nosec B608


def _given(table: Table, names: tuple[str, ...], source: Source) -> str:
    return source(tuple(table.c[name] for name in names))


def _same_key(table: Table) -> str:
    keys = table.primary_key.columns.keys()
    return " AND ".join(f"{table.name}.{key} = given.{key}" for key in keys)


def _upsert(table: Table) -> Any:
    statement = sqlite.insert(table)
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={name: statement.excluded[name] for name in _other_names(table)},
    )


def _names(columns: Any) -> str:
    return ", ".join(column.name for column in columns)


def _other_names(table: Table) -> list[str]:
    return [column.name for column in table.columns if not column.primary_key]


def _named(table: Table, rows: Sequence[Row]) -> list[dict[str, Any]]:
    names = table.columns.keys()
    return [dict(zip(names, row, strict=True)) for row in rows]


def _sqlite_value(value: Any) -> Any:
    """Times as `UTCDateTime` keeps them, ids as `Uuid` does."""
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value
