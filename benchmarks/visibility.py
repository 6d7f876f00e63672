"""From a commit to its being visible to queries, while orders come at a steady rate."""

import json
import selectors
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.figures import Figure, report
from benchmarks.load import Connection, Load, Server, get, post
from benchmarks.scenes import TICKETS_PER_ORDER, customers, event_on_sale
from benchmarks.servers import DEPLOYED, box_office, fresh_database, web
from domain.ids import uuid7

CONNECTIONS = 16
EVERY = 5
"""One order in so many is looked up; the others only keep the rate."""

WARM_UP_SECONDS = 1.0
PLENTY = 100_000_000
MOST_MS = {0.5: 10.0, 0.99: 100.0}


class _Buyer:
    """One connection; its orders are due at fixed times, whether or not the server keeps up.

    A look-up carries the order's position, so that it is answered once the order is visible.
    `late` is how many seconds the latest order was behind its time.
    """

    def __init__(self, server: Server, order: object, first: float, interval: float) -> None:
        self.connection = Connection(server)
        self._order = order
        self._measured_from = first + WARM_UP_SECONDS
        self._interval = interval
        self.due = first
        self.is_waiting = False
        self._looks_up = False
        self.orders = 0
        self.late = 0.0

    def order(self) -> None:
        """Send the order that is due."""
        self.late = max(self.late, time.perf_counter() - self.due)
        self.connection.ask(post("/api/v1/orders", self._order, key=str(uuid7())))
        self.is_waiting = True

    def take(self, visible: Load) -> None:
        """Take what has come; look the order up if it is one of those, and it is answered."""
        answer = self.connection.answer()
        if answer is None:
            return
        status, body = answer
        if self._looks_up:
            visible.latencies.append(time.perf_counter() - self.connection.asked)
            visible.statuses[status] += 1
        elif status != 201:
            raise RuntimeError(f"An order was answered with {status}: {body!r}")
        else:
            looks_up = self.orders % EVERY == 0 and self.due >= self._measured_from
            self.orders += 1
            self.due += self._interval
            if looks_up:
                self._look_up(json.loads(body))
                return
        self._looks_up = self.is_waiting = False

    def _look_up(self, order: dict[str, Any]) -> None:
        self._looks_up = True
        self.connection.ask(get(f"/api/v1/orders/{order['id']}", order["position"]))


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
            buyers, visible = _drive(server, wish, seconds, rate)
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


def _drive(server: Server, wish: object, seconds: float, rate: float) -> tuple[list[_Buyer], Load]:
    """The connections take turns: each starts a fraction of its interval after the one before."""
    now, visible = time.perf_counter(), Load()
    until = now + WARM_UP_SECONDS + seconds
    interval = CONNECTIONS / rate
    buyers = [_Buyer(server, wish, now + number / rate, interval) for number in range(CONNECTIONS)]
    with selectors.DefaultSelector() as selector:
        for buyer in buyers:
            selector.register(buyer.connection.socket, selectors.EVENT_READ, buyer)
        while active := [buyer for buyer in buyers if buyer.is_waiting or buyer.due < until]:
            idle = [buyer for buyer in active if not buyer.is_waiting]
            for key, _ in selector.select(_pause_before(idle)):
                key.data.take(visible)
            for buyer in idle:
                if buyer.due <= time.perf_counter():
                    buyer.order()
    for buyer in buyers:
        buyer.connection.socket.close()
    return buyers, visible


def _pause_before(idle: Sequence[_Buyer]) -> float | None:
    """Seconds until the first of them is to order; None if there is none."""
    if not idle:
        return None
    return max(0.0, min(buyer.due for buyer in idle) - time.perf_counter())
