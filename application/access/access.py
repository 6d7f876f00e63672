"""From what a caller shows to who they are, remembered until anything about access changes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from application.access.identity import Identity
from application.store.database import writing
from application.store.signals import ACCESS, Signals
from application.store.writes import writes_to

REMEMBER_SECONDS = 10.0
"""How long a revoked credential may live on in another process if its notification is lost."""
MOST_REMEMBERED = 10_000

Find = Callable[[Connection, str], tuple[Identity, float]]
"""Finds who shows a credential, and until when it is good (Unix time); or raises `Unauthorized`."""


@dataclass(frozen=True, slots=True)
class _Known:
    identity: Identity
    heard: int
    until: float


class Access:
    """What one process remembers of credentials, and the way to what they stand on."""

    def __init__(self, engine: Engine, readers: Engine, signals: Signals) -> None:
        self.engine = engine
        self._readers = readers
        self._signals = signals
        self._known: dict[str, _Known] = {}

    def remembered(self, shown: str) -> Identity | None:
        """Who shows this, if it was seen lately and nothing has changed since; else None."""
        known = self._known.get(shown)
        if known is not None and known.heard == self._signals.heard(ACCESS):
            return known.identity if time.time() < known.until else None
        return None

    def identify(self, shown: str, find: Find) -> Identity:
        """Who shows this, remembered or by what `find` finds; raises what it raises."""
        remembered = self.remembered(shown)
        if remembered is not None:
            return remembered
        heard, now = self._signals.heard(ACCESS), time.time()
        identity, good_until = self._found(shown, find)
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        until = min(good_until, now + REMEMBER_SECONDS)
        self._known[shown] = _Known(identity, heard, until)
        return identity

    def _found(self, shown: str, find: Find) -> tuple[Identity, float]:
        """From the primary, which knows what was revoked a moment ago; else from the replica,
        whose queries go on when the primary is down."""
        try:
            with self.engine.connect() as connection:
                return find(connection, shown)
        except OperationalError:
            if self._readers is self.engine:
                raise
        with self._readers.connect() as connection:
            return find(connection, shown)

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """A transaction that changes accounts, sessions or keys; all processes hear of it."""
        with writing(self.engine) as connection:
            yield connection
            with writes_to(connection) as writes:
                self._signals.announce(writes, ACCESS)
        self._signals.ring(ACCESS)
