"""From a commit to its being visible to queries, while orders come at a steady rate."""

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from itertools import count

from benchmarks.figures import Figure, report
from benchmarks.load import Load, Server
from benchmarks.scenes import TICKETS_PER_ORDER, customers, event_on_sale
from benchmarks.servers import DEPLOYED, box_office, fresh_database, web
from domain.ids import uuid7

CONNECTIONS = 16
EVERY = 5
"""One order in so many is looked up; the others only keep the rate."""

WARM_UP_SECONDS = 1.0
PLENTY = 100_000_000
MOST_MS = {0.5: 10.0, 0.99: 100.0}


@dataclass
class _Buyer:
    """One connection; its orders are due at fixed times, whether or not the server keeps up.

    A look-up carries the order's position, so that it is answered once the order is visible.
    `late` is how many seconds the latest order was behind its time.
    """

    server: Server
    body: bytes
    started: float
    interval: float
    visible: Load = field(default_factory=Load)
    late: float = 0.0
    orders: int = 0

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        self._headers = {"Authorization": f"Bearer {self.server.key}"}

    def buy(self, until: float) -> None:
        for number in count():
            due = self.started + number * self.interval
            if due >= until:
                break
            time.sleep(max(0.0, due - time.perf_counter()))
            self.late = max(self.late, time.perf_counter() - due)
            order_id, position = self._order()
            if number % EVERY == 0 and due >= self.started + WARM_UP_SECONDS:
                self._look_up(order_id, position)
        self._connection.close()

    def _order(self) -> tuple[str, str]:
        sent = {"Content-Type": "application/json", "Idempotency-Key": str(uuid7())}
        headers = self._headers | sent
        self._connection.request("POST", "/api/v1/orders", self.body, headers)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 201:
            raise RuntimeError(f"An order was answered with {response.status}: {answer}")
        self.orders += 1
        return answer["id"], str(answer["position"])

    def _look_up(self, order_id: str, position: str) -> None:
        asked = time.perf_counter()
        headers = self._headers | {"Turnstile-Position": position}
        self._connection.request("GET", f"/api/v1/orders/{order_id}", headers=headers)
        response = self._connection.getresponse()
        response.read()
        self.visible.latencies.append(time.perf_counter() - asked)
        self.visible.statuses[response.status] += 1


def run(seconds: float, rate: float) -> None:
    """From the answer to an order until a look-up shows it, both over HTTP: an upper bound."""
    with fresh_database() as url:
        with box_office(url) as turnstile:
            event_id, ticket_type_id = event_on_sale(turnstile, PLENTY)
            buyer = customers(turnstile, 1)[0]
        line = {"ticket_type_id": str(ticket_type_id), "quantity": TICKETS_PER_ORDER}
        wish = {
            "event_id": str(event_id),
            "customer_id": str(buyer),
            "payment_method": "card",
            "lines": [line],
        }
        with web(url, DEPLOYED) as server:
            buyers = _drive(server, json.dumps(wish).encode(), seconds, rate)
    visible = _together(buyers)
    if set(visible.statuses) != {200}:
        raise RuntimeError(f"Unexpected answers: {dict(visible.statuses)}")
    notes = {
        "orders/s": round(sum(item.orders for item in buyers) / (seconds + WARM_UP_SECONDS)),
        "samples": len(visible.latencies),
        "latest order behind its time, ms": round(1000 * max(item.late for item in buyers)),
    }
    for share, bound in MOST_MS.items():
        figure = visible.percentile(share)
        what = f"commit to visible at {rate:.0f} orders/s, p{100 * share:.0f}"
        report(Figure(what, figure, "ms", must=f"≤ {bound:g} ms", met=figure <= bound, notes=notes))


def _drive(server: Server, body: bytes, seconds: float, rate: float) -> list[_Buyer]:
    """The connections take turns: each starts a fraction of its interval after the one before."""
    now, interval = time.perf_counter(), CONNECTIONS / rate
    until = now + WARM_UP_SECONDS + seconds
    buyers = [_Buyer(server, body, now + number / rate, interval) for number in range(CONNECTIONS)]
    threads = [threading.Thread(target=item.buy, args=(until,)) for item in buyers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return buyers


def _together(buyers: list[_Buyer]) -> Load:
    load = Load()
    for item in buyers:
        load.latencies.extend(item.visible.latencies)
        load.statuses.update(item.visible.statuses)
    return load
