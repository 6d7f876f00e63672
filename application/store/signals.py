"""Waking those who wait for the log or the read models to move on.

Every process has one `Signals`. Writers ring a bell; waiters always poll as well, since a
notification can be lost. On PostgreSQL bells ring across processes through LISTEN/NOTIFY, for those
processes where somebody waits for them, or has just now: each commit wakes the backend of whoever
listens, to whichever bell, and of a thousand commits a second that costs.
"""

import select
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

import psycopg2
import structlog
from sqlalchemy import Engine

from application.store.database import is_postgres
from application.store.writes import Writes

LOG = "turnstile_log"
READ_MODELS = "turnstile_read_models"
"""The bells, named like their channels."""
RECONNECT_SECONDS = 1.0
LISTEN_SECONDS = 0.5
"""How long one listens after somebody waited."""

T = TypeVar("T")

logger = structlog.get_logger(__name__)


class Bell:
    """Something that many threads can wait for."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0
        self._waited_at = 0.0
        self._wanted = threading.Event()
        self.waiting = 0
        """How many threads wait for it at the moment."""

    def ring(self) -> None:
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def heard(self) -> int:
        """How often it rang; pass it to `wait` so that no ring in between is missed."""
        return self._rings

    def wait(self, heard: int, timeout: float) -> None:
        """Return when it has rung since `heard`, or after `timeout` seconds."""
        with self._condition:
            self.waiting += 1
            self._wanted.set()
            try:
                self._condition.wait_for(lambda: self._rings != heard, timeout)
            finally:
                self.waiting -= 1
                self._waited_at = time.monotonic()

    def is_wanted(self) -> bool:
        """Whether somebody waits, or has just now. While that is so, whom a ring wakes need not
        wait for this."""
        if self._is_waited_for():
            return True
        with self._condition:
            if not self._is_waited_for():
                self._wanted.clear()
            return self._wanted.is_set()

    def _is_waited_for(self) -> bool:
        return self.waiting > 0 or time.monotonic() - self._waited_at < LISTEN_SECONDS

    def await_wanted(self, timeout: float) -> bool:
        """Return when somebody waits, or after `timeout` seconds; whether somebody does."""
        return self._wanted.wait(timeout)


class Signals:
    """The bells of one process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listeners: dict[str, threading.Thread] = {}
        self._starting = threading.Lock()
        self._closed = threading.Event()
        self.bells = {LOG: Bell(), READ_MODELS: Bell()}

    def announce(self, writes: Writes, bell: str) -> None:
        """Ring `bell` in all processes once the transaction of these writes commits."""
        if writes.on_postgres:
            writes.run("SELECT pg_notify(%s, '')", bell)

    def ring(self, bell: str) -> None:
        """Ring `bell` in this process."""
        self.bells[bell].ring()

    def wait_for(
        self, bell: str, look: Callable[[], T | None], timeout: float, poll: float = 0.25
    ) -> T | None:
        """What `look` finds, tried again at each ring and every `poll` seconds; None in the end."""
        deadline = time.monotonic() + timeout
        while True:
            heard = self.bells[bell].heard()
            found = look()
            if found is not None:
                return found
            self._listen(bell)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return None
            self.bells[bell].wait(heard, min(poll, remaining))

    def wait(self, bell: str, heard: int, timeout: float) -> None:
        """Wait for `bell` to ring after `heard`, at most `timeout` seconds."""
        self._listen(bell)
        self.bells[bell].wait(heard, timeout)

    def close(self) -> None:
        self._closed.set()
        for bell in self.bells.values():
            bell.ring()

    def _listen(self, bell: str) -> None:
        if bell in self._listeners or not is_postgres(self._engine):
            return
        with self._starting:
            if bell not in self._listeners:
                listener = threading.Thread(
                    target=self._keep_listening, args=(bell,), name=bell, daemon=True
                )
                self._listeners[bell] = listener
                listener.start()

    def _keep_listening(self, bell: str) -> None:
        while not self._closed.is_set():
            try:
                self._listen_once(bell)
            except psycopg2.Error as error:
                logger.warning("listener.reconnecting", error=str(error).strip())
                self._closed.wait(RECONNECT_SECONDS)

    def _listen_once(self, bell: str) -> None:
        arguments = self._engine.dialect.create_connect_args(self._engine.url)[1]
        with closing(psycopg2.connect(**arguments)) as connection:
            connection.autocommit = True
            while not self._closed.is_set():
                with connection.cursor() as cursor:
                    cursor.execute(f"LISTEN {bell}")
                    self._ring_as_told(connection, bell)
                    cursor.execute(f"UNLISTEN {bell}")
                while not (self.bells[bell].await_wanted(1.0) or self._closed.is_set()):
                    pass

    def _ring_as_told(self, connection: Any, name: str) -> None:
        """Ring, for what one did not hear before, and then at each notification, for as long as
        somebody waits."""
        bell = self.bells[name]
        bell.ring()
        heard = select.poll()  # unlike `select`, it knows more than a thousand connections
        heard.register(connection, select.POLLIN)
        while bell.is_wanted() and not self._closed.is_set():
            if heard.poll(1000 * LISTEN_SECONDS):
                connection.poll()
                if connection.notifies:
                    connection.notifies.clear()
                    bell.ring()
