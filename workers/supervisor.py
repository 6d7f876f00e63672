"""The supervisor of `turnstile up`: everything in one process, or one process for each part."""

import os
import signal
import subprocess  # nosec B404 # starts nothing but ourselves
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

GRACE_SECONDS = 12.0
"""How long everything together may take to end; containers are killed after a few more."""
WATCH_SECONDS = 0.5
STEADY_SECONDS = 10.0
LONGEST_PAUSE = 30.0
SUPERVISOR = "TURNSTILE_SUPERVISOR"

logger = structlog.get_logger(__name__)


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, and SIGHUP, unless it is ignored as under nohup."""
    stop = threading.Event()

    def handle(*_: Any) -> None:
        # The main thread may be inside the event, holding the lock that `set` takes.
        threading.Thread(target=stop.set, name="stopping").start()

    heard = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heard.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_supervisor() -> None:
    """End when the supervisor that started this process has died, were it by kill -9."""
    if supervisor := os.environ.pop(SUPERVISOR, None):
        end_with(int(supervisor))


def end_with(parent: int) -> None:
    """End as on SIGTERM, at the latest after a grace period, once the parent has died.

    An orphan gets another parent; to look now and then is what every Unix can do.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        logger.warning("part.orphaned", parent=parent)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="orphan watch", daemon=True).start()


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
        threading.Thread(target=guarded, args=(part,), name=name, daemon=True)
        for name, part in parts.items()
    ]
    for thread in threads:
        thread.start()
    while not stop.wait(WATCH_SECONDS):
        pass
    deadline = time.monotonic() + GRACE_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
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
            self.process = subprocess.Popen(  # nosec B603 # our own arguments
                # Not a package of that name which lies where we were started.
                [sys.executable, "-P", "-m", "web", *self.arguments],
                env={**os.environ, SUPERVISOR: str(os.getpid())},
                # A terminal's signals are for us; parts end when they are told to.
                process_group=0,
            )
            self.started = now
            logger.info("part.started", part=self.arguments[0], pid=self.process.pid)

    def end(self, deadline: float) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
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
    deadline = time.monotonic() + GRACE_SECONDS
    for child in children:
        child.end(deadline)
