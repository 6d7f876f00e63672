"""Statements that a connection to PostgreSQL prepares when it first runs them.

The projector runs some twenty small statements for a handful of events; to parse and plan them took
a third of that time. A DELETE is not prepared: it looks for its rows, and the plan that is best for
a table of ten rows would be kept when it has a million.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

MOST = 500
"""So many statements are kept of a connection; then it begins anew. The tables of rebuilds have
names of their own."""
_PREPARED = "turnstile_prepared"


@contextmanager
def preparing(connection: Connection, statements: Sequence[str]) -> Iterator[list[str]]:
    """What to run for `statements`, which have `%s` for each value, with the same values.

    Whatever is raised in the block makes the connection prepare all of them anew: nobody knows
    how far it came.
    """
    known: dict[str, str] = connection.info.setdefault(_PREPARED, {})
    if len(known) + len(statements) > MOST:
        known.clear()
    run = [] if known else ["DEALLOCATE ALL"]
    for statement in statements:
        if statement.startswith("DELETE") or "%s" not in statement:
            run.append(statement)
            continue
        if statement not in known:
            name, count = f"statement_{len(known)}", statement.count("%s")
            run.append(f"PREPARE {name} AS {_numbered(statement, count)}")
            known[statement] = f"EXECUTE {name} ({', '.join(['%s'] * count)})"
        run.append(known[statement])
    try:
        yield run
    except BaseException:
        known.clear()
        raise


def _numbered(statement: str, count: int) -> str:
    """With `$1`, `$2` and so on, as PREPARE has them."""
    for number in range(1, count + 1):
        statement = statement.replace("%s", f"${number}", 1)
    return statement
