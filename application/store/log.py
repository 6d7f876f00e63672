"""The log itself: append under the lock of its head, and read in order.

The row of `log_head` is the lock, the allocator of gapless positions and the head of the hash
chain. Whoever holds it is the only writer, so a reader never meets a gap that fills later.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Connection, bindparam, select

from application.store.database import is_postgres
from application.store.tables import events
from application.store.writes import Writes, writes_to

GENESIS = bytes(32)
_encode = msgspec.json.Encoder().encode


class Head(NamedTuple):
    """The end of the log: the last position, and the hash of the event there."""

    position: int
    hash: bytes


class Entry(NamedTuple):
    """One recorded event, as stored; `payload` and `metadata` are exact JSON text.

    Readers that do not verify the chain leave out its hash, which is half of a small event.
    """

    position: int
    stream_id: UUID
    version: int
    topic: str
    payload: str
    metadata: str
    occurred_at: datetime
    recorded_at: datetime
    hash: bytes = GENESIS


class NewEntry(NamedTuple):
    """One event about to be recorded."""

    stream_id: UUID
    version: int
    topic: str
    payload: str
    metadata: str
    occurred_at: datetime


def chained_hash(previous: bytes, entry: Entry) -> bytes:
    """SHA-256 over the previous hash and the JSON array of every other column, in order."""
    return hashlib.sha256(previous + _encode(entry[:-1])).digest()


def lock_head(connection: Connection) -> Head:
    """Become the only writer until the transaction ends."""
    for_update = " FOR UPDATE" if is_postgres(connection) else ""
    position, digest = connection.exec_driver_sql(_HEAD_SQL + for_update).one()
    return Head(position, bytes(digest))


def read_head(connection: Connection) -> int:
    """The last position; 0 while the log is empty."""
    position: int = connection.exec_driver_sql(_HEAD_SQL).one()[0]
    return position


def append(
    connection: Connection, head: Head, new: Sequence[NewEntry], recorded_at: datetime
) -> Head:
    """Append `new` behind the locked `head`; the first gets position `head.position + 1`.

    Raises `sqlalchemy.exc.IntegrityError` when a stream has one of the versions already, and
    `ValueError` for a time without a zone.
    """
    with writes_to(connection) as writes:
        return write(writes, head, new, recorded_at)


def write(writes: Writes, head: Head, new: Sequence[NewEntry], recorded_at: datetime) -> Head:
    """The same among other writes."""
    chain = head.hash
    recorded_at = _in_utc(recorded_at)
    rows = []
    for position, item in enumerate(new, head.position + 1):
        entry = Entry(position, *item[:-1], _in_utc(item.occurred_at), recorded_at)
        chain = chained_hash(chain, entry)
        rows.append((*entry[:-1], chain))
    moved = Head(head.position + len(rows), chain)
    writes.insert(events, rows)
    writes.run("UPDATE log_head SET position = %s, hash = %s", moved.position, moved.hash)
    return moved


def read(
    connection: Connection,
    *,
    after: int = 0,
    limit: int,
    until: int | None = None,
    topics: Sequence[str] = (),
) -> list[Entry]:
    """Entries with `after < position <= until`, in order, at most `limit`."""
    query = _ENTRIES.where(events.c.position > after).order_by(events.c.position).limit(limit)
    if until is not None:
        query = query.where(events.c.position <= until)
    if topics:
        query = query.where(events.c.topic.in_(topics))
    return [Entry(*row) for row in connection.execute(query).all()]


def read_at(connection: Connection, positions: Sequence[int]) -> list[Entry]:
    """The entries at these positions, in order."""
    query = _ENTRIES.where(events.c.position.in_(positions)).order_by(events.c.position)
    return [Entry(*row) for row in connection.execute(query)]


def read_stream(
    connection: Connection,
    stream_id: UUID,
    *,
    after: int | None = None,
    until: int | None = None,
    limit: int | None = None,
    descending: bool = False,
) -> list[Entry]:
    """Entries of one stream with `after < version <= until`, by version."""
    version = events.c.version
    query = _ENTRIES.where(events.c.stream_id == stream_id)
    query = query.order_by(version.desc() if descending else version).limit(limit)
    if after is not None:
        query = query.where(version > after)
    if until is not None:
        query = query.where(version <= until)
    return [Entry(*row) for row in connection.execute(query).all()]


def read_streams(connection: Connection, stream_ids: Sequence[UUID]) -> list[Entry]:
    """All entries of those streams, each stream's by version."""
    if not stream_ids:
        return []
    return [Entry(*row) for row in connection.execute(_STREAMS, {"ids": stream_ids})]


def _in_utc(moment: datetime) -> datetime:
    """The same moment as it will be read back, so that its hash can be computed again."""
    if moment.tzinfo is UTC:
        return moment
    if moment.utcoffset() is None:
        raise ValueError(f"{moment} has no time zone.")
    return moment.astimezone(UTC)


_HEAD_SQL = "SELECT position, hash FROM log_head"
_ENTRIES = select(*(events.c[name] for name in Entry._fields[:-1]))
_STREAMS = _ENTRIES.where(events.c.stream_id.in_(bindparam("ids", expanding=True))).order_by(
    events.c.stream_id, events.c.version
)
