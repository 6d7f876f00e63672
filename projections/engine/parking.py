"""Poisoned events: a stream that a handler cannot take waits, for that read model only."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, update

from domain.aggregate import Fact
from projections.engine.tables import parked


def parked_streams(connection: Connection, read_model: str) -> dict[UUID, str]:
    """The streams that wait, with the error that parked them."""
    query = (
        select(parked.c.stream_id, func.min(parked.c.error).label("error"))
        .where(parked.c.read_model == read_model)
        .group_by(parked.c.stream_id)
    )
    return {row.stream_id: row.error for row in connection.execute(query)}


def park(connection: Connection, read_model: str, waiting: Iterable[tuple[Fact, str]]) -> None:
    """Keep these events, each with its error, for a later retry."""
    rows = [
        {
            "read_model": read_model,
            "position": fact.position,
            "stream_id": fact.originator_id,
            "error": error,
            "parked_at": datetime.now(UTC),
        }
        for fact, error in waiting
    ]
    if rows:
        connection.execute(insert(parked), rows)


def parked_positions(connection: Connection, read_model: str) -> list[int]:
    """The positions of what waits, in order."""
    query = select(parked.c.position).where(parked.c.read_model == read_model)
    return list(connection.execute(query.order_by(parked.c.position)).scalars())


def unpark(connection: Connection, read_model: str) -> None:
    """Forget what waits: it is being taken again."""
    connection.execute(delete(parked).where(parked.c.read_model == read_model))


def hand_over(connection: Connection, from_name: str, to_name: str) -> None:
    """What waits for a rebuilt read model replaces what waited for the live one."""
    unpark(connection, to_name)
    connection.execute(
        update(parked).where(parked.c.read_model == from_name).values(read_model=to_name)
    )
