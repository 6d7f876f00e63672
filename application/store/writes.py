"""Writes that go to the database together: on PostgreSQL in one round trip, however many.

A batch of commands inserts events and stored answers, moves the head of the log and rings a
bell. Sent one by one these cost the leader, who holds the log's lock, six waits instead of one.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, insert
from sqlalchemy.dialects import postgresql

from application.store.database import is_postgres


class Writes:
    """Statements in order; SQLite, which is in this process, runs each at once."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.on_postgres = is_postgres(connection)
        self._statements: list[str] = []
        self._values: list[Any] = []

    def insert(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows whose values stand in the order of the table's columns."""
        if not rows:
            return
        if self.on_postgres:
            columns = zip(*rows, strict=True)
            self.run(_insert_sql(table), *(_array(column) for column in columns))
            return
        names = table.columns.keys()
        named = [dict(zip(names, row, strict=True)) for row in rows]
        self.connection.execute(insert(table), named)

    def run(self, sql: str, *values: Any) -> None:
        """Any statement, with `%s` for each value."""
        if self.on_postgres:
            self._statements.append(sql)
            self._values.extend(values)
        else:
            self.connection.exec_driver_sql(sql.replace("%s", "?"), values)

    def send(self) -> None:
        """Run what waits; raises SQLAlchemy's errors, as each statement by itself would."""
        if self._statements:
            sql, values = ";\n".join(self._statements), tuple(self._values)
            self._statements, self._values = [], []
            self.connection.exec_driver_sql(sql, values)


@contextmanager
def writes_to(connection: Connection) -> Iterator[Writes]:
    """Writes that are sent at the end of the block."""
    writes = Writes(connection)
    yield writes
    writes.send()


@cache
def _insert_sql(table: Table) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    arrays = ", ".join(f"%s::{column.type.compile(dialect)}[]" for column in table.columns)
    names = ", ".join(table.columns.keys())
    return f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays})"


def _array(column: Sequence[Any]) -> list[Any]:
    """The driver adapts an id in Python, but a text in C."""
    if isinstance(column[0], UUID):
        return [value.hex for value in column]
    return list(column)
