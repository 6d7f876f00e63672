"""The composition root: what web, workers, command line and tests all start from."""

from dataclasses import dataclass

from sqlalchemy import Engine

from application.settings import Settings
from application.store.database import open_engine
from application.store.group_commit import Executor
from application.store.signals import Signals


@dataclass(frozen=True, eq=False)
class Turnstile:
    """One process's box office."""

    settings: Settings
    engine: Engine
    signals: Signals
    executor: Executor

    def close(self) -> None:
        """End the listener and close every connection."""
        self.signals.close()
        self.engine.dispose()


def compose(settings: Settings) -> Turnstile:
    """A box office on the database of `settings`, which must be migrated."""
    engine = open_engine(settings.database_url, pool_size=settings.web_threads)
    signals = Signals(engine)
    return Turnstile(settings, engine, signals, Executor(engine, signals))
