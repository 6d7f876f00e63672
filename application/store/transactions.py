"""The transaction of a batch of commands, in as few round trips as can be.

After each the leader of a batch waits for the interpreter, behind the threads that read requests
or write answers; in a rush that takes longer than the database does.
"""

from collections.abc import Sequence
from typing import NamedTuple
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


class Begun(NamedTuple):
    """A transaction that holds the head of the log.

    `known` is the hash of the event at the position that was asked about, None if there is none:
    a log that was restored, or has failed over to a server that lacks the end, has another.
    `missed` are the events after that position, no more than were asked for.
    """

    head: Head
    known: bytes | None
    missed: list[Entry]
    kept: answers.Kept


def begin(connection: Connection, keys: Sequence[Key], known: int, most: int) -> Begun:
    """Begin by locking the head; `connection` is one from `holding`.

    Read are what is kept under `keys`, and up to `most` events after the position `known`; none
    after 0. To end it, `commit`; if it raises, nothing has happened, unless it was `commit` that
    raised.
    """
    last = known + most if known else 0
    if not is_postgres(connection):
        head = log.lock_head(connection)
        missed = log.read(connection, after=known, until=min(head.position, last), limit=most)
        digest = log.hash_at(connection, known)
        return Begun(head, digest, missed, answers.find(connection, keys))
    wanted = array_text([key.id for key in keys])
    rows = prepared.execute(connection, _BEGIN, (known, wanted, known, last))
    position, head_hash, known_hash, kept, *_ = rows[0]
    missed = [Entry(*entry) for _, _, its_hash, _, *entry in rows if entry[0] and its_hash is None]
    return Begun(
        Head(position, bytes(head_hash)),
        None if known_hash is None else bytes(known_hash),
        open_entries(connection, missed),
        answers.unexpired(connection, answers.read(kept)),
    )


def look_up(
    connection: Connection, stream_ids: Sequence[UUID], keys: Sequence[Key]
) -> tuple[dict[UUID, Aggregate], answers.Kept]:
    """The aggregates of those streams that exist, and what is kept under these keys."""
    if not keys or not is_postgres(connection):
        return load_streams(connection, stream_ids), answers.find(connection, keys)
    wanted = (array_text(stream_ids), array_text([key.id for key in keys]))
    *rows, (_, _, _, _, kept, *_) = prepared.execute(connection, [_LOOKED_UP], wanted)
    return made_of(connection, rows), answers.unexpired(connection, answers.read(kept))


def commit(writes: Writes) -> None:
    """End the transaction together with these writes; on SQLite the end of the block does."""
    if writes.on_postgres:
        writes.run("COMMIT")


_KEPT = "(SELECT json_agg(kept)::text FROM idempotency kept WHERE kept.id = ANY(%s::uuid[]))"  # nosec B608 # names only
_LOOKED_UP = f"""
{STREAMS}
 UNION ALL
SELECT NULL, NULL, NULL, NULL, {_KEPT}, NULL, NULL, NULL, NULL
 ORDER BY 2, 3
"""  # nosec B608 # names only
"""What is kept comes last, in place of a payload."""

# What is kept and missed is read by a statement of its own: one that waits for a lock sees what was
# committed before it began, and so not what the holder of the lock has just stored.
_FOUND = f"""
SELECT head, head_hash,
       CASE WHEN events.position = %s THEN events.hash END AS known_hash,
       CASE WHEN row_number() OVER (ORDER BY events.position) = 1 THEN {_KEPT} END AS kept,
       {log.COLUMNS_SQL}
  FROM (SELECT position AS head, hash AS head_hash FROM log_head LIMIT 1) AS log_head
  LEFT JOIN events ON events.position BETWEEN %s AND %s
 ORDER BY events.position
"""  # nosec B608 # names only
_BEGIN = ("BEGIN", "SELECT FROM log_head FOR UPDATE", _FOUND)
