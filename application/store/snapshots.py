"""Loading aggregates; snapshots keep that cheap however long their history is."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from eventsourcing.utils import resolve_topic
from sqlalchemy import BindParameter, Connection, Row, bindparam, func, insert, select, tuple_

from application.store import log
from application.store.mapper import from_snapshot, take_snapshot, to_fact
from application.store.tables import snapshots
from domain.aggregate import Aggregate
from domain.customer import Customer

EVERY = 200
"""Events of a stream between two snapshots: at most so many are replayed by a load."""

SLICE = 500
"""Streams asked for by one statement."""


def load_stream(
    connection: Connection, stream_id: UUID, *, until: int | None = None
) -> Aggregate | None:
    """The aggregate of that stream, up to version `until`; None when it has no events."""
    query = select(snapshots).where(snapshots.c.stream_id == stream_id)
    if until is not None:
        query = query.where(snapshots.c.version <= until)
    row = connection.execute(query.order_by(snapshots.c.version.desc()).limit(1)).first()
    aggregate = None if row is None else _restored(row)
    after = aggregate.version if aggregate is not None else None
    return replay(aggregate, log.read_stream(connection, stream_id, after=after, until=until))


def load_streams(connection: Connection, stream_ids: Sequence[UUID]) -> dict[UUID, Aggregate]:
    """The aggregates of those streams that exist, in three statements for any number."""
    found: dict[UUID, Aggregate | None] = {}
    for start in range(0, len(stream_ids), SLICE):
        wanted = stream_ids[start : start + SLICE]
        restored = {
            row.stream_id: _restored(row) for row in connection.execute(_LATEST, {"ids": wanted})
        }
        for stream_id, aggregate in restored.items():
            after = aggregate.version if aggregate is not None else None
            found[stream_id] = replay(
                aggregate, log.read_stream(connection, stream_id, after=after)
            )
        others = [stream_id for stream_id in wanted if stream_id not in restored]
        for entry in log.read_streams(connection, others):
            found[entry.stream_id] = to_fact(entry).mutate(found.get(entry.stream_id))
    return {stream_id: aggregate for stream_id, aggregate in found.items() if aggregate}


def replay(aggregate: Aggregate | None, entries: Iterable[log.Entry]) -> Aggregate | None:
    """The aggregate after these entries of its stream as well."""
    for entry in entries:
        aggregate = to_fact(entry).mutate(aggregate)
    return aggregate


def keep_snapshots(connection: Connection, aggregates: Iterable[Aggregate]) -> None:
    """Store the present state of these aggregates; customers', which are personal and change
    seldom, are in the log only."""
    rows = [
        {
            "stream_id": aggregate.id,
            "version": aggregate.version,
            "topic": aggregate.TOPIC,
            "payload": take_snapshot(aggregate),
        }
        for aggregate in aggregates
        if not isinstance(aggregate, Customer)
    ]
    if rows:
        connection.execute(insert(snapshots), rows)


def _restored(row: Row[Any]) -> Aggregate | None:
    return from_snapshot(resolve_topic(row.topic), row.stream_id, row.version, row.payload)


_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_LATEST = select(snapshots).where(
    tuple_(snapshots.c.stream_id, snapshots.c.version).in_(
        select(snapshots.c.stream_id, func.max(snapshots.c.version))
        .where(snapshots.c.stream_id.in_(_IDS))
        .group_by(snapshots.c.stream_id)
    )
)
