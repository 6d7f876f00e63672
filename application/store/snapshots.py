"""Loading aggregates; snapshots keep that cheap however long their history is."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.utils import resolve_topic
from sqlalchemy import (
    ARRAY,
    BindParameter,
    Connection,
    LargeBinary,
    Row,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    column,
    func,
    insert,
    literal,
    null,
    select,
    union_all,
)

from application.store import log
from application.store.database import is_postgres
from application.store.mapper import from_snapshot, take_snapshot, to_fact
from application.store.postgres_text import array_text
from application.store.sealing import WRAPPED_KEY, open_streams
from application.store.tables import events, snapshots
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
    after = aggregate.version if aggregate is not None else None
    return replay(aggregate, log.read_stream(connection, stream_id, after=after, until=until))


def load_streams(connection: Connection, stream_ids: Sequence[UUID]) -> dict[UUID, Aggregate]:
    """The aggregates of those streams that exist, in one statement for any number."""
    found: dict[UUID, Aggregate | None] = {}
    outdated: set[UUID] = set()
    for entry in _snapshots_and_events(connection, stream_ids):
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


def _snapshots_and_events(connection: Connection, stream_ids: Sequence[UUID]) -> list[log.Entry]:
    """Each stream's latest snapshot, if it has one, and the events since, by version."""
    if not stream_ids:
        return []
    on_postgres = is_postgres(connection)
    ids = (
        array_text(stream_ids)
        if on_postgres
        else msgspec.json.encode([item.hex for item in stream_ids]).decode()
    )
    rows = connection.execute(_latest(on_postgres), {"ids": ids}).all()
    entries = [log.Entry(*row[:-1]) for row in rows]
    return open_streams(connection, entries, [row[-1] for row in rows])


@lru_cache
def _latest(on_postgres: bool) -> Any:
    """Made once, since making it takes longer than running it."""
    wanted = _wanted(on_postgres)
    its_latest = select(func.max(snapshots.c.version)).where(snapshots.c.stream_id == wanted)
    start = select(
        wanted.label("stream_id"), func.coalesce(its_latest.scalar_subquery(), 0).label("version")
    ).cte("start")
    of_snapshots = {"position": literal(SNAPSHOT), **{item.name: item for item in snapshots.c}}
    columns = [
        of_snapshots.get(item.name, cast(null(), item.type)).label(item.name)
        for item in log.ENTRIES.selected_columns
    ]
    kept = select(*columns, cast(null(), LargeBinary).label(WRAPPED_KEY.name)).join_from(
        start,
        snapshots,
        and_(snapshots.c.stream_id == start.c.stream_id, snapshots.c.version == start.c.version),
    )
    since = log.ENTRIES.add_columns(WRAPPED_KEY).join_from(
        start,
        events,
        and_(events.c.stream_id == start.c.stream_id, events.c.version > start.c.version),
    )
    found = union_all(kept, since)
    return found.order_by(found.selected_columns.stream_id, found.selected_columns.version)


def _wanted(on_postgres: bool) -> Any:
    """The ids that are asked for, as a column."""
    ids: BindParameter[str] = bindparam("ids", type_=Text)
    if on_postgres:
        listed = func.unnest(cast(ids, ARRAY(Uuid)))
        return listed.table_valued(column("id", Uuid), name="wanted").render_derived().c.id
    return func.json_each(ids).table_valued(column("value", Uuid)).c.value


def _json(values: Sequence[str]) -> str:
    return msgspec.json.encode(values).decode()
