"""Statements that are parsed and planned once for each connection, not each time they run.

Batches of commands and steps of the projector run some thirty small statements for a handful of
events; PostgreSQL planned them for longer than it ran them (what loads four streams: 0.75 ms, 0.19
prepared). Connections `for_batches` prepare them: their plans depend on no table's size.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from application.store.database import PREPARED, raw_cursor
from application.store.postgres_text import Row

MOST = 500
"""So many statements are kept of a connection, then it begins anew. There are fewer kinds."""


def execute(connection: Connection, statements: Sequence[str], values: Sequence[Any]) -> list[Row]:
    """Run PostgreSQL statements, which have `%s` for each value, in one round trip; the rows that
    the last one finds.

    By the driver itself: of small batches, SQLAlchemy's part was a tenth of the web process. If a
    statement fails, all are prepared anew the next time: nobody knows how far it came.
    """
    known: dict[str, str] | None = connection.info.get(PREPARED)
    run = statements if known is None else _prepared(known, statements)
    try:
        with raw_cursor(connection) as cursor:
            cursor.execute(";\n".join(run), tuple(values) or None)
            return cursor.fetchall() if cursor.description else []
    except BaseException:
        if known is not None:
            known.clear()
        raise


def _prepared(known: dict[str, str], statements: Sequence[str]) -> list[str]:
    if len(known) + len(statements) > MOST:
        known.clear()
    run = [] if known else ["DEALLOCATE ALL"]
    for statement in statements:
        count = statement.count("%s")
        if not count:
            run.append(statement)
            continue
        if statement not in known:
            name = f"statement_{len(known)}"
            run.append(f"PREPARE {name} AS {_numbered(statement, count)}")
            known[statement] = f"EXECUTE {name} ({', '.join(['%s'] * count)})"
        run.append(known[statement])
    return run


def _numbered(statement: str, count: int) -> str:
    """With `$1`, `$2` and so on, as PREPARE has them."""
    for number in range(1, count + 1):
        statement = statement.replace("%s", f"${number}", 1)
    return statement
