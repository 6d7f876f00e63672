"""One read model, sales by day, from the first event to the last, beside the library's runner."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from sqlalchemy import Connection, delete, func, select, text

from application.runtime import YOUNG_IN_BATCHES, collect_rarely
from application.store import log
from application.store.tables import tracking
from benchmarks import baseline
from benchmarks.figures import compared, report
from benchmarks.history import Histories
from benchmarks.servers import box_office, fresh_database
from projections.engine.projector import Projector
from projections.sales_by_day import SALES_BY_DAY, orders, tickets


def run(histories: Histories, events: int, library_events: int, rounds: int) -> None:
    """The library gets the first `library_events` of the same log, since it takes its time.

    Rates count all events of the log. Its runner is measured as it is by default, which takes
    every event, and told the topics that its projection handles, as ours always knows.
    """
    url = histories.url(events)
    ours: list[float] = []
    library: list[float] = []
    unselected: list[float] = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        _export(url, path, library_events)
        collect_rarely(YOUNG_IN_BATCHES)  # as the projector's process does
        for _ in range(rounds):
            ours.append(events / _seconds(url))
            library.append(_library(path, "topics"))
            unselected.append(_library(path, "all"))
    what = f"catching up sales by day, {events:,} events"
    rows = _rows(url)
    report(compared(what, "events/s", ours, unselected, 80.0, rows=rows))
    report(compared(f"{what}, runner told its topics", "events/s", ours, library, 80.0))


def _library(path: Path, selection: str) -> float:
    with fresh_database() as url:
        measured = baseline.measure("projection", url, path, selection)
    return float(measured["events_per_second"])


def _seconds(url: str) -> float:
    with box_office(url) as turnstile:
        with turnstile.engine.begin() as connection:
            _reset(connection)
        projector = Projector(turnstile, [SALES_BY_DAY])
        started = time.perf_counter()
        projector.catch_up()
        return time.perf_counter() - started


def _reset(connection: Connection) -> None:
    for table in SALES_BY_DAY.tables:
        connection.execute(text(f"TRUNCATE {table.name}"))
    connection.execute(delete(tracking).where(tracking.c.name == SALES_BY_DAY.name))


def _rows(url: str) -> int:
    with box_office(url) as turnstile, turnstile.engine.connect() as connection:
        counts = [select(func.count()).select_from(table) for table in (tickets, orders)]
        return sum(connection.execute(query).scalar_one() for query in counts)


def _export(url: str, path: Path, events: int) -> None:
    """The first events of the log, a line of JSON for each."""
    with box_office(url) as turnstile, turnstile.engine.connect() as connection:
        entries = log.read(connection, limit=events)
    lines = (
        {
            "stream_id": entry.stream_id,
            "version": entry.version,
            "topic": entry.topic,
            "occurred_at": entry.occurred_at,
            "payload": msgspec.Raw(entry.payload.encode()),
        }
        for entry in entries
    )
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
