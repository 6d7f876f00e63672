"""The log itself: append under the lock of its head, and read in order.

The row of `log_head` is the lock, the allocator of gapless positions and the head of the hash
chain. Whoever holds it is the only writer, so a reader never meets a gap that fills later.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    bindparam,
    literal_column,
    select,
    union_all,
)

from application.store.database import is_postgres
from application.store.sealing import (
    WRAPPED_KEY,
    Keys,
    open_entries,
    open_streams,
    seal_entries,
)
from application.store.tables import events
from application.store.writes import Writes

GENESIS = bytes(32)
OPENED_TOGETHER = 1_000
"""Entries whose keys are looked up at once while many are read one by one."""
_SECRET = '"secret":"'  # nosec B105 # what to look for
_encode = msgspec.json.Encoder().encode


class Head(NamedTuple):
    """The end of the log: the last position, and the hash of the event there."""

    position: int
    hash: bytes


START = Head(0, GENESIS)
"""The end of a log without events."""


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


COLUMNS = Entry._fields[:-1]
COLUMNS_SQL = ", ".join(f"events.{name}" for name in COLUMNS)
_HASHED = Entry._fields.index("hash")
"""So many columns stand before the hash."""
_PAYLOAD = Entry._fields.index("payload")


class NewEntry(NamedTuple):
    """One event about to be recorded."""

    stream_id: UUID
    version: int
    topic: str
    payload: str
    metadata: str
    occurred_at: datetime


def hashed_text(entry: Sequence[Any]) -> bytes:
    """What a hash covers besides the previous hash: the JSON array of all columns but the hash.

    `entry` is an `Entry` or a row like it, whose ids and times may be text as JSON has them. A
    secret counts by its SHA-256, in hexadecimal digits: whoever shows this text shows no secret.
    """
    columns = entry[:_HASHED]
    payload = columns[_PAYLOAD]
    if _SECRET in payload:
        columns = (*columns[:_PAYLOAD], _veiled(payload), *columns[_PAYLOAD + 1 :])
    return _encode(columns)


def chained_hash(previous: bytes, entry: Sequence[Any]) -> bytes:
    """The hash of an entry behind the one with the `previous` hash."""
    return hash_of(previous, hashed_text(entry))


def hash_of(previous: bytes, text: bytes) -> bytes:
    """SHA-256 over the previous hash and an entry's `hashed_text`."""
    return sha256(previous + text).digest()


def lock_head(connection: Connection) -> Head:
    """Become the only writer until the transaction ends."""
    for_update = " FOR UPDATE" if is_postgres(connection) else ""
    position, digest = connection.exec_driver_sql(_HEAD_SQL + for_update).one()
    return Head(position, bytes(digest))


def current_head(connection: Connection) -> Head:
    """The end of the log as it stands, without a lock."""
    position, digest = connection.exec_driver_sql(_HEAD_SQL).one()
    return Head(position, bytes(digest))


def hash_at(connection: Connection, position: int) -> bytes | None:
    """The hash of the event there; None when there is none."""
    query = select(events.c.hash).where(events.c.position == position)
    digest = connection.execute(query).scalar()
    return None if digest is None else bytes(digest)


def read_head(connection: Connection) -> int:
    """The last position; 0 while the log is empty."""
    position: int = connection.exec_driver_sql(_HEAD_SQL).one()[0]
    return position


def write(
    writes: Writes, head: Head, new: Sequence[NewEntry], recorded_at: datetime, keys: Keys
) -> Head:
    """Append `new` behind the locked `head`, among other writes and sealed by these keys of
    customers; the first gets position `head.position + 1`. The new head.

    When the writes run, a version that a stream has already raises
    `sqlalchemy.exc.IntegrityError`. Raises `ValueError` for a time without a zone.
    """
    chain = head.hash
    recorded_at = _in_utc(recorded_at)
    rows = []
    for position, item in enumerate(seal_entries(keys, writes, new), head.position + 1):
        columns = (position, *item[:-1], _in_utc(item.occurred_at), recorded_at)
        chain = chained_hash(chain, columns)
        rows.append((*columns, chain))
    moved = Head(head.position + len(rows), chain)
    writes.insert(events, rows)
    move_head(writes, moved)
    return moved


def move_head(writes: Writes, head: Head) -> None:
    """Let the log end at `head`, whose event is among these writes."""
    writes.run("UPDATE log_head SET position = %s, hash = %s", head.position, head.hash)


def read(
    connection: Connection,
    *,
    after: int = 0,
    limit: int | None = None,
    until: int | None = None,
    topics: Sequence[str] = (),
    leave_broken: bool = False,
) -> list[Entry]:
    """Entries with `after < position <= until`, in order, at most `limit`.

    What is sealed in them and does not open raises `SealBroken`, or is left sealed.
    """
    query = ENTRIES.where(events.c.position > after).order_by(events.c.position).limit(limit)
    if until is not None:
        query = query.where(events.c.position <= until)
    if topics:
        query = query.where(events.c.topic.in_(topics))
    return _entries(connection, query, leave_broken)


def read_at(connection: Connection, positions: Sequence[int]) -> list[Entry]:
    """The entries at these positions, in order; what is sealed and does not open is left so."""
    query = ENTRIES.where(events.c.position.in_(positions)).order_by(events.c.position)
    return _entries(connection, query, leave_broken=True)


def read_first(connection: Connection, stream_ids: Sequence[UUID]) -> list[Entry]:
    """The entry that each of these streams begins with, in the order of their positions."""
    begins = events.c.stream_id.in_(stream_ids) & (events.c.version == 1)
    return _entries(connection, ENTRIES.where(begins).order_by(events.c.position))


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
    query = ENTRIES.where(events.c.stream_id == stream_id)
    query = query.order_by(version.desc() if descending else version).limit(limit)
    if after is not None:
        query = query.where(version > after)
    if until is not None:
        query = query.where(version <= until)
    return _entries(connection, query)


def each_of_stream(
    connection: Connection, stream_id: UUID, *, after: int = 0, until: int | None = None
) -> Iterator[Entry]:
    """The same one by one, however many there are; only some are in memory at a time.

    Versions have no gaps, and by a range of them only these few are read, whatever the plan.
    """
    more = True
    while more:
        last = after + OPENED_TOGETHER
        if until is not None:
            last = min(last, until)
        some = read_stream(connection, stream_id, after=after, until=last)
        yield from some
        more = last != until and bool(some) and some[-1].version == last
        after = last


def read_streams(connection: Connection, stream_ids: Sequence[UUID]) -> list[Entry]:
    """All entries of those streams, each stream's by version."""
    if not stream_ids:
        return []
    rows = connection.execute(_STREAMS, {"ids": stream_ids}).all()
    return open_streams(connection, [Entry(*row[:-1]) for row in rows], [row[-1] for row in rows])


def read_where(connection: Connection, *conditions: ColumnElement[bool]) -> Iterator[Entry]:
    """Entries that meet one of these conditions, in order, one by one; none may meet two.

    Each condition is looked up by itself, so that each can use an index of its own.
    """
    query = union_all(*(ENTRIES.where(condition) for condition in conditions))
    ordered = query.order_by(query.selected_columns.position)
    for some in connection.execute(ordered).partitions(OPENED_TOGETHER):
        yield from open_entries(connection, [Entry(*row) for row in some])


def _entries(connection: Connection, query: Any, leave_broken: bool = False) -> list[Entry]:
    """What the query finds, with the personal data in it opened."""
    found = [Entry(*row) for row in _rows(connection, query)]
    return open_entries(connection, found, leave_broken=leave_broken)


def _rows(connection: Connection, query: Any) -> Sequence[Any]:
    """What the query finds; on PostgreSQL as the driver makes it, which is as it should be, since
    SQLAlchemy's rows cost as much as all that is in them."""
    with connection.execute(query) as result:
        return result.cursor.fetchall() if is_postgres(connection) else result.all()


def _veiled(payload: str) -> str:
    start, *others = payload.split(_SECRET)
    veiled = [start]
    for other in others:
        secret, quote, rest = other.partition('"')
        veiled.append(sha256(secret.encode()).hexdigest() + quote + rest)
    return _SECRET.join(veiled)


def _in_utc(moment: datetime) -> datetime:
    """The same moment as it will be read back, so that its hash can be computed again."""
    if moment.tzinfo is UTC:
        return moment
    if moment.utcoffset() is None:
        raise ValueError(f"{moment} has no time zone.")
    return moment.astimezone(UTC)


_HEAD_SQL = "SELECT position, hash FROM log_head"
ENTRIES = select(*(events.c[name] for name in COLUMNS))
"""All events, as the columns of an `Entry`."""
_STREAMS = (
    ENTRIES.add_columns(literal_column(WRAPPED_KEY, LargeBinary))
    .where(events.c.stream_id.in_(bindparam("ids", expanding=True)))
    .order_by(events.c.stream_id, events.c.version)
)
