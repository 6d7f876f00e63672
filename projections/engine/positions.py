"""Where each read model stands in the log: moved in the transaction that writes its rows."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, select

from application.store.tables import tracking
from application.store.writes import Writes, insert_missing


class Standing(NamedTuple):
    """A position, and when it was moved there: who finds the same two knows that nobody has
    written the read model meanwhile."""

    position: int
    moved_at: datetime


def ensure_tracked(connection: Connection, names: Iterable[str]) -> None:
    """Start at position 0 what has no position yet."""
    rows = [{"name": name, "position": 0, "moved_at": datetime.now(UTC)} for name in names]
    insert_missing(connection, tracking, rows)


def positions(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """The position of each name that is tracked."""
    query = select(tracking.c.name, tracking.c.position).where(tracking.c.name.in_(names))
    return {row.name: row.position for row in connection.execute(query)}


def lock_positions(connection: Connection, names: Sequence[str]) -> dict[str, Standing]:
    """Where they stand, and nobody else moves them until the transaction ends."""
    locked = connection.execute(_LOCKED, {"names": names})
    return {row.name: Standing(row.position, row.moved_at) for row in locked}


def move(writes: Writes, names: Sequence[str], position: int) -> Standing:
    """Move those that the caller has locked; where they stand then."""
    standing = Standing(position, datetime.now(UTC))
    named = ", ".join("%s" for _ in names)
    moved = f"UPDATE tracking SET position = %s, moved_at = %s WHERE name IN ({named})"  # nosec B608 # only %s
    writes.run(moved, *standing, *names)
    return standing


_NAMES: BindParameter[Any] = bindparam("names", expanding=True)
_LOCKED = (
    select(tracking).where(tracking.c.name.in_(_NAMES)).order_by(tracking.c.name).with_for_update()
)
