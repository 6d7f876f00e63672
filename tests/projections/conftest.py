"""`given` events in a fresh database, read models caught up with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

from application.composition import Turnstile, compose
from application.settings import Settings
from application.store import log
from application.store.database import writing
from application.store.mapper import to_new_entry
from domain.aggregate import Aggregate, Fact
from projections.engine.projector import Projector
from tests import appending


class Given:
    """Appends what happened, lets every read model take it, and opens connections to ask."""

    def __init__(self, turnstile: Turnstile) -> None:
        self.turnstile = turnstile

    def __call__(self, *happened: Aggregate | Fact, metadata: str = '{"actor":"test"}') -> None:
        facts = [fact for item in happened for fact in _facts(item)]
        with writing(self.turnstile.engine) as connection:
            entries = [to_new_entry(fact, metadata) for fact in facts]
            if entries:
                appending.append(connection, log.lock_head(connection), entries, datetime.now(UTC))
        Projector(self.turnstile).catch_up()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        with self.turnstile.engine.connect() as connection:
            yield connection


def _facts(happened: Aggregate | Fact) -> list[Fact]:
    if isinstance(happened, Aggregate):
        return list(happened.collect_events())  # type: ignore[arg-type]
    return [happened]


@pytest.fixture
def given(migrated_url: str) -> Iterator[Given]:
    turnstile = compose(Settings(database_url=migrated_url))
    yield Given(turnstile)
    turnstile.close()
