"""The on-sale rush and the gate, over HTTP, against what PostgreSQL does by itself on one row."""

import re
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from application.composition import Turnstile
from benchmarks.figures import compared, report, within
from benchmarks.load import Load, Server, drive, post
from benchmarks.scenes import (
    TICKETS_PER_ORDER,
    customers,
    event_on_sale,
    order_requests,
    sold_tickets,
)
from benchmarks.servers import (
    DEPLOYED,
    await_caught_up,
    box_office,
    fresh_database,
    postgres_program,
    web,
)

CLIENTS = 32
SCANNERS = 8
EVENTS = 200
PLENTY = 100_000_000
WARM_UP_SECONDS = 1.0
HOT_TABLES = """
CREATE TABLE hot_counters (id int PRIMARY KEY, sold bigint);
INSERT INTO hot_counters VALUES (1, 0);
CREATE TABLE hot_orders (id uuid PRIMARY KEY, customer_id uuid, quantity int);
"""
HOT_ROW = """
BEGIN;
UPDATE hot_counters SET sold = sold + 2 WHERE id = 1;
INSERT INTO hot_orders (id, customer_id, quantity) VALUES (gen_random_uuid(), gen_random_uuid(), 2);
COMMIT;
"""


def run(seconds: float, rounds: int) -> None:
    """Hot on-sale with the web processes of a deployment and with one, 200 events, check-ins,
    selling out.

    All are up all the time and take turns, since the machine's speed changes from minute to minute.
    """
    tail: list[float] = []

    def rush() -> float:
        load = deployed.orders(seconds)
        tail.append(load.percentile(0.99))
        return load.rate

    with _hot_row() as hot_row_url, _site(DEPLOYED) as deployed, _site(1) as single:
        scanning = deployed.scanning(rounds * seconds)
        turns: dict[str, Callable[[], float]] = {
            "hot row": lambda: _pgbench(hot_row_url, seconds),
            "hot": rush,
            "scans": lambda: scanning(seconds).rate,
            "many": lambda: deployed.orders(seconds, events=EVENTS).rate,
            "one process": lambda: single.orders(seconds).rate,
        }
        rates = _in_turns(turns, rounds)
    hot = rates["hot"]
    notes = {"web_processes": DEPLOYED}
    report(compared("hot on-sale, 32 clients", "orders/s", hot, rates["hot row"], 1.0, **notes))
    report(within("hot on-sale, p99", "ms", statistics.median(tail), 50.0))
    what = f"hot on-sale, {DEPLOYED} web processes or one"
    report(compared(what, "orders/s", hot, rates["one process"], 1.0))
    report(compared("200 events, 32 clients", "orders/s", rates["many"], hot, 1.0))
    report(compared("check-ins, 8 clients", "scans/s", rates["scans"], hot, 1.0))
    _sells_out_exactly()
    _admits_once()


def _in_turns(turns: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each of them measured in each round. Every second one goes backwards, since each leaves
    something to do behind."""
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        for name in list(turns)[:: -1 if number % 2 else 1]:
            rates[name].append(turns[name]())
    return rates


@dataclass
class _Site:
    """A deployment, and the events that it sells, the first of them hot."""

    turnstile: Turnstile
    server: Server
    on_sale: list[tuple[UUID, UUID]]
    buyers: list[UUID]

    def orders(self, seconds: float, events: int = 1) -> Load:
        """Orders on the first so many events."""
        requests = order_requests(self.on_sale[:events], self.buyers)
        return self._drive(requests, CLIENTS, seconds)

    def scanning(self, seconds: float) -> Callable[[float], Load]:
        """What scans tickets for some time, each once; enough are sold for `seconds` in all."""
        at_most = 1.5 * self.orders(WARM_UP_SECONDS).rate * (WARM_UP_SECONDS + seconds)
        event = event_on_sale(self.turnstile, PLENTY, "Gate")
        tickets = sold_tickets(self.turnstile, *event, self.buyers, int(at_most))
        await_caught_up(self.turnstile)
        requests = iter([_scan(event[0], ticket_id) for ticket_id in tickets])
        self._drive(requests, SCANNERS, WARM_UP_SECONDS)
        return lambda time: self._drive(requests, SCANNERS, time)

    def _drive(self, requests: Iterator[bytes], clients: int, seconds: float) -> Load:
        load = drive(self.server, requests, clients=clients, seconds=seconds)
        _require_only(load, 201)
        return load


@contextmanager
def _site(processes: int) -> Iterator[_Site]:
    """A deployment with so many web processes, warmed up."""
    with fresh_database() as url, box_office(url) as turnstile:
        on_sale = [event_on_sale(turnstile, PLENTY, f"Rush {n}") for n in range(EVENTS)]
        buyers = customers(turnstile, 500)
        with web(url, processes) as server:
            site = _Site(turnstile, server, on_sale, buyers)
            site.orders(WARM_UP_SECONDS, EVENTS)
            yield site


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


@contextmanager
def _hot_row() -> Iterator[str]:
    """The URL of a database with one counter."""
    with fresh_database() as url:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text(HOT_TABLES))
        engine.dispose()
        yield url


def _pgbench(url: str, seconds: float) -> float:
    """Transactions a second of the bare three statements on one hot row, 32 clients."""
    with TemporaryDirectory() as folder:
        script = Path(folder) / "hot_row.sql"
        script.write_text(HOT_ROW)
        parsed = make_url(url)
        printed = subprocess.run(
            [
                postgres_program("pgbench"),
                *("--no-vacuum", "--client=32", "--jobs=1", f"--time={max(1, round(seconds))}"),
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
