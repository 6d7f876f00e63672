"""Loading aggregates; snapshots keep that cheap however long their history is."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.utils import resolve_topic
from sqlalchemy import Connection, Row, insert, select, text

from application.store import log, prepared
from application.store.database import is_postgres
from application.store.mapper import from_snapshot, take_snapshot, to_fact
from application.store.postgres_text import array_text
from application.store.sealing import WRAPPED_KEY, open_streams
from application.store.tables import customer_keys, events, snapshots
from domain.aggregate import Aggregate
from domain.customer import Customer

EVERY = 200
"""Events of a stream between two snapshots: at most so many are replayed by a load."""

SNAPSHOT = 0
"""The position of what is a snapshot, among events."""


def load_stream(
    connection: Connection, stream_id: UUID, *, until: int | None = None
) -> Aggregate | None:
    """The aggregate of that stream, up to version `until`; None when it has no events."""
    query = select(snapshots).where(snapshots.c.stream_id == stream_id)
    if until is not None:
        query = query.where(snapshots.c.version <= until)
    row = connection.execute(query.order_by(snapshots.c.version.desc()).limit(1)).first()
    aggregate = None if row is None else _restored(row)
    after = aggregate.version if aggregate is not None else 0
    return replay(aggregate, log.each_of_stream(connection, stream_id, after=after, until=until))


def load_streams(connection: Connection, stream_ids: Sequence[UUID]) -> dict[UUID, Aggregate]:
    """The aggregates of those streams that exist, in one statement for any number."""
    if not stream_ids:
        return {}
    if is_postgres(connection):
        return made_of(
            connection, prepared.execute(connection, [_SORTED], [array_text(stream_ids)])
        )
    ids = msgspec.json.encode([stream_id.hex for stream_id in stream_ids]).decode()
    return made_of(connection, connection.execute(_ON_SQLITE, {"ids": ids}).all())


def made_of(connection: Connection, rows: Sequence[Any]) -> dict[UUID, Aggregate]:
    """The aggregates that these rows of `STREAMS` make, sorted by stream and version."""
    found: dict[UUID, Aggregate | None] = {}
    outdated: set[UUID] = set()
    entries = [log.Entry(*row[:-1]) for row in rows]
    for entry in open_streams(connection, entries, [row[-1] for row in rows]):
        if entry.position == SNAPSHOT:
            found[entry.stream_id] = _restored(entry)
            if found[entry.stream_id] is None:
                outdated.add(entry.stream_id)
        elif entry.stream_id not in outdated:
            found[entry.stream_id] = to_fact(entry).mutate(found.get(entry.stream_id))
    for stream_id in outdated:
        found[stream_id] = replay(None, log.read_stream(connection, stream_id))
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


def _restored(row: Row[Any] | log.Entry) -> Aggregate | None:
    return from_snapshot(resolve_topic(row.topic), row.stream_id, row.version, row.payload)


_LATEST = f"""
WITH start AS (
     SELECT id, coalesce((SELECT max(version) FROM snapshots WHERE stream_id = id), 0) AS version
       FROM {{wanted}})
SELECT {SNAPSHOT} AS position, stream_id, snapshots.version, topic, payload,
       NULL AS metadata, NULL AS occurred_at, NULL AS recorded_at, NULL AS wrapped_key
  FROM start JOIN snapshots ON stream_id = id AND snapshots.version = start.version
 UNION ALL
SELECT {log.COLUMNS_SQL}, {WRAPPED_KEY}
  FROM start JOIN events ON stream_id = id AND events.version > start.version
"""  # nosec B608 # names only
_ORDER = " ORDER BY 2, 3"
STREAMS = _LATEST.format(wanted="unnest(%s::uuid[]) AS wanted (id)")
"""On PostgreSQL: each stream's latest snapshot, if it has one, and the events since."""
_SORTED = STREAMS + _ORDER
_ON_SQLITE = text(
    _LATEST.format(wanted="(SELECT value AS id FROM json_each(:ids)) AS wanted") + _ORDER
).columns(*(events.c[name] for name in log.COLUMNS), customer_keys.c.wrapped_key)
