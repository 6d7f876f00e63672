"""Appends of three events from 16 threads, by the library's own recorder for PostgreSQL.

    python -m benchmarks.baseline.appends DATABASE_URL SECONDS PAYLOAD_BYTES VARIANT

prints {"appends_per_second": …}. VARIANT is "table-lock", the library's default, or
"insert-function", which POSTGRES_ENABLE_DB_FUNCTIONS turns on. Its connection pool is of its
default size.
"""

import json
import sys
import threading
import time
from urllib.parse import urlsplit
from uuid import uuid4

from eventsourcing.persistence import ApplicationRecorder, StoredEvent
from eventsourcing.postgres import PostgresFactory

THREADS = 16
EVENTS = 3
WARM_UP_SECONDS = 0.5


def main(url: str, seconds: float, payload_bytes: int, variant: str) -> None:
    """Print the rate of `seconds`, after a warm-up."""
    with PostgresFactory(environment(url, functions=variant == "insert-function")) as factory:
        recorder = factory.application_recorder()
        _appends(recorder, WARM_UP_SECONDS, payload_bytes)
        rate = _appends(recorder, seconds, payload_bytes) / seconds
    print(json.dumps({"appends_per_second": rate}))


def environment(url: str, *, functions: bool = False) -> dict[str, str]:
    """The library's settings for that database; all others are at their defaults."""
    parsed = urlsplit(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parsed.path.lstrip("/"),
        "POSTGRES_HOST": parsed.hostname or "127.0.0.1",
        "POSTGRES_PORT": str(parsed.port or 5432),
        "POSTGRES_USER": parsed.username or "postgres",
        "POSTGRES_PASSWORD": parsed.password or "",
        "POSTGRES_ENABLE_DB_FUNCTIONS": "y" if functions else "n",
    }


def _appends(recorder: ApplicationRecorder, seconds: float, payload_bytes: int) -> int:
    """How many appends all threads together make in that time."""
    state, counts = b"x" * payload_bytes, [0] * THREADS
    deadline = time.perf_counter() + seconds

    def append(number: int) -> None:
        while time.perf_counter() < deadline:
            stream_id = uuid4()
            recorder.insert_events(
                [
                    StoredEvent(stream_id, version, "Customer.Changed", state)
                    for version in range(1, EVENTS + 1)
                ]
            )
            counts[number] += 1

    threads = [threading.Thread(target=append, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
