"""Bytes that an event takes on disk: its row, what PostgreSQL adds to it, and every index."""

from sqlalchemy import text

from benchmarks.figures import report, within
from benchmarks.history import Histories
from benchmarks.servers import box_office

MOST_BYTES = 700
QUERY = """
SELECT pg_total_relation_size('events') AS total, pg_indexes_size('events') AS indexes,
       count(*) AS events, avg(length(payload)) AS payload, avg(length(metadata)) AS metadata
FROM events
"""


def run(histories: Histories, events: int) -> None:
    """Of the sample festival, with the metadata of commands that come over HTTP."""
    with box_office(histories.url(events)) as turnstile, turnstile.engine.connect() as connection:
        row = connection.execute(text(QUERY)).one()
    notes = {
        "indexes": round(row.indexes / row.events),
        "payload": round(row.payload),
        "metadata": round(row.metadata),
    }
    what = f"an event on disk, of {events:,}"
    report(within(what, "bytes", row.total / row.events, MOST_BYTES, **notes))
