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

LOG = "log"
READ_MODELS = "read_models"
ACCESS = "access"
CHANNELS = {LOG: "turnstile", READ_MODELS: "turnstile", ACCESS: "turnstile_access"}
"""Each has a listener of its own in a process that listens to it: those who only want to hear of
access are not woken by each commit, which would cost a rush a fifth of its orders."""
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
        self._listeners: dict[str, threading.Thread] = {}
        self._starting = threading.Lock()
        self._closed = threading.Event()
        self.bells = {name: Bell() for name in (LOG, READ_MODELS, ACCESS)}

    def announce(self, writes: Writes, bell: str) -> None:
        """Ring `bell` in all processes once the transaction of these writes commits."""
        if writes.on_postgres:
            writes.run("SELECT pg_notify(%s, %s)", CHANNELS[bell], bell)

    def ring(self, bell: str) -> None:
        """Ring `bell` in this process."""
        self.bells[bell].ring()

    def wait_until(
        self, bell: str, holds: Callable[[], bool], timeout: float, poll: float = 0.25
    ) -> bool:
        """Wait until `holds()`, looking again at each ring and every `poll` seconds."""
        self._listen(CHANNELS[bell])
        deadline = time.monotonic() + timeout
        while True:
            heard = self.bells[bell].heard()
            if holds():
                return True
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            self.bells[bell].wait(heard, min(poll, remaining))

    def heard(self, bell: str) -> int:
        """How often `bell` has rung: another number later says that something has changed."""
        self._listen(CHANNELS[bell])
        return self.bells[bell].heard()

    def wait(self, bell: str, heard: int, timeout: float) -> None:
        """Wait for `bell` to ring after `heard`, at most `timeout` seconds."""
        self._listen(CHANNELS[bell])
        self.bells[bell].wait(heard, timeout)

    def close(self) -> None:
        self._closed.set()
        for bell in self.bells.values():
            bell.ring()

    def _listen(self, channel: str) -> None:
        if channel in self._listeners or not is_postgres(self._engine):
            return
        with self._starting:
            if channel not in self._listeners:
                self._listeners[channel] = threading.Thread(
                    target=self._keep_listening, args=(channel,), name=f"on {channel}", daemon=True
                )
                self._listeners[channel].start()

    def _keep_listening(self, channel: str) -> None:
        while not self._closed.is_set():
            try:
                self._listen_once(channel)
            except psycopg2.Error as error:
                logger.warning("listener.reconnecting", error=str(error).strip())
                self._closed.wait(RECONNECT_SECONDS)

    def _listen_once(self, channel: str) -> None:
        arguments = self._engine.dialect.create_connect_args(self._engine.url)[1]
        connection = psycopg2.connect(**arguments)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {channel}")
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
