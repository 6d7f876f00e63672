"""Statements that are parsed and planned once for each connection, not each time they run.

Batches of commands and steps of the projector run some thirty small statements for a handful of
events; PostgreSQL planned them for longer than it ran them (what loads four streams: 0.75 ms, 0.19
prepared). Connections `for_batches` prepare them: their plans depend on no table's size.
"""

from collections.abc import Sequence
from typing import Any

import psycopg2
from sqlalchemy import Connection

from application.store.database import PREPARED, Prepared, as_sqlalchemys, raw_cursor
from application.store.postgres_text import Row

MOST = 500
"""So many statements are kept of a connection, then it begins anew. There are fewer kinds."""


def execute(connection: Connection, statements: Sequence[str], values: Sequence[Any]) -> list[Row]:
    """Run PostgreSQL statements, which have `%s` for each value, in one round trip; the rows that
    the last one finds.

    By the driver itself: of small batches, SQLAlchemy's part was a tenth of the web process. If a
    statement fails, all are prepared anew the next time: nobody knows how far it came.
    """
    prepared: Prepared | None = connection.info.get(PREPARED)
    if prepared is None:
        with raw_cursor(connection) as cursor:
            return _run(cursor, statements, values)
    try:
        return _run(prepared.cursor, _prepared(prepared.known, statements), values)
    except BaseException as error:
        prepared.known.clear()
        if isinstance(error, psycopg2.Error):
            raise as_sqlalchemys(error, connection) from error
        raise


def _run(cursor: Any, statements: Sequence[str], values: Sequence[Any]) -> list[Row]:
    cursor.execute(";\n".join(statements), tuple(values) or None)
    return cursor.fetchall() if cursor.description else []


def _prepared(known: dict[str, str], statements: Sequence[str]) -> list[str]:
    if len(known) + len(statements) > MOST:
        known.clear()
    run = [] if known else ["DEALLOCATE ALL"]
    for statement in statements:
        if statement in _CONTROL:
            run.append(statement)
            continue
        if statement not in known:
            name, count = f"statement_{len(known)}", statement.count("%s")
            run.append(f"PREPARE {name} AS {_numbered(statement, count)}")
            values = f" ({', '.join(['%s'] * count)})" if count else ""
            known[statement] = f"EXECUTE {name}{values}"
        run.append(known[statement])
    return run


def _numbered(statement: str, count: int) -> str:
    """With `$1`, `$2` and so on, as PREPARE has them."""
    for number in range(1, count + 1):
        statement = statement.replace("%s", f"${number}", 1)
    return statement


_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK")
"""What cannot be prepared."""
