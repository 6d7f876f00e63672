"""Entries of a log that means nothing: two streams, plain contents and odd ones."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, select

from application.store import log
from application.store.database import writing
from application.store.log import Entry, Head, NewEntry
from application.store.tables import events
from tests import appending

NOON = datetime(2026, 5, 1, 12, 0, 0, 123456, UTC)
LATER = NOON + timedelta(seconds=1, microseconds=1)
STREAM = UUID("0195e6a0-0000-7000-8000-000000000001")
OTHER_STREAM = UUID("0195e6a0-0000-7000-8000-000000000002")
ODD = '{"v":1,"name":"a\\tb\\n\\\\N \\u0007 \\"secret\\":\\"no\\" Zoë 🎪\t\n\r\b\f\v \\N\\."}'
"""Every character that COPY writes in another way."""
SECRET = '{"v":1,"secret":"AZXmoAAAcACAAAAAAAAAAfxjnLc4oFZZbXaPqKzq9Pk","holder":"ada"}'


def new(stream_id: UUID, version: int, **other: Any) -> NewEntry:
    entry = NewEntry(
        stream_id, version, "Event.Published", '{"v":1,"name":"Zoë 🎪"}', '{"actor":"ada"}', NOON
    )
    return entry._replace(**other)


def append(engine: Engine, *entries: NewEntry, recorded_at: datetime = LATER) -> Head:
    with writing(engine) as connection:
        return appending.append(connection, log.lock_head(connection), entries, recorded_at)


def read_all(engine: Engine) -> list[Entry]:
    """Every entry, with its hash."""
    with engine.connect() as connection:
        rows = connection.execute(select(events).order_by(events.c.position))
        return [Entry(**row) for row in rows.mappings()]
