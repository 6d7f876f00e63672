"""The transaction of a batch of commands, in as few round trips as can be.

After each the leader of a batch waits for the interpreter, behind the threads that read requests
or write answers; in a rush that takes longer than the database does.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from application.store import answers, log
from application.store.database import is_postgres
from application.store.log import Head
from application.store.postgres_text import array_text
from application.store.work import Key
from application.store.writes import Writes


class Begun(NamedTuple):
    """A transaction that holds the head of the log.

    `known` is the hash of the event at the position that was asked about, None if there is none:
    a log that was restored, or has failed over to a server that lacks the end, has another.
    """

    head: Head
    known: bytes | None
    kept: answers.Kept


def begin(connection: Connection, keys: Sequence[Key], known: int) -> Begun:
    """Begin by locking the head; `connection` is one from `holding`.

    To end it, `commit`; if it raises, nothing has happened, unless it was `commit` that raised.
    """
    if not is_postgres(connection):
        head = log.lock_head(connection)
        return Begun(head, log.hash_at(connection, known), answers.find(connection, keys))
    wanted = array_text([key.id for key in keys])
    rows = connection.exec_driver_sql(_BEGIN_SQL, (known, wanted)).all()
    head = Head(rows[0].position, bytes(rows[0].hash))
    digest = None if rows[0].known is None else bytes(rows[0].known)
    return Begun(head, digest, answers.unexpired(connection, [row for row in rows if row.id]))


def commit(writes: Writes) -> None:
    """End the transaction together with these writes; on SQLite the end of the block does."""
    if writes.on_postgres:
        writes.run("COMMIT")


# The answers are read by a statement of their own: one that waits for a lock sees what was
# committed before it began, and so not what the holder of the lock has just stored.
_BEGIN_SQL = """
BEGIN;
SELECT FROM log_head FOR UPDATE;
SELECT log_head.position, log_head.hash,
       (SELECT events.hash FROM events WHERE events.position = %s) AS known, kept.*
  FROM log_head LEFT JOIN idempotency kept ON kept.id = ANY(%s::uuid[])
"""
