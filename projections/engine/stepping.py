"""How a step of the projector begins: in one round trip if it goes on where it stopped.

Steps are many and small: a round trip takes about as long as what a few events change.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Connection

from application.store import log, prepared
from application.store.database import Holder, is_postgres, writing
from application.store.postgres_text import array_text
from application.store.sealing import open_entries
from application.store.transactions import commit
from application.store.writes import Writes, writes_to
from domain.aggregate import Fact
from projections.engine.decoding import facts_of
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


@contextmanager
def step(
    holder: Holder,
    names: Sequence[str],
    standing: Standing | None,
    topics: Sequence[str],
    limit: int,
) -> Iterator[tuple[Step, Writes]]:
    """A transaction in which the read models of these names are moved, and its writes.

    If they were left together, at `standing`, what follows there of these topics is read at once,
    up to `limit` positions further. Else there may be very many events, which are a matter of
    plans that know how many, not of round trips.
    """
    if standing is None or not is_postgres(holder.engine):
        with writing(holder.engine) as connection, writes_to(connection) as writes:
            yield _wherever(connection, names), writes
        return
    with holder.transaction() as connection, writes_to(connection) as writes:
        yield _going_on(connection, names, standing, topics, limit), writes
        commit(writes)


def _going_on(
    connection: Connection,
    names: Sequence[str],
    standing: Standing,
    topics: Sequence[str],
    limit: int,
) -> Step:
    position, moved_at = standing
    named, wanted = array_text(names), array_text(topics)
    values = (named, position, position + limit, wanted, named, position, moved_at)
    rows = prepared.execute(connection, _GO_ON, values)
    if not rows:  # somebody else has moved one of them
        return _wherever(connection, names)
    found = [log.Entry(*entry) for _, *entry in rows if entry[0] is not None]
    facts = facts_of(open_entries(connection, found, leave_broken=True))
    return Step(dict.fromkeys(names, standing), rows[0][0], facts)


def _wherever(connection: Connection, names: Sequence[str]) -> Step:
    return Step(lock_positions(connection, names), log.read_head(connection))


# They are looked at by a statement of its own: one that waits for a lock sees what was committed
# before it began, and so not what the holder of the lock has just moved.
_LOCK = "SELECT FROM tracking WHERE name = ANY(%s::text[]) ORDER BY name FOR UPDATE"
_FOLLOWING = f"""
SELECT head, {log.COLUMNS_SQL}
  FROM (SELECT position AS head FROM log_head LIMIT 1) AS log_head
  LEFT JOIN events
    ON events.position > %s AND events.position <= %s AND events.topic = ANY(%s::text[])
 WHERE NOT EXISTS (
         SELECT FROM tracking WHERE name = ANY(%s::text[]) AND (position, moved_at) <> (%s, %s))
 ORDER BY events.position
"""  # nosec B608 # names only
_GO_ON = ("BEGIN", _LOCK, _FOLLOWING)
