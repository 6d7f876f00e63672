"""Orders: the list that a box office works with, and each with its lines, payments and refunds."""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Row,
    Table,
    Text,
    Uuid,
    or_,
    select,
)

from application.store.tables import UTCDateTime
from domain.aggregate import Fact
from domain.money import to_decimal
from domain.order import Order
from projections.catalogue import events_of
from projections.copied_names import CopiedNames
from projections.engine.read_model import Handler, ReadModel
from projections.engine.rows import Rows
from projections.engine.tables import metadata
from projections.paging import page
from projections.words import FEW, found_by

orders = Table(
    "orders",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("country", Text, nullable=False),
    Column("payment_method", Text, nullable=False),
    Column("status", Text, nullable=False, default="placed"),
    Column("currency", Text, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("paid", BigInteger, nullable=False, default=0),
    Column("refunded", BigInteger, nullable=False, default=0),
    Column("ticket_count", Integer, nullable=False),
    Column("placed_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("paid_at", UTCDateTime),
    Column("ended_at", UTCDateTime),
    Index("ix_orders_placed_at", "placed_at", "id"),
    Index("ix_orders_event_id", "event_id", "placed_at", "id"),
    Index("ix_orders_customer_id", "customer_id", "placed_at", "id"),
    Index("ix_orders_status", "status", "placed_at", "id"),
    Index("ix_orders_payment_method", "payment_method", "placed_at", "id"),
)

order_tickets = Table(
    "order_tickets",
    metadata,
    Column("ticket_id", Uuid, primary_key=True),
    Column("order_id", Uuid, nullable=False),
    Column("place", Integer, nullable=False),
    Column("ticket_type_id", Uuid, nullable=False),
    Column("unit_price", BigInteger, nullable=False),
    Column("refund_id", BigInteger),
    Index("ix_order_tickets_order_id", "order_id", "place"),
)

order_payments = Table(
    "order_payments",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("order_id", Uuid, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("method", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("refusal", Text),
    Column("amount", BigInteger),
    Index("ix_order_payments_order_id", "order_id", "id"),
    Index("ix_order_payments_reference", "reference"),
)

order_refunds = Table(
    "order_refunds",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("order_id", Uuid, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Index("ix_order_refunds_order_id", "order_id", "id"),
)

names = CopiedNames(
    customers="order_customers",
    words="order_customer_words",
    events="order_events",
    ticket_types="order_ticket_types",
)


def placed(rows: Rows, event: Order.Placed) -> None:
    tickets = [(line, ticket_id) for line in event.lines for ticket_id in line.ticket_ids]
    rows.add(
        orders,
        id=event.originator_id,
        **vars(event.sale),
        total=event.total,
        ticket_count=len(tickets),
        placed_at=event.occurred_at,
        expires_at=event.expires_at,
    )
    for place, (line, ticket_id) in enumerate(tickets):
        rows.add(
            order_tickets,
            ticket_id=ticket_id,
            order_id=event.originator_id,
            place=place,
            ticket_type_id=line.ticket_type_id,
            unit_price=line.unit_price,
        )


def paid(rows: Rows, event: Order.Paid) -> None:
    order = rows.get(orders, id=event.originator_id)
    order.status = "paid"
    order.payment_method = event.sale.payment_method
    order.paid = sum(event.amounts.values())
    order.paid_at = event.occurred_at
    _add_payment(rows, event, order.paid, refusal=None)


def payment_refused(rows: Rows, event: Order.PaymentRefused) -> None:
    _add_payment(rows, event, event.amount, event.refusal)


def _add_payment(
    rows: Rows,
    event: Order.Paid | Order.PaymentRefused,
    amount: int | None,
    refusal: str | None,
) -> None:
    rows.add(
        order_payments,
        id=event.position,
        order_id=event.originator_id,
        at=event.occurred_at,
        method=event.sale.payment_method,
        reference=event.reference,
        amount=amount,
        refusal=refusal,
    )


def cancelled(rows: Rows, event: Order.Cancelled) -> None:
    order = rows.get(orders, id=event.originator_id)
    order.status, order.ended_at = "cancelled", event.occurred_at


def expired(rows: Rows, event: Order.Expired) -> None:
    order = rows.get(orders, id=event.originator_id)
    order.status, order.ended_at = "expired", event.occurred_at


def refunded(rows: Rows, event: Order.Refunded) -> None:
    amount = sum(event.amounts.values())
    order = rows.get(orders, id=event.originator_id)
    order.status = "refunded" if event.whole else "partly_refunded"
    order.refunded += amount
    for ticket_id in event.ticket_ids:
        rows.get(order_tickets, ticket_id=ticket_id).refund_id = event.position
    rows.add(
        order_refunds,
        id=event.position,
        order_id=event.originator_id,
        at=event.occurred_at,
        amount=amount,
        reason=event.reason,
    )


HANDLERS: dict[type[Fact], Handler] = {
    **names.handlers,
    Order.Placed: placed,
    Order.Paid: paid,
    Order.PaymentRefused: payment_refused,
    Order.Cancelled: cancelled,
    Order.Expired: expired,
    Order.Refunded: refunded,
}
ORDERS = ReadModel(
    "orders",
    tables=(
        orders,
        order_tickets,
        order_payments,
        order_refunds,
        *names.tables,
    ),
    handlers=HANDLERS,
)

_ORDER = (
    select(
        *orders.c,
        names.events.c.title.label("event_name"),
        names.customers.c.name.label("customer_name"),
        names.customers.c.email.label("customer_email"),
    )
    .outerjoin_from(orders, names.events, names.events.c.event_id == orders.c.event_id)
    .outerjoin(names.customers, names.customers.c.customer_id == orders.c.customer_id)
)


_SHOWN = _ORDER.selected_columns.keys()
_WITH_TICKETS = (
    _ORDER.add_columns(*order_tickets.c, names.ticket_types.c.name.label("ticket_type"))
    .join(order_tickets, order_tickets.c.order_id == orders.c.id)
    .outerjoin(
        names.ticket_types, names.ticket_types.c.ticket_type_id == order_tickets.c.ticket_type_id
    )
    .order_by(order_tickets.c.place)
)
"""A row for each ticket of an order, which has at least one."""
_REFUNDED = ("refunded", "partly_refunded")


def list_orders(
    connection: Connection,
    *,
    event_id: UUID | None = None,
    customer_id: UUID | None = None,
    organizer_id: UUID | None = None,
    status: str | None = None,
    payment_method: str | None = None,
    q: str | None = None,
    limit: int = 20,
    after: str | None = None,
    order: str = "-placed_at",
) -> dict[str, Any]:
    """A page of orders, the newest first, or the oldest when `order` is "placed_at".

    `q` is an order's id, a payment's reference, or the beginnings of words in the customer's
    name and e-mail address.
    """
    query = _ORDER
    wanted = {
        orders.c.event_id: event_id,
        orders.c.customer_id: customer_id,
        orders.c.status: status,
        orders.c.payment_method: payment_method,
    }
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    if organizer_id is not None:
        query = query.where(orders.c.event_id.in_(events_of(organizer_id)))
    if q:
        query = query.where(_found_by(connection, q))
    return page(
        connection,
        query,
        order=(orders.c.placed_at, orders.c.id),
        limit=limit,
        after=after,
        descending=order.startswith("-"),
        shape=_shown,
    )


def order(connection: Connection, order_id: UUID) -> dict[str, Any] | None:
    """One order with lines, payments (refused ones too) and refunds; None for an unknown one.

    The tickets of `ticket_ids` exist once the order is paid. Amounts are decimal strings.
    """
    tickets = connection.execute(_WITH_TICKETS.where(orders.c.id == order_id)).all()
    if not tickets:
        return None
    currency, is_refunded = tickets[0].currency, tickets[0].status in _REFUNDED
    return {
        **_shown({name: tickets[0]._mapping[name] for name in _SHOWN}),
        "ticket_ids": [ticket.ticket_id for ticket in tickets],
        "lines": _lines(tickets, currency),
        "payments": _payments(connection, order_id, currency),
        "refunds": _refunds(connection, order_id, tickets, currency) if is_refunded else [],
    }


def order_of_ticket(connection: Connection, ticket_id: UUID) -> UUID | None:
    """The order that a ticket belongs to, paid or not; None for an unknown ticket."""
    query = select(order_tickets.c.order_id).where(order_tickets.c.ticket_id == ticket_id)
    return connection.execute(query).scalar_one_or_none()


def _found_by(connection: Connection, q: str) -> ColumnElement[bool]:
    """By id, reference or words, whichever it is: a reference may look like an id or a name.

    The orders with the reference are named when they are few, or a database would read all.
    """
    by_reference = select(order_payments.c.order_id).where(order_payments.c.reference == q)
    referred = connection.scalars(by_reference.limit(FEW + 1)).all()
    try:
        found = orders.c.id == UUID(q)
    except ValueError:
        found = found_by(connection, orders.c.customer_id, names.words, q)
    if not referred:
        return found
    return or_(found, orders.c.id.in_(referred if len(referred) <= FEW else by_reference))


def _shown(order: dict[str, Any]) -> dict[str, Any]:
    money = {name: to_decimal(order[name], order["currency"]) for name in _MONEY}
    return {**order, **money}


_MONEY = ("total", "paid", "refunded")


def _lines(tickets: Sequence[Row[Any]], currency: str) -> list[dict[str, Any]]:
    lines = [list(line) for _, line in groupby(tickets, key=attrgetter("ticket_type_id"))]
    return [
        {
            "ticket_type_id": line[0].ticket_type_id,
            "ticket_type": line[0].ticket_type,
            "unit_price": to_decimal(line[0].unit_price, currency),
            "quantity": len(line),
            "refunded_quantity": sum(ticket.refund_id is not None for ticket in line),
            "ticket_ids": [ticket.ticket_id for ticket in line],
        }
        for line in lines
    ]


def _payments(connection: Connection, order_id: UUID, currency: str) -> list[dict[str, Any]]:
    query = (
        select(*(column for column in order_payments.c if column.name != "order_id"))
        .where(order_payments.c.order_id == order_id)
        .order_by(order_payments.c.id)
    )
    return [
        {**row._mapping, "amount": None if row.amount is None else to_decimal(row.amount, currency)}
        for row in connection.execute(query)
    ]


def _refunds(
    connection: Connection, order_id: UUID, tickets: Sequence[Row[Any]], currency: str
) -> list[dict[str, Any]]:
    query = (
        select(order_refunds)
        .where(order_refunds.c.order_id == order_id)
        .order_by(order_refunds.c.id)
    )
    return [
        {
            "id": row.id,
            "at": row.at,
            "amount": to_decimal(row.amount, currency),
            "reason": row.reason,
            "ticket_ids": [ticket.ticket_id for ticket in tickets if ticket.refund_id == row.id],
        }
        for row in connection.execute(query)
    ]
