"""Migrated databases, the engines that open them, and desks that sell for a festival there."""

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from application.store.database import open_engine
from tests.application.store.desk import Desk
from tests.domain.given import on_sale, registered, terms

OpenEngine = Callable[[str], Engine]
OpenDesk = Callable[[], Desk]


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged, instead of pages of it on the terminal."""
    with capture_logs() as logs:
        yield logs


@pytest.fixture
def open_database() -> Iterator[OpenEngine]:
    """`open_database(url)` is an engine of its own, as another process would have it."""
    engines: list[Engine] = []

    def open_one(url: str) -> Engine:
        engines.append(open_engine(url))
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.dispose()


@pytest.fixture
def engine(migrated_url: str, open_database: OpenEngine) -> Engine:
    """An engine on a migrated, empty database."""
    return open_database(migrated_url)


@pytest.fixture
def desk(engine: Engine) -> Desk:
    """A desk; Anna is registered, and the festival sells 1,000 adults and 5 kids."""
    desk = Desk(engine)
    desk.given(on_sale(terms(quantity=1000)), registered())
    return desk


@pytest.fixture
def open_desk(desk: Desk, migrated_url: str, open_database: OpenEngine) -> OpenDesk:
    """`open_desk()` is another desk on the same database, as in another process."""
    return lambda: Desk(open_database(migrated_url))
