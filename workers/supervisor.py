"""The supervisor of `turnstile up`: everything in one process, or one process for each part."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

GRACE_SECONDS = 15.0
WATCH_SECONDS = 0.5
STEADY_SECONDS = 10.0
LONGEST_PAUSE = 30.0

logger = structlog.get_logger(__name__)


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_threads(parts: dict[str, Callable[[threading.Event], Any]], stop: threading.Event) -> None:
    """Run the parts in threads until `stop` is set; if one fails, all end, and it is raised."""
    failures: list[BaseException] = []

    def guarded(part: Callable[[threading.Event], Any]) -> None:
        try:
            part(stop)
        except BaseException as error:
            failures.append(error)
            logger.exception("part.failed", part=threading.current_thread().name)
        finally:
            stop.set()

    threads = [
        threading.Thread(target=guarded, args=(part,), name=name) for name, part in parts.items()
    ]
    for thread in threads:
        thread.start()
    while not stop.wait(WATCH_SECONDS):
        pass
    for thread in threads:
        thread.join(GRACE_SECONDS)
    if failures:
        raise failures[0]


@dataclass
class _Child:
    """One part in a process of its own; started again when it dies, with growing pauses."""

    arguments: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    start_at: float = 0.0
    pause: float = field(default=1.0)

    def watch(self) -> None:
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            logger.warning("part.died", part=self.arguments[0], code=self.process.returncode)
            steady = now - self.started > STEADY_SECONDS
            self.pause = 1.0 if steady else min(self.pause * 2, LONGEST_PAUSE)
            self.process, self.start_at = None, now + self.pause
        if self.process is None and now >= self.start_at:
            self.process = subprocess.Popen([sys.executable, "-m", "web", *self.arguments])
            self.started = now
            logger.info("part.started", part=self.arguments[0], pid=self.process.pid)

    def end(self) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            logger.warning("part.killed", part=self.arguments[0])
            self.process.kill()
            self.process.wait()


def run_processes(parts: Sequence[Sequence[str]], stop: threading.Event) -> None:
    """Run `turnstile` with each of these arguments until `stop` is set."""
    children = [_Child(arguments) for arguments in parts]
    while not stop.is_set():
        for child in children:
            child.watch()
        stop.wait(WATCH_SECONDS)
    for child in children:
        if child.process is not None:
            child.process.terminate()
    for child in children:
        child.end()
