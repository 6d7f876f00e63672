"""The composition root: what web, workers, command line and tests all start from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from application.access.access import Access
from application.settings import Settings
from application.store.database import open_engine, open_replica
from application.store.group_commit import Executor
from application.store.signals import Signals
from application.store.vault import Vault


@dataclass(frozen=True, eq=False)
class Turnstile:
    """One process's box office; `readers` answers queries, and is `engine` without a replica."""

    settings: Settings
    engine: Engine
    readers: Engine
    signals: Signals
    executor: Executor
    access: Access

    @property
    def has_replica(self) -> bool:
        """Whether queries are answered by another server than the one that records."""
        return self.readers is not self.engine

    def close(self) -> None:
        """End the listener and close every connection."""
        self.signals.close()
        self.engine.dispose()
        self.readers.dispose()


def compose(settings: Settings) -> Turnstile:
    """A box office on the database of `settings`, which must be migrated.

    Raises `ValueError` for a URL of a database that cannot be used so.
    """
    vault = Vault(settings.master_key)
    with _naming("DATABASE_URL"):
        engine = open_engine(settings.database_url, vault)
    signals = Signals(engine)
    readers = _open_readers(settings, vault) or engine
    executor, access = Executor(engine, signals), Access(engine, readers)
    return Turnstile(settings, engine, readers, signals, executor, access)


def _open_readers(settings: Settings, vault: Vault) -> Engine | None:
    if settings.read_database_url is None:
        return None
    if settings.embedded:
        raise ValueError("READ_DATABASE_URL is for PostgreSQL; a SQLite file has no replica.")
    with _naming("READ_DATABASE_URL"):
        return open_replica(settings.read_database_url, vault)


@contextmanager
def _naming(variable: str) -> Iterator[None]:
    """Say which variable it is that has something wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from None
