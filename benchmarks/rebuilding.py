"""Rebuilding every read model by jobs on two worker processes, beside only reading the log."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen

from sqlalchemy import text

from application import jobs
from application.composition import Turnstile, compose
from application.settings import Settings
from application.store import log
from application.store.mapper import to_fact
from benchmarks.figures import Figure, report
from benchmarks.history import Histories
from benchmarks.servers import box_office, running
from projections.registry import READ_MODELS
from tests.services import claimed_redis_database, find_redis
from workers.jobs import request_rebuilds

WORKERS = 2
PAUSE_SECONDS = 0.05
JUDGED_AT = 1_000_000
MOST_SECONDS = 60.0
MOST_MEGABYTES = 400.0
MOST_GROWTH = 1.1
"""How much more memory ten times the events may take and still count as the same."""


def run(histories: Histories, sizes: tuple[int, ...]) -> None:
    """The read models have caught up before, so that there is something to compare with."""
    peaks = [_measured(histories.projected(size), size) for size in sizes]
    peak, growth, judged = max(peaks), peaks[-1] / peaks[0], sizes[-1] >= JUDGED_AT
    notes = {f"{size:,}": round(peak) for size, peak in zip(sizes, peaks, strict=True)}
    report(
        Figure(
            "memory of a rebuilding worker, peak",
            peak,
            "MB",
            peaks,
            must=f"≤ {MOST_MEGABYTES:g} MB, the same for all" if judged else "",
            met=peak <= MOST_MEGABYTES and growth <= MOST_GROWTH if judged else None,
            notes=notes,
        )
    )


def _measured(url: str, size: int) -> float:
    """Report the time at this size; the peak memory of the larger worker in megabytes."""
    with box_office(url) as turnstile:
        reading = _read_and_decode(turnstile)
    rebuilding, peak = _rebuild(url)
    judged = size >= JUDGED_AT
    report(
        Figure(
            f"rebuild of all read models, {size:,} events",
            rebuilding,
            "s",
            baseline=reading,
            ratio=rebuilding / reading,
            must=f"≤ {MOST_SECONDS:g} s" if judged else "",
            met=rebuilding <= MOST_SECONDS if judged else None,
            notes={"events/s": round(size / rebuilding), "workers": WORKERS},
        )
    )
    return peak


def _read_and_decode(turnstile: Turnstile) -> float:
    """Seconds for reading every event once and making a fact of it, in one process."""
    started = time.perf_counter()
    with turnstile.engine.connect() as connection:
        position = 0
        while entries := log.read(connection, after=position, limit=5_000):
            position = [to_fact(entry) for entry in entries][-1].position
    return time.perf_counter() - started


def _rebuild(url: str) -> tuple[float, float]:
    """Seconds from asking for all rebuilds to the last one's end, and peak memory (MB)."""
    with _redis() as redis_url:
        settings = Settings(database_url=url, redis_url=redis_url)
        with _workers(url, redis_url) as workers:
            turnstile = compose(settings)
            _await_workers(turnstile)
            started = time.perf_counter()
            request_rebuilds(turnstile, READ_MODELS)
            _await_all(turnstile)
            seconds = time.perf_counter() - started
            turnstile.close()
            return seconds, max(_peak_megabytes(worker) for worker in workers)


@contextmanager
def _workers(url: str, redis_url: str) -> Iterator[list[Popen[bytes]]]:
    environment = {"DATABASE_URL": url, "REDIS_URL": redis_url}
    with ExitStack() as processes:
        yield [processes.enter_context(running("work", environment)) for _ in range(WORKERS)]


@contextmanager
def _redis() -> Iterator[str]:
    """A database of a Redis that nobody else uses; TEST_REDIS_URL, a local or an embedded one."""
    service = find_redis()
    try:
        with claimed_redis_database(service.url) as url:
            yield url
    finally:
        service.stop()


def _await_workers(turnstile: Turnstile) -> None:
    """Return once both have connected to the database."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with turnstile.engine.connect() as connection:
            if connection.execute(query).scalar_one() >= WORKERS:
                time.sleep(1.0)
                return
        time.sleep(PAUSE_SECONDS)
    raise TimeoutError("The workers do not start.")


def _await_all(turnstile: Turnstile) -> None:
    while True:
        with turnstile.engine.connect() as connection:
            waiting = jobs.unfinished(connection)
            latest = [jobs.latest(connection, "rebuild", model.name) for model in READ_MODELS]
        failed = [job["outcome"] for job in latest if job and job["state"] == jobs.FAILED]
        if failed:
            raise RuntimeError(f"A rebuild failed: {failed[0]}")
        if not waiting:
            return
        time.sleep(PAUSE_SECONDS)


def _peak_megabytes(process: Popen[bytes]) -> float:
    """The largest resident set that the process ever had; Linux keeps it."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"Process {process.pid} tells nothing about its memory.")
