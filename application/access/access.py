"""From what a caller shows to who they are."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from application.access.identity import Identity
from application.store.database import writing

REMEMBER_SECONDS = 2.0
"""How long a key that was revoked may live on in another process.

No notification shortens it: PostgreSQL would wake each process that listens at each commit, which
costs a rush a sixth of its orders.
"""
MOST_REMEMBERED = 10_000

Find = Callable[[Connection], Identity]
"""Finds who shows a credential; or raises `Unauthorized`."""


class Access:
    """One process's way to accounts, sessions and keys.

    It remembers keys for a moment, since a shop shows the same one with every order. Sessions
    are looked up for every request, so that a log-out ends them everywhere at once.
    """

    def __init__(self, engine: Engine, readers: Engine) -> None:
        self.engine = engine
        self._readers = readers
        self._known: dict[str, tuple[Identity, float]] = {}
        self._changed = 0.0

    def remembered(self, key: str) -> Identity | None:
        """Who shows this key, if that was found out a moment ago; else None."""
        identity, seen = self._known.get(key, _UNKNOWN)
        return identity if seen > max(time.monotonic() - REMEMBER_SECONDS, self._changed) else None

    def remember(self, key: str, identity: Identity) -> None:
        """Remember a valid key for `REMEMBER_SECONDS`."""
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[key] = (identity, time.monotonic())

    def was_good(self, key: str) -> bool:
        """Whether this key was good when it was looked up last, however long ago."""
        return key in self._known

    def forget(self, key: str) -> None:
        """This key is good no more."""
        self._known.pop(key, None)

    def look_up(self, find: Find) -> Identity:
        """What `find` finds on the primary, which knows what was revoked a moment ago; or on the
        replica, while the primary is down. Raises what `find` raises."""
        try:
            with self.engine.connect() as connection:
                return find(connection)
        except OperationalError:
            if self._readers is self.engine:
                raise
        with self._readers.connect() as connection:
            return find(connection)

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """A transaction that changes accounts, sessions or keys."""
        with writing(self.engine) as connection:
            yield connection
        self._changed = time.monotonic()


_UNKNOWN: tuple[Identity | None, float] = (None, 0.0)
