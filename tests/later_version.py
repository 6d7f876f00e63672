"""What a later version of the program has recorded, and this one cannot read."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import Engine

from application.store import log, mapper
from application.store.database import writing
from domain.customer import Customer
from tests import appending


def from_a_later_version(engine: Engine, customer_id: UUID) -> list[int]:
    """Let a later version record a change of the customer, and then this one another; their
    positions. The customer was changed before."""
    with writing(engine) as connection:
        *_, before = log.read_stream(connection, customer_id)
        assert before.topic == Customer.Changed.TOPIC
        known = before._asdict() | {"version": before.version + 1}
        first = log.NewEntry(*(known[name] for name in log.NewEntry._fields))
        later = first._replace(payload=first.payload.replace('{"v":1,', '{"v":2,'))
        second = first._replace(version=first.version + 1)
        head = log.lock_head(connection)
        end = appending.append(connection, head, [later, second], datetime.now(UTC))
    return [end.position - 1, end.position]


def know_the_later_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the later version from now on, which reads what was recorded before as it is."""
    monkeypatch.setattr(Customer.Changed, "class_version", 2)
    monkeypatch.setattr(Customer.Changed, "upcast_v1_v2", lambda content: None, raising=False)
    mapper._codec.cache_clear()
