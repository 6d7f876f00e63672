"""How a step of the projector begins: in one round trip if it goes on where it stopped.

Steps are many and small: a round trip takes about as long as what a few events change.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from application.store import log, prepared
from application.store.database import is_postgres
from application.store.mapper import to_fact
from application.store.postgres_text import array_text
from domain.aggregate import Fact
from projections.engine.positions import Standing, lock_positions


class Step(NamedTuple):
    """Where the read models stand, locked, and the end of the log.

    `facts` are the events that follow, if they have been read.
    """

    at: dict[str, Standing]
    head: int
    facts: list[Fact] | None = None

    @property
    def goal(self) -> int:
        """How far those that lag most may go: to the next of them, or the end of the log."""
        start = min(self.at.values()).position
        return min(
            [self.head, *(item.position for item in self.at.values() if item.position > start)]
        )

    def stretch(self, limit: int) -> tuple[int, int]:
        """Where those that lag most stand, and where this step takes them."""
        start = min(self.at.values()).position
        return start, min(self.goal, start + limit)


def begin(connection: Connection, names: Sequence[str]) -> Step:
    """Begin with read models that stand wherever they stand; `connection` is one from `holding`."""
    if is_postgres(connection):
        connection.exec_driver_sql("BEGIN")
    return _begun(connection, names)


def go_on(
    connection: Connection,
    names: Sequence[str],
    standing: Standing,
    topics: Sequence[str],
    limit: int,
) -> Step:
    """Begin with read models that all stood there when they were left, and read what follows of
    these topics, up to `limit` positions further."""
    if not is_postgres(connection):
        return begin(connection, names)
    position, moved_at = standing
    named, wanted = array_text(names), array_text(topics)
    values = (named, position, position + limit, wanted, named, position, moved_at)
    rows = prepared.execute(connection, _GO_ON, values)
    if not rows:  # somebody else has moved one of them
        return _begun(connection, names)
    found = [log.Entry(*entry) for _, *entry in rows if entry[0] is not None]
    facts = [to_fact(entry) for entry in log.opened(connection, found)]
    return Step(dict.fromkeys(names, standing), rows[0][0], facts)


def _begun(connection: Connection, names: Sequence[str]) -> Step:
    return Step(lock_positions(connection, names), log.read_head(connection))


_COLUMNS = ", ".join(f"events.{name}" for name in log.COLUMNS)
# They are looked at by a statement of its own: one that waits for a lock sees what was committed
# before it began, and so not what the holder of the lock has just moved.
_LOCK = "SELECT FROM tracking WHERE name = ANY(%s::text[]) ORDER BY name FOR UPDATE"
_FOLLOWING = f"""
SELECT head, {_COLUMNS}
  FROM (SELECT position AS head FROM log_head LIMIT 1) AS log_head
  LEFT JOIN events
    ON events.position > %s AND events.position <= %s AND events.topic = ANY(%s::text[])
 WHERE NOT EXISTS (
         SELECT FROM tracking WHERE name = ANY(%s::text[]) AND (position, moved_at) <> (%s, %s))
 ORDER BY events.position
"""  # nosec B608 # names only
_GO_ON = ("BEGIN", _LOCK, _FOLLOWING)
