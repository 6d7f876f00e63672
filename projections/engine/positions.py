"""Where each read model stands in the log: moved in the transaction that writes its rows."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from application.store.database import is_postgres
from application.store.tables import tracking


def ensure_tracked(connection: Connection, names: Iterable[str]) -> None:
    """Start at position 0 what has no position yet."""
    insert = postgresql.insert if is_postgres(connection) else sqlite.insert
    rows = [{"name": name, "position": 0, "moved_at": datetime.now(UTC)} for name in names]
    connection.execute(insert(tracking).on_conflict_do_nothing(), rows)


def positions(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """The position of each name that is tracked."""
    query = select(tracking.c.name, tracking.c.position).where(tracking.c.name.in_(names))
    return {row.name: row.position for row in connection.execute(query)}


def lock_positions(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """The same, and nobody else moves them until the transaction ends."""
    query = select(tracking.c.name, tracking.c.position).where(tracking.c.name.in_(names))
    locked = connection.execute(query.order_by(tracking.c.name).with_for_update())
    return {row.name: row.position for row in locked}


def move(connection: Connection, names: Sequence[str], position: int) -> None:
    """Move those that the caller has locked."""
    connection.execute(
        update(tracking)
        .where(tracking.c.name.in_(names))
        .values(position=position, moved_at=datetime.now(UTC))
    )
