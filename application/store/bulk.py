"""Writing many rows at once: COPY and multi-row upserts on PostgreSQL, executemany on SQLite.

SQLAlchemy sends an upsert row by row here. Measured, median of four rebuilds of the orders of
13,000 events: 0.48 s of CPU in this process instead of 0.72, 0.7 s in all instead of 1.0.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg2
from psycopg2.extras import Json, execute_values
from sqlalchemy import JSON, Connection, Table, insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from application.store.database import is_postgres

PAGE = 500
Row = tuple[Any, ...]


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows whose values stand in the order of the table's columns."""
    if not is_postgres(connection):
        names = table.columns.keys()
        connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])
        return
    text = io.StringIO("".join("\t".join(map(_copied, row)) + "\n" for row in rows))
    with _raw_cursor(connection) as cursor:
        cursor.copy_expert(f"COPY {table.name} ({_column_list(table)}) FROM STDIN", text)


def upsert_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Write rows over those with the same primary key."""
    if is_postgres(connection):
        with _raw_cursor(connection) as cursor:
            execute_values(cursor, _upsert_sql(table), _adapted(table, rows), page_size=PAGE)
        return
    statement = sqlite.insert(table)
    upsert = statement.on_conflict_do_update(
        index_elements=_key_names(table),
        set_={name: statement.excluded[name] for name in _other_names(table)},
    )
    names = table.columns.keys()
    connection.execute(upsert, [dict(zip(names, row, strict=True)) for row in rows])


@contextmanager
def _raw_cursor(connection: Connection) -> Iterator[Any]:
    """The driver's cursor, in the connection's transaction; errors are SQLAlchemy's as ever."""
    with closing(connection.connection.cursor()) as cursor:
        try:
            yield cursor
        except psycopg2.Error as error:
            lost = connection.dialect.is_disconnect(error, None, cursor)  # type: ignore[arg-type]
            if lost:
                connection.invalidate(error)
            raise DBAPIError.instance(
                "bulk write",
                None,
                error,
                psycopg2.Error,
                connection_invalidated=lost,
                dialect=connection.dialect,
            ) from error


def _upsert_sql(table: Table) -> str:
    updates = ", ".join(f"{name} = excluded.{name}" for name in _other_names(table))
    return (
        f"INSERT INTO {table.name} ({_column_list(table)}) VALUES %s "
        f"ON CONFLICT ({', '.join(_key_names(table))}) "
        f"DO {f'UPDATE SET {updates}' if updates else 'NOTHING'}"
    )


def _adapted(table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    documents = [isinstance(column.type, JSON) for column in table.columns]
    if not any(documents):
        return rows
    return [
        tuple(
            Json(value) if is_document else value
            for value, is_document in zip(row, documents, strict=True)
        )
        for row in rows
    ]


def _column_list(table: Table) -> str:
    return ", ".join(table.columns.keys())


def _key_names(table: Table) -> list[str]:
    return [column.name for column in table.primary_key]


def _other_names(table: Table) -> list[str]:
    return [column.name for column in table.columns if not column.primary_key]


def _copied(value: Any) -> str:
    """One value in COPY's text format (PostgreSQL manual, COPY, "Text Format")."""
    return _COPIED[type(value)](value)


def _copied_text(value: str) -> str:
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    for character, escape in _ESCAPES:
        if character in value:
            value = value.replace(character, escape)
    return value


_ESCAPES = (("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
_COPIED: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "\\N",
    str: _copied_text,
    int: str,
    float: repr,
    bool: lambda value: "t" if value else "f",
    bytes: lambda value: "\\\\x" + value.hex(),
    UUID: lambda value: value.hex,
    datetime: datetime.isoformat,
    date: date.isoformat,
    list: lambda value: _copied_text(msgspec.json.encode(value).decode()),
    dict: lambda value: _copied_text(msgspec.json.encode(value).decode()),
}
