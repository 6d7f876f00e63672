"""Every query of the HTTP interface, at logs of growing length, beside its bare SELECT.

One client asks, so that what is timed is the answer and not a queue. Lists are asked for with a
limit that the shortest log fills, and look-ups go over the whole log.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine, event, text

from application.store.database import for_queries
from benchmarks.figures import Figure, report
from benchmarks.history import Histories
from benchmarks.load import Load, Server, drive, get
from benchmarks.servers import box_office, service_key, web
from web.app import create_app

SAMPLES = 40
WARM_UP, BARE = 20, 100
JUDGED_AT = 1_000_000
MOST_MS = 10.0
MOST_GROWTH = 1.5
NOT_THE_QUERY = ("FROM tracking", "FROM log_head", "FROM api_keys", "ROLLBACK")
"""Statements by which an answer says how new it is, and who asks; and the end of a snapshot."""

Statement = tuple[str, Any]
Paths = dict[str, list[str]]


def run(histories: Histories, sizes: tuple[int, ...], requests: int) -> None:
    """A row for each query: its p99 at the longest log, and how its median has grown."""
    measured = {size: _measured(histories.projected(size), requests) for size in sizes}
    bare = _bare(histories.projected(sizes[-1]))
    for name, statements in bare.items():
        _report(name, [measured[size][name] for size in sizes], sizes, statements)


def _report(name: str, loads: list[Load], sizes: Sequence[int], bare: list[float]) -> None:
    medians, judged = [load.percentile(0.5) for load in loads], sizes[-1] >= JUDGED_AT
    figure, baseline, growth = loads[-1].percentile(0.99), _p99(bare), medians[-1] / medians[0]
    notes = {f"p50 at {size:,}": round(ms, 2) for size, ms in zip(sizes, medians, strict=True)}
    notes |= {"growth": round(growth, 2), "bare p50": round(statistics.median(bare), 2)}
    report(
        Figure(
            f"{name}, p99",
            figure,
            "ms",
            [load.percentile(0.99) for load in loads],
            baseline,
            ratio=figure / baseline,
            must=f"≤ {MOST_MS:g} ms, growth ≤ {MOST_GROWTH:g}" if judged else "",
            met=figure <= MOST_MS and growth <= MOST_GROWTH if judged else None,
            notes=notes,
        )
    )


def _measured(url: str, requests: int) -> dict[str, Load]:
    """The answers to each query over HTTP, from a server as it is deployed."""
    paths = _paths_of(url)
    with web(url) as server:
        loads = {name: _asked(server, variants, requests) for name, variants in paths.items()}
    for name, load in loads.items():
        if set(load.statuses) != {200}:
            raise RuntimeError(f"{name} was answered with {dict(load.statuses)}.")
    return loads


def _asked(server: Server, variants: list[str], requests: int) -> Load:
    def repeated(number: int) -> Iterator[bytes]:
        return (get(variants[turn % len(variants)]) for turn in range(number))

    drive(server, repeated(WARM_UP), clients=1)
    return drive(server, repeated(requests), clients=1)


def _bare(url: str) -> dict[str, list[float]]:
    """Milliseconds of each query's own statements, with its own parameters, on a connection."""
    paths = _paths_of(url)
    with box_office(url) as turnstile:
        client = create_app(turnstile).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {service_key(turnstile)}"
        statements = {
            name: [_statements(turnstile.engine, client.get, path) for path in variants]
            for name, variants in paths.items()
        }
        arguments = turnstile.engine.dialect.create_connect_args(turnstile.engine.url)[1]
    connection = psycopg2.connect(**arguments)
    try:
        return {
            name: _timed(connection, variants * -(-BARE // len(variants)))
            for name, variants in statements.items()
        }
    finally:
        connection.close()


def _statements(engine: Engine, ask: Callable[[str], Any], path: str) -> list[Statement]:
    with _listening(engine) as elsewhere, _listening(for_queries(engine)) as heard:
        ask(path)
    asked = [*elsewhere, *heard]
    found = [item for item in asked if not any(part in item[0] for part in NOT_THE_QUERY)]
    if not found:
        raise RuntimeError(f"{path} asked nothing of the database that was heard.")
    return found


@contextmanager
def _listening(engine: Engine) -> Iterator[list[Statement]]:
    heard: list[Statement] = []

    def hear(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        heard.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        event.remove(engine, "before_cursor_execute", hear)


def _timed(connection: Any, variants: list[list[Statement]]) -> list[float]:
    """The first are asked for nothing, as over HTTP."""
    for variant in variants[:WARM_UP]:
        _milliseconds(connection, variant)
    return [_milliseconds(connection, variant) for variant in variants]


def _milliseconds(connection: Any, statements: list[Statement]) -> float:
    started = time.perf_counter()
    with connection, connection.cursor() as cursor:
        for statement, parameters in statements:
            cursor.execute(statement, parameters)
            cursor.fetchall()
    return 1000 * (time.perf_counter() - started)


def _p99(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]


def _paths_of(url: str) -> Paths:
    with box_office(url) as turnstile, turnstile.engine.connect() as connection:
        return _paths(connection)


def _paths(connection: Connection) -> Paths:
    """Each query by name, with the addresses that it is asked at in turn."""
    festivals = _ids(connection, FESTIVALS)
    known = {
        "events": festivals,
        "orders": _ids(connection, ORDERS),
        "tickets": _ids(connection, TICKETS),
        "customers": _ids(connection, CUSTOMERS),
    }
    now = datetime.now(UTC)
    week = f"start_date={(now - timedelta(days=7)).date()}&end_date={now.date()}"
    head = int(connection.execute(text("SELECT position FROM log_head")).scalar_one())
    lists = {
        "GET /api/v1/events": "/api/v1/events?limit=5",
        "GET /api/v1/events?q": "/api/v1/events?q=heron&limit=2",
        "GET /api/v1/events/summary": "/api/v1/events/summary?limit=5",
        "GET /api/v1/events/low-capacity": "/api/v1/events/low-capacity?threshold=50&limit=2",
        "GET /api/v1/ticket-types/top": "/api/v1/ticket-types/top?limit=5",
        "GET /api/v1/ticket-types/top, a week": f"/api/v1/ticket-types/top?limit=5&{week}",
        "GET /api/v1/orders": "/api/v1/orders",
        "GET /api/v1/orders?status": "/api/v1/orders?status=refunded&limit=5",
        "GET /api/v1/orders?q": "/api/v1/orders?q=wren+okafor&limit=1",
        "GET /api/v1/customers?q": "/api/v1/customers?q=wren+okafor&limit=1",
        "GET /api/v1/projections": "/api/v1/projections",
        "GET /stats": "/stats",
    }
    by_id = {
        "GET /api/v1/events/{id}": "/api/v1/events/{events}",
        "GET /api/v1/events/{id}/sales": "/api/v1/events/{events}/sales?group_by=week,country",
        "GET /api/v1/events/{id}/attendees": "/api/v1/events/{events}/attendees",
        "GET /api/v1/events/{id}/attendees?q": "/api/v1/events/{events}/attendees?q=ok",
        "GET /api/v1/orders?event_id": "/api/v1/orders?event_id={events}",
        "GET /api/v1/orders/{id}": "/api/v1/orders/{orders}",
        "GET /api/v1/tickets/{id}": "/api/v1/tickets/{tickets}",
        "GET /api/v1/customers/{id}": "/api/v1/customers/{customers}",
        "GET /api/v1/customers/{id}/statistics": "/api/v1/customers/{customers}/statistics",
        "GET /stats?event_id": "/stats?event_id={events}",
        "GET /stats/daily": "/stats/daily?event_id={events}",
        "GET /stats/hourly": "/stats/hourly?event_id={events}",
        "GET /stats/scans": "/stats/scans?event_id={events}&limit=50",
        "GET /stats/transfers": "/stats/transfers?event_id={events}&limit=50",
        "GET /stats/invalid-attempts": "/stats/invalid-attempts?event_id={events}&limit=50",
        "GET /api/v1/events/{id}/history": "/api/v1/events/{events}/history?limit=50",
        "GET /api/v1/events/{id}/as-of": "/api/v1/events/{events}/as-of?version=510",
        "GET /api/v1/orders/{id}/history": "/api/v1/orders/{orders}/history",
        "GET /api/v1/orders/{id}/as-of": "/api/v1/orders/{orders}/as-of?version=1",
        "GET /api/v1/tickets/{id}/history": "/api/v1/tickets/{tickets}/history",
        "GET /api/v1/tickets/{id}/as-of": "/api/v1/tickets/{tickets}/as-of?version=1",
        "GET /api/v1/customers/{id}/history": "/api/v1/customers/{customers}/history",
        "GET /api/v1/customers/{id}/as-of": "/api/v1/customers/{customers}/as-of?version=1",
    }
    paths = {name: [path] for name, path in lists.items()}
    for name, path in by_id.items():
        kind = next(kind for kind in known if f"{{{kind}}}" in path)
        paths[name] = [path.replace(f"{{{kind}}}", identifier) for identifier in known[kind]]
    positions = [head * turn // SAMPLES for turn in range(SAMPLES)]
    paths["GET /api/v1/log"] = [f"/api/v1/log?after={after}&limit=50" for after in positions]
    return paths


def _ids(connection: Connection, query: str) -> list[str]:
    rows = connection.execute(text(query), {"samples": SAMPLES})
    found = [str(row[0]) for row in rows]
    if not found:
        raise RuntimeError(f"This log is too short for {query}")
    return found


# Only whole copies of the festival, which are of one size; the last one may be cut off.
FESTIVALS = """
SELECT event_id FROM catalogue WHERE version = (SELECT max(version) FROM catalogue)
ORDER BY md5(event_id::text) LIMIT :samples
"""
ORDERS = "SELECT id FROM orders ORDER BY md5(id::text) LIMIT :samples"
TICKETS = "SELECT id FROM tickets ORDER BY md5(id::text) LIMIT :samples"
CUSTOMERS = (
    "SELECT customer_id FROM customer_statistics ORDER BY md5(customer_id::text) LIMIT :samples"
)
