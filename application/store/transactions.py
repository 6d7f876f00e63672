"""The transaction of a batch of commands, in as few round trips as can be: three.

After each the leader of a batch waits for the interpreter, behind the threads that read requests
or write answers; in a rush that takes longer than the database does. And however many share a
statement, most of what it costs is its own.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from application.store import answers, log, prepared
from application.store.database import is_postgres
from application.store.log import Entry, Head
from application.store.postgres_text import array_text
from application.store.sealing import open_entries
from application.store.snapshots import STREAMS, load_streams, made_of
from application.store.work import Key
from application.store.writes import Writes
from domain.aggregate import Aggregate


class Found(NamedTuple):
    """What a batch has looked up under the lock.

    `missed` are the events after the position that was asked about, in order, and `known` is the
    hash of the event there, None if there is none: a log that was restored, or has failed over to
    a server that lacks the end, has another.
    """

    aggregates: dict[UUID, Aggregate]
    kept: answers.Kept
    missed: list[Entry]
    known: bytes | None


def begin(connection: Connection) -> Head:
    """Begin by locking the head of the log; `connection` is a `Holder`'s.

    To end it, `commit`; if anything raises, nothing has happened, unless it was `commit`.
    """
    if not is_postgres(connection):
        return log.lock_head(connection)
    position, digest = prepared.execute(connection, _BEGIN, ())[0]
    return Head(position, bytes(digest))


def look_up(
    connection: Connection, stream_ids: Sequence[UUID], keys: Sequence[Key], since: int | None
) -> Found:
    """The aggregates of those streams that exist, what is kept under these keys, and the events
    after the position `since`, unless that is None."""
    if not is_postgres(connection):
        return Found(
            load_streams(connection, stream_ids),
            answers.find(connection, keys),
            [] if since is None else log.read(connection, after=since, leave_broken=True),
            None if since is None else log.hash_at(connection, since),
        )
    asked: list[int] = []
    values: list[Any] = []
    if stream_ids:
        asked.append(_STREAMS)
        values.append(array_text(stream_ids))
    if since is not None:
        asked.append(_MISSED)
        values.append(since)
    if keys:
        asked.append(_KEPT)
        values.append(array_text([key.id for key in keys]))
    found: dict[int, list[Any]] = {_STREAMS: [], _MISSED: [], _KEPT: []}
    for kind, *row in prepared.execute(connection, [_sql(*asked)], values) if asked else ():
        found[kind].append(row)
    missed = sorted(Entry(*row[: len(Entry._fields)]) for row in found[_MISSED])
    known = missed.pop(0).hash if missed and missed[0].position == since else None
    return Found(
        made_of(connection, found[_STREAMS]),
        answers.unexpired(connection, map(_stored, found[_KEPT])),
        open_entries(connection, missed, leave_broken=True),
        None if known is None else bytes(known),
    )


def commit(writes: Writes) -> None:
    """End the transaction together with these writes; on SQLite the end of the block does."""
    if writes.on_postgres:
        writes.run("COMMIT")


def _stored(row: Sequence[Any]) -> answers.StoredRow:
    _, key_id, _, scope, answer, key, expires_at, *_, fingerprint, _ = row
    return answers.StoredRow(key_id, scope, key, fingerprint, answer, expires_at)


@cache
def _sql(*kinds: int) -> str:
    return " UNION ALL ".join(_ASKED[kind] for kind in kinds)


_BEGIN = ("BEGIN", "SELECT position, hash FROM log_head FOR UPDATE")
# What is looked up is read by a statement of its own: one that waits for a lock sees what was
# committed before it began, and so not what the holder of the lock has just stored.
_STREAMS, _MISSED, _KEPT = range(3)
_ASKED = {
    _STREAMS: STREAMS.replace("SELECT", f"SELECT {_STREAMS},", 1),
    _MISSED: f"""
SELECT {_MISSED}, {log.COLUMNS_SQL}, hash, NULL, NULL, NULL, NULL FROM events WHERE position >= %s
""",  # nosec B608 # names only
    _KEPT: f"""
SELECT {_KEPT}, NULL, id, NULL, scope, answer, key, expires_at, NULL, NULL, NULL, NULL,
       fingerprint, NULL
  FROM idempotency WHERE id = ANY(%s::uuid[])
""",  # nosec B608 # names only
}
"""What can be asked, by the number that its rows begin with, all as wide as those of `STREAMS`."""
