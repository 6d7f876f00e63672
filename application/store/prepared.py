"""Statements that are parsed and planned once for each connection, not each time they run.

Batches of commands and steps of the projector run some thirty small statements for a handful of
events; PostgreSQL planned them for longer than it ran them (`WITH … UNION ALL` that loads four
streams: 0.75 ms, 0.19 ms prepared). They run on connections whose plans do not depend on how
large a table is, since a plan that was best for ten rows would be kept when there are a million.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult

KEPT = "turnstile_prepared"
"""Under this name a connection that prepares has its statements, in its `info`."""
SETTINGS = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off"
"""Without index there is the log's head, whose one row would then be worth compiling for."""
MOST = 500
"""So many statements are kept of a connection, then it begins anew: the tables of rebuilds have
names of their own."""


def fetch(connection: Connection, statements: Sequence[str], values: Sequence[Any]) -> list[Any]:
    """The rows that the last of these statements finds; see `execute`."""
    return list(execute(connection, statements, values))


def execute(
    connection: Connection, statements: Sequence[str], values: Sequence[Any]
) -> CursorResult[Any]:
    """Run PostgreSQL statements, which have `%s` for each value, in one round trip.

    If one fails, all are prepared anew the next time: nobody knows how far the connection came.
    """
    known: dict[str, str] | None = connection.info.get(KEPT)
    run = statements if known is None else _prepared(known, statements)
    try:
        return connection.exec_driver_sql(";\n".join(run), tuple(values))
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
