"""The transaction of a batch of commands, in as few round trips as can be.

After each the leader of a batch waits for the interpreter, behind the threads that read requests
or write answers; in a rush that takes longer than the database does.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from application.store import answers, log
from application.store.database import is_postgres, writing
from application.store.log import Head
from application.store.postgres_text import array_text
from application.store.work import Key
from application.store.writes import Writes

Begun = tuple[Connection, Head, answers.Kept]


@contextmanager
def batch_begun(engine: Engine, keys: Sequence[Key]) -> Iterator[Begun]:
    """A transaction that holds the head of the log, and the answers kept under these keys.

    The block ends with `commit`; if it raises, nothing has happened, unless it was `commit` that
    raised.
    """
    if not is_postgres(engine):
        with writing(engine) as connection:
            yield connection, log.lock_head(connection), answers.find(connection, keys)
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            yield begin(connection, keys)
        except BaseException:
            connection.invalidate()  # which rolls back
            raise


def begin(connection: Connection, keys: Sequence[Key]) -> Begun:
    """Begin by locking the head, on a PostgreSQL connection that commits by itself."""
    wanted = array_text([key.id for key in keys])
    rows = connection.exec_driver_sql(_BEGIN_SQL, (wanted,)).all()
    head = Head(rows[0].position, bytes(rows[0].hash))
    return connection, head, answers.unexpired(connection, [row for row in rows if row.id])


def commit(writes: Writes) -> None:
    """End the transaction together with these writes; on SQLite the end of the block does."""
    if writes.on_postgres:
        writes.run("COMMIT")


# The answers are read by a statement of their own: one that waits for a lock sees what was
# committed before it began, and so not what the holder of the lock has just stored.
_BEGIN_SQL = """
BEGIN;
SELECT FROM log_head FOR UPDATE;
SELECT log_head.position, log_head.hash, kept.*
  FROM log_head LEFT JOIN idempotency kept ON kept.id = ANY(%s::uuid[])
"""
