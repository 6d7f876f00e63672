"""What goes on in other threads while a test looks on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.workers.processes import PATIENCE

Run = Callable[[threading.Event], object]


@contextmanager
def in_threads(*runs: Run) -> Iterator[None]:
    """Each runs in a thread of its own, and is told to stop when the block ends; what goes wrong
    there fails the test."""
    stop, failures = threading.Event(), list[Exception]()

    def attempt(run: Run) -> None:
        try:
            run(stop)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=attempt, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    if failures:
        raise failures[0]
