"""Migrated databases, and the engines that open them."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

import migrations
from application.store.database import open_engine

OpenEngine = Callable[[str], Engine]


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
def engine(database_url: str, open_database: OpenEngine) -> Engine:
    """An engine on a migrated, empty database."""
    engine = open_database(database_url)
    migrations.upgrade(engine)
    return engine
