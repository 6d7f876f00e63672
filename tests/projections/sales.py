"""What the tests of sales start from: events with ticket types by name, customers, orders."""

from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from domain.customer import Customer, Profile
from domain.event import Event
from domain.order import Line, Order, Sale
from tests.domain.given import ANNA, NOW, details, terms

DAY = timedelta(days=1)

ids = (UUID(int=number) for number in count(1000))
"""New ids in order, so that what is made first comes first among equals."""


def draft(title: str, *kinds: str, price: int = 1000, **changes: Any) -> Event:
    event = Event.draft(next(ids), details(title=title, **changes), NOW)
    for name in kinds or ("Adult",):
        event.add_ticket_type(next(ids), terms(name=name, price=price), NOW)
    return event


def on_sale(title: str, *kinds: str, price: int = 1000, **changes: Any) -> Event:
    event = draft(title, *kinds, price=price, **changes)
    event.publish(NOW)
    return event


def kind(event: Event, name: str = "Adult") -> UUID:
    """The id of the ticket type of that name."""
    return next(key for key, kind in event.ticket_types.items() if kind.terms.name == name)


def registered(customer_id: UUID = ANNA) -> Customer:
    return Customer.register(customer_id, Profile("Anna", "anna@example.org"), NOW)


def placed(
    event: Event,
    quantity: int = 1,
    name: str = "Adult",
    *,
    customer: UUID = ANNA,
    at: datetime = NOW,
    method: str = "card",
    country: str = "GB",
) -> Order:
    """An order for `quantity` tickets of one type, which the event holds."""
    order_id, type_id = next(ids), kind(event, name)
    event.hold(order_id, {type_id: quantity}, at)
    sale = Sale(event.id, customer, country, method, event.details.currency)
    price = event.ticket_type(type_id).terms.price
    line = Line(type_id, price, [next(ids) for _ in range(quantity)])
    return Order.place(order_id, sale, [line], at + timedelta(minutes=30), at)


def paid(event: Event, *what: Any, method: str = "card", at: datetime = NOW, **how: Any) -> Order:
    """An order as `placed`, and paid at once."""
    order = placed(event, *what, method=method, at=at, **how)
    assert order.pay(method, "receipt", None, at) is None
    event.sell(order.id, order.quantities, order.total, at)
    return order


def refund(event: Event, order: Order, count: int | None = None, at: datetime = NOW) -> None:
    """Refund so many of its tickets, or all that are left."""
    refunded = order.refund(order.ticket_ids[:count] if count else (), "ill", at)
    assert refunded is not None
    event.take_back(order.id, refunded.quantities, sum(refunded.amounts.values()), at)


def let_go(event: Event, order: Order, at: datetime = NOW) -> None:
    """Cancel an order that was not paid."""
    order.cancel("changed my mind", at)
    event.release(order.id, order.quantities, at)
