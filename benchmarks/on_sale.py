"""The on-sale rush and the gate, over HTTP, against what PostgreSQL does by itself on one row."""

import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from benchmarks.figures import compared, report, within
from benchmarks.load import Load, drive, post
from benchmarks.scenes import (
    TICKETS_PER_ORDER,
    customers,
    event_on_sale,
    order_requests,
    sold_tickets,
)
from benchmarks.servers import DEPLOYED, box_office, fresh_database, postgres_program, web

CLIENTS = 32
SCANNERS = 8
PLENTY = 100_000_000
WARM_UP_SECONDS = 1.0
HOT_ROW = """
BEGIN;
UPDATE hot_counters SET sold = sold + 2 WHERE id = 1;
INSERT INTO hot_orders (id, customer_id, quantity) VALUES (gen_random_uuid(), gen_random_uuid(), 2);
COMMIT;
"""


def run(seconds: float, rounds: int) -> None:
    """Hot on-sale with the web processes of a deployment and with one, 200 events, check-ins,
    selling out."""
    hot, one, hot_row, many, scans = [], [], [], [], []
    tail: list[float] = []
    for _ in range(rounds):
        hot_row.append(_pgbench(seconds))
        load = _orders(seconds, events=1, processes=DEPLOYED)
        hot.append(load.rate)
        tail.append(load.percentile(0.99))
        one.append(_orders(seconds, events=1, processes=1).rate)
        many.append(_orders(seconds, events=200, processes=DEPLOYED).rate)
        scans.append(_check_ins(seconds, load.rate).rate)
    report(
        compared("hot on-sale, 32 clients", "orders/s", hot, hot_row, 1.0, web_processes=DEPLOYED)
    )
    report(within("hot on-sale, p99", "ms", sorted(tail)[len(tail) // 2], 50.0))
    report(compared(f"hot on-sale, {DEPLOYED} web processes or one", "orders/s", hot, one, 1.0))
    report(compared("200 events, 32 clients", "orders/s", many, hot, 1.0))
    report(compared("check-ins, 8 clients", "scans/s", scans, hot, 1.0))
    _sells_out_exactly()
    _admits_once()


def _orders(seconds: float, events: int, processes: int) -> Load:
    with fresh_database() as url:
        with box_office(url) as turnstile:
            on_sale = [event_on_sale(turnstile, PLENTY, f"Rush {n}") for n in range(events)]
            buyers = customers(turnstile, 500)
        with web(url, processes) as server:
            drive(server, order_requests(on_sale, buyers), clients=CLIENTS, seconds=WARM_UP_SECONDS)
            load = drive(server, order_requests(on_sale, buyers), clients=CLIENTS, seconds=seconds)
    _require_only(load, 201)
    return load


def _check_ins(seconds: float, at_most: float) -> Load:
    """Scans of different tickets, of which there are enough for `at_most` a second."""
    number = int(1.5 * at_most * (WARM_UP_SECONDS + seconds))
    with fresh_database() as url:
        with box_office(url) as turnstile:
            on_sale = event_on_sale(turnstile, PLENTY)
            tickets = sold_tickets(turnstile, *on_sale, customers(turnstile, 50), number)
        with web(url, DEPLOYED) as server:
            requests = iter([_scan(on_sale[0], ticket_id) for ticket_id in tickets])
            drive(server, requests, clients=SCANNERS, seconds=WARM_UP_SECONDS)
            load = drive(server, requests, clients=SCANNERS, seconds=seconds)
    _require_only(load, 201)
    return load


def _sells_out_exactly() -> None:
    """3,000 orders of two tickets for 4,000 places."""
    with fresh_database() as url:
        with box_office(url) as turnstile:
            on_sale, buyers = event_on_sale(turnstile, 4000), customers(turnstile, 50)
        with web(url, processes=2) as server:
            load = drive(server, order_requests([on_sale], buyers, 3000), clients=CLIENTS)
    _require_only(load, 201, 409)
    sold = load.statuses[201] * TICKETS_PER_ORDER
    report(within("sold of 4,000 places in a rush", "tickets", sold, 4000, exactly=sold == 4000))


def _admits_once() -> None:
    """100 tickets, each scanned eight times at once."""
    with fresh_database() as url:
        with box_office(url) as turnstile:
            on_sale = event_on_sale(turnstile, PLENTY)
            tickets = sold_tickets(turnstile, *on_sale, customers(turnstile, 5), 100)
        with web(url, processes=2) as server:
            requests = (_scan(on_sale[0], ticket_id) for ticket_id in tickets for _ in range(8))
            load = drive(server, requests, clients=SCANNERS, keep_bodies=True)
    _require_only(load, 201)
    admitted = sum(b'"status":"ok"' in body for body in load.bodies)
    report(within("admitted of 100 tickets scanned 8 times", "tickets", admitted, 100))


def _scan(event_id: UUID, ticket_id: UUID) -> bytes:
    return post(
        "/api/v1/checkins",
        {
            "event_id": str(event_id),
            "ticket_id": str(ticket_id),
            "type": "entry",
            "scanner_id": "gate-1",
            "location": "Main Gate",
        },
    )


def _require_only(load: Load, *statuses: int) -> None:
    if set(load.statuses) - set(statuses):
        raise RuntimeError(f"Unexpected answers: {dict(load.statuses)}")


def _pgbench(seconds: float) -> float:
    """Transactions a second of the bare three statements on one hot row, 32 clients."""
    with fresh_database() as url, TemporaryDirectory() as folder:
        script = Path(folder) / "hot_row.sql"
        script.write_text(HOT_ROW)
        _prepare_hot_row(url)
        parsed = make_url(url)
        printed = subprocess.run(
            [
                postgres_program("pgbench"),
                *("--no-vacuum", "--client=32", "--jobs=1", f"--time={seconds:.0f}"),
                *(f"--file={script}", f"--host={parsed.host}", f"--port={parsed.port or 5432}"),
                *(f"--username={parsed.username}", str(parsed.database)),
            ],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
    found = re.search(r"tps = ([\d.]+)", printed)
    assert found is not None, printed
    return float(found[1])


def _prepare_hot_row(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE hot_counters (id int PRIMARY KEY, sold bigint)"))
        connection.execute(text("INSERT INTO hot_counters VALUES (1, 0)"))
        connection.execute(
            text("CREATE TABLE hot_orders (id uuid PRIMARY KEY, customer_id uuid, quantity int)")
        )
    engine.dispose()
