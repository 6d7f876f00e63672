"""Poisoned events: a stream that a handler cannot take waits, for that read model only."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    Connection,
    Text,
    Uuid,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from application.store.tables import events, tracking
from domain.aggregate import Fact
from projections.engine.tables import parked

NONE = (0, 0)
"""No streams, no events."""


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


def parked_of_stream(
    connection: Connection, read_model: str, stream_id: UUID, limit: int
) -> list[int]:
    """The positions of the first events of that stream that wait, in order."""
    query = select(parked.c.position).where(
        parked.c.read_model == read_model, parked.c.stream_id == stream_id
    )
    return list(connection.execute(query.order_by(parked.c.position).limit(limit)).scalars())


def parked_counts(connection: Connection) -> dict[str, tuple[int, int]]:
    """How many streams, and how many events, wait for each read model that any wait for."""
    query = select(
        parked.c.read_model,
        func.count(parked.c.stream_id.distinct()).label("streams"),
        func.count().label("events"),
    ).group_by(parked.c.read_model)
    return {row.read_model: (row.streams, row.events) for row in connection.execute(query)}


def waiting_streams(
    connection: Connection, read_models: Sequence[str], limit: int | None = None
) -> list[dict[str, Any]]:
    """What waits for these read models, stream by stream in order of their first events: how
    many events, from which position to which, the error, and since when."""
    first = func.min(parked.c.position)
    query = (
        select(
            parked.c.read_model,
            parked.c.stream_id,
            func.count().label("events"),
            first.label("first_position"),
            func.max(parked.c.position).label("last_position"),
            func.min(parked.c.error).label("error"),
            func.min(parked.c.parked_at).label("since"),
        )
        .where(parked.c.read_model.in_(read_models))
        .group_by(parked.c.read_model, parked.c.stream_id)
        .order_by(parked.c.read_model, first)
        .limit(limit)
    )
    return [row._asdict() for row in connection.execute(query)]


def park_again(connection: Connection, read_model: str, stream_id: UUID, error: str) -> None:
    """What waits of that stream goes on waiting, since it failed with this error."""
    of_stream = (parked.c.read_model == read_model, parked.c.stream_id == stream_id)
    connection.execute(update(parked).where(*of_stream).values(error=error))


def unpark(connection: Connection, read_model: str, positions: Sequence[int]) -> None:
    """These events have been taken."""
    taken = (parked.c.read_model == read_model, parked.c.position.in_(positions))
    connection.execute(delete(parked).where(*taken))


def unpark_all(connection: Connection, read_model: str) -> None:
    """Forget what waits: it is being taken again."""
    connection.execute(delete(parked).where(parked.c.read_model == read_model))


def hand_over(connection: Connection, from_name: str, to_name: str) -> None:
    """What waits for a rebuilt read model replaces what waited for the live one."""
    unpark_all(connection, to_name)
    connection.execute(
        update(parked).where(parked.c.read_model == from_name).values(read_model=to_name)
    )


_MODEL: BindParameter[str] = bindparam("read_model", type_=Text)
_STREAM: BindParameter[UUID] = bindparam("stream_id", type_=Uuid)
_REACHED = select(tracking.c.position).where(tracking.c.name == _MODEL).scalar_subquery()
_WAITS_AT = (
    select(func.min(parked.c.position))
    .where(parked.c.read_model == _MODEL, parked.c.stream_id == _STREAM)
    .scalar_subquery()
)
VERSION_TAKEN = (
    select(func.max(events.c.version))
    .where(
        events.c.stream_id == _STREAM,
        events.c.position <= _REACHED,
        events.c.position < func.coalesce(_WAITS_AT, events.c.position + 1),
    )
    .scalar_subquery()
)
"""The version of the stream `stream_id` up to which the `read_model` has taken it; null before its
first event."""
