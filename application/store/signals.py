"""Waking those who wait for the log or the read models to move on.

Every process has one `Signals`. Writers ring a bell; waiters always poll as well, since a
notification can be lost. On PostgreSQL bells ring across processes through LISTEN/NOTIFY.
"""

import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg2
import structlog
from sqlalchemy import Engine

from application.store.database import is_postgres
from application.store.writes import Writes

CHANNEL = "turnstile"
LOG = "log"
READ_MODELS = "read_models"
RECONNECT_SECONDS = 1.0

logger = structlog.get_logger(__name__)


class Bell:
    """Something that many threads can wait for."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

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
            self._condition.wait_for(lambda: self._rings != heard, timeout)


class Signals:
    """The bells of one process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listener: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = threading.Event()
        self.bells = {LOG: Bell(), READ_MODELS: Bell()}

    def announce(self, writes: Writes, bell: str) -> None:
        """Ring `bell` in all processes once the transaction of these writes commits."""
        if writes.on_postgres:
            writes.run("SELECT pg_notify(%s, %s)", CHANNEL, bell)

    def ring(self, bell: str) -> None:
        """Ring `bell` in this process."""
        self.bells[bell].ring()

    def wait_until(
        self, bell: str, holds: Callable[[], bool], timeout: float, poll: float = 0.25
    ) -> bool:
        """Wait until `holds()`, looking again at each ring and every `poll` seconds."""
        self._listen()
        deadline = time.monotonic() + timeout
        while True:
            heard = self.bells[bell].heard()
            if holds():
                return True
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            self.bells[bell].wait(heard, min(poll, remaining))

    def wait(self, bell: str, heard: int, timeout: float) -> None:
        """Wait for `bell` to ring after `heard`, at most `timeout` seconds."""
        self._listen()
        self.bells[bell].wait(heard, timeout)

    def close(self) -> None:
        self._closed.set()
        for bell in self.bells.values():
            bell.ring()

    def _listen(self) -> None:
        if self._listener is not None or not is_postgres(self._engine):
            return
        with self._starting:
            if self._listener is None:
                self._listener = threading.Thread(
                    target=self._keep_listening, name="listener", daemon=True
                )
                self._listener.start()

    def _keep_listening(self) -> None:
        while not self._closed.is_set():
            try:
                self._listen_once()
            except psycopg2.Error as error:
                logger.warning("listener.reconnecting", error=str(error).strip())
                self._closed.wait(RECONNECT_SECONDS)

    def _listen_once(self) -> None:
        arguments = self._engine.dialect.create_connect_args(self._engine.url)[1]
        connection = psycopg2.connect(**arguments)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
            self._ring_all()
            while not self._closed.is_set():
                if select.select([connection], [], [], 1.0)[0]:
                    connection.poll()
                    self._ring_notified(connection)
        finally:
            with suppress(psycopg2.Error):
                connection.close()

    def _ring_all(self) -> None:
        for bell in self.bells.values():
            bell.ring()

    def _ring_notified(self, connection: Any) -> None:
        for name in {notification.payload for notification in connection.notifies}:
            if name in self.bells:
                self.ring(name)
        connection.notifies.clear()
