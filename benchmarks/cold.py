"""The first order of a cold process, on an event that has sold much and on one that has not.

    python -m benchmarks.cold DATABASE_URL EVENT_ID TICKET_TYPE_ID CUSTOMER_ID

is that process: it prints how many milliseconds composing and ordering took, imports left out.
"""

import statistics
import subprocess
import sys
import time
from uuid import UUID

from application.composition import Turnstile
from application.orders import Wish, place_order
from application.presenting import show
from application.store import log
from application.store.snapshots import EVERY
from application.store.work import Command
from benchmarks.figures import Figure, report
from benchmarks.scenes import CONTEXT, HOLD, customers, event_on_sale, execute, sold_tickets
from benchmarks.servers import box_office, fresh_database
from domain.ids import uuid7

FEW = 100
MOST_RATIO = 2.0


def run(many: int, rounds: int) -> None:
    """Both events are in one database; the one that has sold `many` is at its worst moment."""
    with fresh_database() as url:
        with box_office(url) as turnstile:
            buyer = customers(turnstile, 1)[0]
            small, large = _sold(turnstile, FEW, buyer), _sold(turnstile, many, buyer)
            _place_before_next_snapshot(turnstile, large, buyer, rounds)
        few, lots = [], []
        for _ in range(rounds):
            few.append(_cold(url, *small, buyer))
            lots.append(_cold(url, *large, buyer))
    figure, baseline = statistics.median(lots), statistics.median(few)
    report(
        Figure(
            f"cold first order, {many:,} sold",
            figure,
            "ms",
            lots,
            baseline,
            few,
            figure / baseline,
            f"ratio ≤ {MOST_RATIO:g}",
            figure / baseline <= MOST_RATIO,
        )
    )


def order(turnstile: Turnstile, event_id: UUID, ticket_type_id: UUID, buyer: UUID) -> None:
    """Place an order of one ticket."""
    arguments = {
        "order_id": uuid7(),
        "event_id": event_id,
        "customer_id": buyer,
        "wishes": [Wish(ticket_type_id, 1)],
        "payment_method": "card",
        "hold": HOLD,
    }
    execute(turnstile, [Command(place_order, arguments, CONTEXT, show)])


def _sold(turnstile: Turnstile, tickets: int, buyer: UUID) -> tuple[UUID, UUID]:
    event_id, ticket_type_id = event_on_sale(turnstile, 10 * tickets)
    sold_tickets(turnstile, event_id, ticket_type_id, [buyer], tickets)
    return event_id, ticket_type_id


def _place_before_next_snapshot(
    turnstile: Turnstile, event: tuple[UUID, UUID], buyer: UUID, rounds: int
) -> None:
    """Bring the event as far from its last snapshot as it can be for all the rounds."""
    while _version(turnstile, event[0]) % EVERY < EVERY - 2 * rounds:
        order(turnstile, *event, buyer)


def _version(turnstile: Turnstile, stream_id: UUID) -> int:
    with turnstile.engine.connect() as connection:
        return log.read_stream(connection, stream_id, descending=True, limit=1)[0].version


def _cold(url: str, *ids: UUID) -> float:
    """Milliseconds, as the new process tells."""
    printed = subprocess.run(
        [sys.executable, "-m", "benchmarks.cold", url, *map(str, ids)],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return float(printed)


def _main(url: str, *ids: str) -> None:
    started = time.perf_counter()
    with box_office(url) as turnstile:
        order(turnstile, *map(UUID, ids))
        print(1000 * (time.perf_counter() - started))


if __name__ == "__main__":
    _main(*sys.argv[1:])
