"""What somebody may do to the log who has all rights on the database, and has read our code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, text, update

from application.store.database import is_postgres, writing
from application.store.log import GENESIS, Entry, chained_hash
from application.store.tables import events, log_head


@contextmanager
def tampering(engine: Engine) -> Iterator[Connection]:
    """A transaction in which the triggers of the log are off."""
    with writing(engine) as connection:
        if is_postgres(connection):
            connection.execute(text("ALTER TABLE events DISABLE TRIGGER USER"))
            yield connection
            connection.execute(text("ALTER TABLE events ENABLE TRIGGER USER"))
            return
        triggers = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        ).all()
        for name, _ in triggers:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in triggers:
            connection.exec_driver_sql(sql)


def alter(connection: Connection, at: int, /, **columns: Any) -> None:
    """Change columns of the event at that position."""
    changed = connection.execute(update(events).where(events.c.position == at).values(columns))
    assert changed.rowcount == 1


def cut_off(connection: Connection, position: int) -> None:
    """Let the log end at `position`, as if it had never gone on."""
    connection.execute(events.delete().where(events.c.position > position))
    hash_there = connection.execute(
        events.select().with_only_columns(events.c.hash).where(events.c.position == position)
    ).scalar_one()
    connection.execute(update(log_head).values(position=position, hash=hash_there))


def chain_anew(connection: Connection) -> None:
    """Compute every hash again, so that the chain holds."""
    chain, position = GENESIS, 0
    for row in connection.execute(events.select().order_by(events.c.position)).all():
        chain, position = chained_hash(chain, Entry(*row)), row.position
        alter(connection, position, hash=chain)
    connection.execute(update(log_head).values(position=position, hash=chain))
