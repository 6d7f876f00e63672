"""Sales by day (UTC): tickets and orders of an event by day, type, payment method and country."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Date,
    Integer,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    cast,
    func,
    select,
)

from domain.aggregate import Fact
from domain.event import Event
from domain.money import to_decimal
from domain.order import Order
from projections.engine.read_model import Handler, ReadModel
from projections.engine.rows import Rows
from projections.engine.tables import metadata
from projections.paging import Item

events = Table(
    "sales_by_day_events",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("currency", Text, nullable=False),
)

ticket_types = Table(
    "sales_by_day_ticket_types",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("ticket_type_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
)

tickets = Table(
    "tickets_by_day",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("ticket_type_id", Uuid, primary_key=True),
    Column("payment_method", Text, primary_key=True),
    Column("country", Text, primary_key=True),
    Column("week", Date, nullable=False),
    Column("units_sold", Integer, nullable=False, default=0),
    Column("units_refunded", Integer, nullable=False, default=0),
    Column("amount_sold", BigInteger, nullable=False, default=0),
    Column("amount_refunded", BigInteger, nullable=False, default=0),
)

orders = Table(
    "orders_by_day",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("payment_method", Text, primary_key=True),
    Column("country", Text, primary_key=True),
    Column("week", Date, nullable=False),
    Column("placed", Integer, nullable=False, default=0),
    Column("paid", Integer, nullable=False, default=0),
    Column("refunded", Integer, nullable=False, default=0),
    Column("cancelled", Integer, nullable=False, default=0),
    Column("expired", Integer, nullable=False, default=0),
)

OrderFact = Order.Placed | Order.Paid | Order.Refunded | Order.Cancelled | Order.Expired


def priced(rows: Rows, event: Event.Drafted | Event.Changed) -> None:
    rows.of(events, event_id=event.originator_id).currency = event.details.currency


def ticket_type_named(rows: Rows, event: Event.TicketTypeAdded | Event.TicketTypeChanged) -> None:
    key = {"event_id": event.originator_id, "ticket_type_id": event.ticket_type_id}
    rows.of(ticket_types, **key).name = event.terms.name


def placed(rows: Rows, event: Order.Placed) -> None:
    _dated(rows.of(orders, **_key(event))).placed += 1


def paid(rows: Rows, event: Order.Paid) -> None:
    key = _key(event)
    _dated(rows.of(orders, **key)).paid += 1
    for ticket_type_id, quantity in event.quantities.items():
        row = _dated(rows.of(tickets, **key, ticket_type_id=ticket_type_id))
        row.units_sold += quantity
        row.amount_sold += event.amounts[ticket_type_id]


def refunded(rows: Rows, event: Order.Refunded) -> None:
    key = _key(event)
    _dated(rows.of(orders, **key)).refunded += event.whole
    for ticket_type_id, quantity in event.quantities.items():
        row = _dated(rows.of(tickets, **key, ticket_type_id=ticket_type_id))
        row.units_refunded += quantity
        row.amount_refunded += event.amounts[ticket_type_id]


def cancelled(rows: Rows, event: Order.Cancelled) -> None:
    _dated(rows.of(orders, **_key(event))).cancelled += 1


def expired(rows: Rows, event: Order.Expired) -> None:
    _dated(rows.of(orders, **_key(event))).expired += 1


def _key(event: OrderFact) -> dict[str, Any]:
    return {
        "event_id": event.sale.event_id,
        "day": event.occurred_at.date(),
        "payment_method": event.sale.payment_method,
        "country": event.sale.country,
    }


def _dated(row: Any) -> Any:
    if row.week is None:
        row.week = row.day - timedelta(days=row.day.weekday())
    return row


HANDLERS: dict[type[Fact], Handler] = {
    Event.Drafted: priced,
    Event.Changed: priced,
    Event.TicketTypeAdded: ticket_type_named,
    Event.TicketTypeChanged: ticket_type_named,
    Order.Placed: placed,
    Order.Paid: paid,
    Order.Refunded: refunded,
    Order.Cancelled: cancelled,
    Order.Expired: expired,
}
SALES_BY_DAY = ReadModel(
    "sales_by_day", tables=(events, ticket_types, tickets, orders), handlers=HANDLERS
)

DIMENSIONS = ("day", "week", "ticket_type", "payment_method", "country")
_TICKET_FIGURES = ("units_sold", "units_refunded", "amount_sold", "amount_refunded")
_ORDER_FIGURES = ("placed", "paid", "refunded", "cancelled", "expired")


def sales(
    connection: Connection,
    event_id: UUID,
    *,
    start: date | None = None,
    end: date | None = None,
    group_by: Sequence[str] = ("day",),
) -> Item | None:
    """An event's tickets and orders between two days (both count), by some of `DIMENSIONS`.

    A sale counts on the day of the payment and by the method paid with, a refund on the day of
    the refund. An order has no ticket type. `week` is the Monday that it starts with. None for
    an unknown event.
    """
    query = select(events.c.currency).where(events.c.event_id == event_id)
    currency = connection.execute(query).scalar()
    if currency is None:
        return None
    sold, ordered = _tickets_by(group_by), _orders_by(group_by)
    sold_rows = _figures(connection, _within(sold, tickets, event_id, start, end))
    order_rows = _figures(connection, _within(ordered, orders, event_id, start, end))
    order_totals = _total(order_rows, _ORDER_FIGURES)
    return {
        "event_id": event_id,
        "currency": currency,
        "tickets": [_net(row, currency) for row in sold_rows],
        "orders": order_rows,
        "totals": {
            "tickets": _net(_total(sold_rows, _TICKET_FIGURES), currency),
            "orders": order_totals | {"standing": order_totals["paid"] - order_totals["refunded"]},
        },
    }


def _tickets_by(group_by: Sequence[str]) -> Select[Any]:
    same_type = and_(
        ticket_types.c.event_id == tickets.c.event_id,
        ticket_types.c.ticket_type_id == tickets.c.ticket_type_id,
    )
    named = [ticket_types.c.name.label("ticket_type"), tickets.c.ticket_type_id]
    dimensions = [
        column
        for name in group_by
        for column in (named if name == "ticket_type" else [tickets.c[name]])
    ]
    query = _sums(tickets, dimensions, _TICKET_FIGURES)
    return query.select_from(tickets.outerjoin(ticket_types, same_type))


def _orders_by(group_by: Sequence[str]) -> Select[Any]:
    dimensions = [orders.c[name] for name in group_by if name != "ticket_type"]
    return _sums(orders, dimensions, _ORDER_FIGURES)


def _sums(
    table: Table, dimensions: Sequence[ColumnElement[Any]], figures: Sequence[str]
) -> Select[Any]:
    sums = [
        cast(func.coalesce(func.sum(table.c[name]), 0), BigInteger).label(name) for name in figures
    ]
    return select(*dimensions, *sums).group_by(*dimensions).order_by(*dimensions)


def _within(
    query: Select[Any], table: Table, event_id: UUID, start: date | None, end: date | None
) -> Select[Any]:
    query = query.where(table.c.event_id == event_id)
    if start is not None:
        query = query.where(table.c.day >= start)
    return query if end is None else query.where(table.c.day <= end)


def _figures(connection: Connection, query: Select[Any]) -> list[Item]:
    return [dict(row) for row in connection.execute(query).mappings()]


def _total(rows: Sequence[Item], figures: Sequence[str]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in figures}


def _net(row: Item, currency: str) -> Item:
    return row | {
        "net_units": row["units_sold"] - row["units_refunded"],
        "amount_sold": to_decimal(row["amount_sold"], currency),
        "amount_refunded": to_decimal(row["amount_refunded"], currency),
        "net_amount": to_decimal(row["amount_sold"] - row["amount_refunded"], currency),
    }
