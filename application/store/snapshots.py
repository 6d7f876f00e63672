"""Loading aggregates; snapshots keep that cheap however long their history is."""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.utils import resolve_topic
from sqlalchemy import Connection, insert, select, text

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
        rows = prepared.execute(connection, [STREAMS], [array_text(stream_ids)])
        return made_of(connection, rows)
    ids = msgspec.json.encode([stream_id.hex for stream_id in stream_ids]).decode()
    return made_of(connection, connection.execute(_ON_SQLITE, {"ids": ids}).all())


def made_of(connection: Connection, rows: Sequence[Any]) -> dict[UUID, Aggregate]:
    """The aggregates that these rows of `STREAMS` make."""
    found = {row[_ID]: _restored(row[_ID:]) for row in rows if row[_SNAPSHOT] is not None}
    outdated = [stream_id for stream_id, aggregate in found.items() if aggregate is None]
    with_events = sorted((row for row in rows if row[0] is not None), key=_position)
    entries = [log.Entry(*row[:_KEY]) for row in with_events]
    for entry in open_streams(connection, entries, [row[_KEY] for row in with_events]):
        if entry.stream_id not in outdated:
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


def _restored(row: Sequence[Any]) -> Aggregate | None:
    stream_id, version, topic, payload = row
    return from_snapshot(resolve_topic(topic), stream_id, version, payload)


_position = itemgetter(0)
_KEY = len(log.COLUMNS)
_ID, _SNAPSHOT = _KEY + 1, _KEY + 4
"""Where a row of `STREAMS` has the wrapped key, the snapshot's stream and the snapshot itself."""
_COLUMNS = f"""
{log.COLUMNS_SQL}, {WRAPPED_KEY}, since.stream_id, since.version, since.topic,
CASE WHEN events.version IS NULL OR events.version = since.version + 1 THEN since.payload END
"""
_EVENTS = """
LEFT JOIN events ON events.stream_id = id AND events.version > coalesce(since.version, 0)
"""
STREAMS = f"""
SELECT {_COLUMNS}
  FROM unnest(%s::uuid[]) AS wanted (id)
  LEFT JOIN LATERAL (
       SELECT * FROM snapshots WHERE stream_id = id ORDER BY version DESC LIMIT 1) AS since ON TRUE
  {_EVENTS}
"""  # nosec B608 # names only
"""On PostgreSQL: of each stream the events since its latest snapshot, which stands beside the first
of them, or by itself; and a row without either for a stream that has none."""
_ON_SQLITE = text(
    f"""
SELECT {_COLUMNS}
  FROM (SELECT value AS id FROM json_each(:ids)) AS wanted
  LEFT JOIN snapshots AS since ON since.stream_id = id
        AND since.version = (SELECT max(version) FROM snapshots WHERE stream_id = id)
  {_EVENTS}
"""  # nosec B608 # names only
).columns(
    *(events.c[name] for name in log.COLUMNS),
    customer_keys.c.wrapped_key,
    *(snapshots.c[name] for name in ("stream_id", "version", "topic", "payload")),
)
