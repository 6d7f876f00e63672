"""Sales by day, as a projection of the library: a `ProjectionRunner` catches up with a log.

    python -m benchmarks.baseline.projection DATABASE_URL EVENTS.jsonl SELECTION

EVENTS.jsonl holds a line of JSON for each event: stream_id, version, topic, occurred_at, payload.
They go through the library's own mapper into its own recorder; then the runner is timed, and
{"events": …, "seconds": …, "events_per_second": …, "rows": …} printed. `events` counts all
events of the log. SELECTION is "topics", where events that no handler wants stay in the database
(the projection names its topics), or "all", where they come too and only move the position.

Tables and handlers are those of projections/sales_by_day.py. Statements are prepared, rows are
changed where they stand by one upsert, and tracking goes with them in one transaction.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import DomainEvent
from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresFactory, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.utils import register_topic

from benchmarks.baseline.appends import environment

FILL = 500
HOUR = 3600.0
TABLES = (
    """CREATE TABLE IF NOT EXISTS peer_events (event_id uuid PRIMARY KEY, currency text)""",
    """CREATE TABLE IF NOT EXISTS peer_ticket_types (
        event_id uuid, ticket_type_id uuid, name text, PRIMARY KEY (event_id, ticket_type_id))""",
    """CREATE TABLE IF NOT EXISTS peer_tickets (
        event_id uuid, day date, ticket_type_id uuid, payment_method text, country text, week date,
        units_sold int, units_refunded int, amount_sold bigint, amount_refunded bigint,
        PRIMARY KEY (event_id, day, ticket_type_id, payment_method, country))""",
    """CREATE TABLE IF NOT EXISTS peer_orders (
        event_id uuid, day date, payment_method text, country text, week date,
        placed int, paid int, refunded int, cancelled int, expired int,
        PRIMARY KEY (event_id, day, payment_method, country))""",
)
PRICED = """INSERT INTO peer_events VALUES (%s, %s)
    ON CONFLICT (event_id) DO UPDATE SET currency = excluded.currency"""
NAMED = """INSERT INTO peer_ticket_types VALUES (%s, %s, %s)
    ON CONFLICT (event_id, ticket_type_id) DO UPDATE SET name = excluded.name"""
SOLD = """INSERT INTO peer_tickets AS t VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (event_id, day, ticket_type_id, payment_method, country) DO UPDATE SET
    units_sold = t.units_sold + excluded.units_sold,
    units_refunded = t.units_refunded + excluded.units_refunded,
    amount_sold = t.amount_sold + excluded.amount_sold,
    amount_refunded = t.amount_refunded + excluded.amount_refunded"""
ORDERED = """INSERT INTO peer_orders AS o VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (event_id, day, payment_method, country) DO UPDATE SET
    placed = o.placed + excluded.placed, paid = o.paid + excluded.paid,
    refunded = o.refunded + excluded.refunded, cancelled = o.cancelled + excluded.cancelled,
    expired = o.expired + excluded.expired"""
COUNTED = ("placed", "paid", "refunded", "cancelled", "expired")

Change = tuple[str, tuple[Any, ...]]


class Recorded(DomainEvent):
    """An event with the content that the log of Turnstile keeps of it."""

    content: dict[str, Any]


class Drafted(Recorded):
    TOPIC = "Event.Drafted"


class TicketTypeAdded(Recorded):
    TOPIC = "Event.TicketTypeAdded"


class Placed(Recorded):
    TOPIC = "Order.Placed"


class Paid(Recorded):
    TOPIC = "Order.Paid"


class Refunded(Recorded):
    TOPIC = "Order.Refunded"


class Cancelled(Recorded):
    TOPIC = "Order.Cancelled"


class Expired(Recorded):
    TOPIC = "Order.Expired"


class Other(Recorded):
    TOPIC = "Other"


HANDLED = (Drafted, TicketTypeAdded, Placed, Paid, Refunded, Cancelled, Expired)
CLASSES: dict[str, type[Recorded]] = {cls.TOPIC: cls for cls in HANDLED}


class BoxOffice(Application[UUID]):
    """The application whose log is projected."""


class SalesView(PostgresTrackingRecorder):
    """The read model's tables, changed together with the position."""

    def __init__(self, datastore: PostgresDatastore, **arguments: Any) -> None:
        super().__init__(datastore, **arguments)
        with datastore.transaction(commit=True) as cursor:
            for table in TABLES:
                cursor.execute(table, prepare=False)

    def change(self, changes: Iterable[Change], tracking: Tracking) -> None:
        """Make the changes and move the position, in one transaction."""
        with self.datastore.transaction(commit=True) as cursor:
            for statement, values in changes:
                cursor.execute(statement, values, prepare=True)
            self._insert_tracking(cursor, tracking)

    def rows(self) -> int:
        """How many rows the two tables of figures have."""
        query = "SELECT (SELECT count(*) FROM peer_tickets) + (SELECT count(*) FROM peer_orders) n"
        with self.datastore.transaction() as cursor:
            return int(cursor.execute(query).fetchone()["n"])


class SalesByDay(Projection[SalesView]):
    """What each event changes in them."""

    @singledispatchmethod
    def process_event(self, event: Any, tracking: Tracking) -> None:
        self.view.insert_tracking(tracking)

    @process_event.register
    def _(self, event: Drafted, tracking: Tracking) -> None:
        currency = event.content["details"]["currency"]
        self.view.change([(PRICED, (event.originator_id, currency))], tracking)

    @process_event.register
    def _(self, event: TicketTypeAdded, tracking: Tracking) -> None:
        values = (event.originator_id, event.content["ticket_type_id"])
        self.view.change([(NAMED, (*values, event.content["terms"]["name"]))], tracking)

    @process_event.register
    def _(self, event: Placed, tracking: Tracking) -> None:
        self.view.change([_order(event, "placed")], tracking)

    @process_event.register
    def _(self, event: Paid, tracking: Tracking) -> None:
        self.view.change([_order(event, "paid"), *_tickets(event, refunded=False)], tracking)

    @process_event.register
    def _(self, event: Refunded, tracking: Tracking) -> None:
        orders = [_order(event, "refunded")] if event.content["whole"] else []
        self.view.change([*orders, *_tickets(event, refunded=True)], tracking)

    @process_event.register
    def _(self, event: Cancelled, tracking: Tracking) -> None:
        self.view.change([_order(event, "cancelled")], tracking)

    @process_event.register
    def _(self, event: Expired, tracking: Tracking) -> None:
        self.view.change([_order(event, "expired")], tracking)


def _order(event: Recorded, counted: str) -> Change:
    sale, day = event.content["sale"], event.timestamp.date()
    counts = (int(name == counted) for name in COUNTED)
    key = (sale["event_id"], day, sale["payment_method"], sale["country"])
    return ORDERED, (*key, _monday(day), *counts)


def _tickets(event: Recorded, *, refunded: bool) -> Iterator[Change]:
    sale, day = event.content["sale"], event.timestamp.date()
    for kind, units in event.content["quantities"].items():
        key = (sale["event_id"], day, kind, sale["payment_method"], sale["country"])
        amount = event.content["amounts"][kind]
        figures = (0, units, 0, amount) if refunded else (units, 0, amount, 0)
        yield SOLD, (*key, _monday(day), *figures)


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def main(url: str, path: str, selection: str) -> None:
    """Fill the library's log, let its runner catch up, and print the rate."""
    if selection == "topics":
        SalesByDay.topics = tuple(CLASSES)
    for cls in (*HANDLED, Other):
        register_topic(cls.TOPIC, cls)
    env = environment(url)
    total, last = _fill(env, Path(path), tuple(CLASSES) if SalesByDay.topics else ())
    with PostgresFactory(env) as factory:
        factory.tracking_recorder(SalesView)
    started = time.perf_counter()
    with ProjectionRunner(
        application_class=BoxOffice, projection_class=SalesByDay, view_class=SalesView, env=env
    ) as runner:
        runner.wait(last, timeout=HOUR)
        seconds = time.perf_counter() - started
        rows = runner.view.rows()
    rate = {"events": total, "seconds": seconds, "events_per_second": total / seconds}
    print(json.dumps(rate | {"rows": rows}))


def _fill(env: dict[str, str], path: Path, topics: tuple[str, ...]) -> tuple[int, int]:
    """How many events there are, and the position of the last that the runner will see."""
    total, last = 0, 0
    with BoxOffice(env) as app, path.open() as lines:
        while chunk := [json.loads(line) for line in islice(lines, FILL)]:
            stored = [_stored(app, item) for item in chunk]
            positions = app.recorder.insert_events(stored) or []
            seen = [
                position
                for position, item in zip(positions, chunk, strict=True)
                if not topics or item["topic"] in topics
            ]
            total, last = total + len(chunk), max([last, *seen])
    return total, last


def _stored(app: BoxOffice, item: dict[str, Any]) -> StoredEvent:
    cls: Any = CLASSES.get(item["topic"], Other)
    event: DomainEvent = cls(
        originator_id=UUID(item["stream_id"]),
        originator_version=item["version"],
        timestamp=datetime.fromisoformat(item["occurred_at"]),
        content=item["payload"],
    )
    return app.mapper.to_stored_event(event)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])
