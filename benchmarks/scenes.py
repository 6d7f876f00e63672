"""Scenes to measure in: events on sale, customers, tickets that can be scanned."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from application.composition import Turnstile
from application.customers import register_customer
from application.events import create_event, publish_event
from application.orders import Wish, pay_order, place_order
from application.presenting import show
from application.store.work import Answer, Command, Context
from benchmarks.load import post
from domain.customer import Profile
from domain.event import Details, Terms
from domain.ids import uuid7

CONTEXT = Context(actor="benchmark")
HOLD = timedelta(minutes=30)
TICKETS_PER_ORDER = 2


def execute(turnstile: Turnstile, commands: list[Command]) -> list[Answer]:
    """The answers of commands that must all succeed."""
    outcomes = turnstile.executor.execute_all(commands)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, Answer)]


def event_on_sale(turnstile: Turnstile, quantity: int, title: str = "Rush") -> tuple[UUID, UUID]:
    """A published event with one ticket type; their ids."""
    event_id, ticket_type_id = uuid7(), uuid7()
    now = datetime.now(UTC)
    details = Details(
        title=title,
        organizer_id=uuid7(),
        organizer_name="Benchmarks",
        starts_at=now - timedelta(hours=1),
        ends_at=now + timedelta(days=30),
        currency="GBP",
        capacity=quantity,
    )
    types = [(ticket_type_id, Terms(name="Standing", price=4500, quantity=quantity))]
    arguments = {"event_id": event_id, "details": details, "ticket_types": types}
    made = Command(create_event, arguments, CONTEXT, show)
    execute(turnstile, [made, Command(publish_event, {"event_id": event_id}, CONTEXT, show)])
    return event_id, ticket_type_id


def customers(turnstile: Turnstile, number: int) -> list[UUID]:
    """The ids of new customers."""
    ids = [uuid7() for _ in range(number)]
    execute(
        turnstile,
        [
            Command(
                register_customer,
                {
                    "customer_id": customer_id,
                    "profile": Profile(f"Buyer {index}", f"buyer{index}@example.org", "", "GB"),
                },
                CONTEXT,
                show,
            )
            for index, customer_id in enumerate(ids)
        ],
    )
    return ids


def sold_tickets(
    turnstile: Turnstile, event_id: UUID, ticket_type_id: UUID, buyers: list[UUID], number: int
) -> list[UUID]:
    """The ids of `number` tickets that were ordered, ten at a time, and paid."""
    tickets: list[UUID] = []
    while len(tickets) < number:
        orders = [
            (uuid7(), [uuid7() for _ in range(10)])
            for _ in range(min(100, -(-(number - len(tickets)) // 10)))
        ]
        commands = [
            command
            for index, (order_id, ids) in enumerate(orders)
            for command in _bought(
                order_id, event_id, buyers[index % len(buyers)], Wish(ticket_type_id, 10, ids)
            )
        ]
        execute(turnstile, commands)
        tickets.extend(ticket_id for _, ids in orders for ticket_id in ids)
    return tickets[:number]


def order_requests(
    on_sale: list[tuple[UUID, UUID]], buyers: list[UUID], limit: int | None = None
) -> Iterator[bytes]:
    """Orders over these events in turn, each with an idempotency key of its own."""
    for number in count() if limit is None else range(limit):
        event_id, ticket_type_id = on_sale[number % len(on_sale)]
        yield post(
            "/api/v1/orders",
            {
                "event_id": str(event_id),
                "customer_id": str(buyers[number % len(buyers)]),
                "payment_method": "card",
                "lines": [{"ticket_type_id": str(ticket_type_id), "quantity": TICKETS_PER_ORDER}],
            },
            key=str(uuid7()),
        )


def _bought(order_id: UUID, event_id: UUID, buyer: UUID, wish: Wish) -> list[Command]:
    placed = {
        "order_id": order_id,
        "event_id": event_id,
        "customer_id": buyer,
        "wishes": [wish],
        "payment_method": "card",
        "hold": HOLD,
    }
    paid = {"order_id": order_id, "method": "card"}
    return [
        Command(place_order, placed, CONTEXT, show),
        Command(pay_order, paid, CONTEXT, show),
    ]
