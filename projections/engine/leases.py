"""Leases: which process runs what, so that a second one stands by and takes over.

They save work; that nothing is applied twice is the doing of the locked positions.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    cast,
    func,
    literal_column,
    or_,
    select,
    update,
)

from application.store.database import is_postgres
from application.store.writes import insert_missing
from projections.engine.tables import leases

SECONDS = 10
"""How long a lease runs: after a kill -9, another process takes over within that time."""


def offer(connection: Connection, names: Iterable[str]) -> None:
    """Make leases that do not exist yet, held by nobody."""
    rows = [{"name": name, "holder": "", "runs_until": 0} for name in names]
    insert_missing(connection, leases, rows)


def take(connection: Connection, names: Sequence[str], holder: str) -> set[str]:
    """Take or renew those leases that are free or ours; the names of what we hold now."""
    now = _clock(connection)
    taken = connection.execute(
        update(leases)
        .where(leases.c.name.in_(names), or_(leases.c.holder == holder, ~_runs(now)))
        .values(holder=holder, runs_until=now + SECONDS)
        .returning(leases.c.name)
    )
    return set(taken.scalars())


def renew(connection: Connection, holder: str) -> set[str]:
    """Let our own leases run on; the names of those that nobody else has held since we took
    them."""
    renewed = connection.execute(
        update(leases)
        .where(leases.c.holder == holder)
        .values(runs_until=_clock(connection) + SECONDS)
        .returning(leases.c.name)
    )
    return set(renewed.scalars())


def give_back(connection: Connection, holder: str, names: Sequence[str] | None = None) -> None:
    """Let others take what we hold, all or what has one of these names."""
    ours = update(leases).where(leases.c.holder == holder)
    if names is not None:
        ours = ours.where(leases.c.name.in_(names))
    connection.execute(ours.values(holder="", runs_until=0))


def holders(connection: Connection) -> dict[str, str]:
    """Who holds each lease that runs."""
    query = select(leases.c.name, leases.c.holder).where(_runs(_clock(connection)))
    return {row.name: row.holder for row in connection.execute(query)}


def _runs(now: Any) -> ColumnElement[bool]:
    """One that claims to run for longer than any is of a clock that was put back since."""
    return leases.c.runs_until.between(now, now + SECONDS)


def _clock(connection: Connection) -> Any:
    if is_postgres(connection):
        return cast(func.extract("epoch", func.clock_timestamp()), BigInteger)
    return literal_column("CAST(strftime('%s', 'now') AS INTEGER)", BigInteger)
