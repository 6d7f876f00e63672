"""Customer statistics: how many orders, how much money, and the event bought most."""

from uuid import UUID

from sqlalchemy import BigInteger, Column, Connection, Integer, Table, Text, Uuid, select

from domain.aggregate import Fact
from domain.customer import Customer
from domain.event import Event
from domain.money import to_decimal
from domain.order import Order
from projections.engine.read_model import Handler, ReadModel
from projections.engine.rows import Rows
from projections.engine.tables import metadata
from projections.paging import Item

customers = Table(
    "customer_statistics",
    metadata,
    Column("customer_id", Uuid, primary_key=True),
    Column("orders_placed", Integer, nullable=False, default=0),
)

spending = Table(
    "customer_spending",
    metadata,
    Column("customer_id", Uuid, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False, default=0),
)

purchases = Table(
    "customer_purchases",
    metadata,
    Column("customer_id", Uuid, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("bought", Integer, nullable=False, default=0),
    Column("ordered", Integer, nullable=False, default=0),
)

events = Table(
    "customer_statistics_events",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("title", Text, nullable=False),
)


def named(rows: Rows, event: Event.Drafted | Event.Changed) -> None:
    rows.of(events, event_id=event.originator_id).title = event.details.title


def registered(rows: Rows, event: Customer.Registered) -> None:
    rows.add(customers, customer_id=event.originator_id)


def placed(rows: Rows, event: Order.Placed) -> None:
    sale = event.sale
    rows.get(customers, customer_id=sale.customer_id).orders_placed += 1
    rows.of(spending, customer_id=sale.customer_id, currency=sale.currency)
    row = rows.of(purchases, customer_id=sale.customer_id, event_id=sale.event_id)
    row.ordered += sum(len(line.ticket_ids) for line in event.lines)


def paid(rows: Rows, event: Order.Paid) -> None:
    _spend(rows, event, +1)


def refunded(rows: Rows, event: Order.Refunded) -> None:
    _spend(rows, event, -1)


def _spend(rows: Rows, event: Order.Paid | Order.Refunded, sign: int) -> None:
    sale = event.sale
    spent = rows.get(spending, customer_id=sale.customer_id, currency=sale.currency)
    spent.amount += sign * sum(event.amounts.values())
    purchase = rows.get(purchases, customer_id=sale.customer_id, event_id=sale.event_id)
    purchase.bought += sign * sum(event.quantities.values())


HANDLERS: dict[type[Fact], Handler] = {
    Event.Drafted: named,
    Event.Changed: named,
    Customer.Registered: registered,
    Order.Placed: placed,
    Order.Paid: paid,
    Order.Refunded: refunded,
}
CUSTOMER_STATISTICS = ReadModel(
    "customer_statistics", tables=(customers, spending, purchases, events), handlers=HANDLERS
)


def statistics(connection: Connection, customer_id: UUID) -> Item | None:
    """A customer's orders, spending and favourite event; None for an unknown customer.

    Spending is what was paid less what was refunded, in the currency most was spent in. The event
    most purchased has the most tickets paid for and not refunded; among equals, and for someone
    who paid for none, the most tickets ordered.
    """
    query = select(customers.c.orders_placed).where(customers.c.customer_id == customer_id)
    orders_placed = connection.execute(query).scalar()
    if orders_placed is None:
        return None
    amounts = _amounts(connection, customer_id)
    most = _most_purchased(connection, customer_id)
    return {
        "customer_id": customer_id,
        "total_orders_placed": orders_placed,
        "total_amount_spent": amounts[0]["amount"] if amounts else "0.00",
        "currency": amounts[0]["currency"] if amounts else None,
        "amounts_by_currency": amounts,
        "most_purchased_event_id": most[0],
        "most_purchased_event_name": most[1],
    }


def _amounts(connection: Connection, customer_id: UUID) -> list[Item]:
    """What was spent in each currency, the largest number of minor units first."""
    query = (
        select(spending.c.currency, spending.c.amount)
        .where(spending.c.customer_id == customer_id)
        .order_by(spending.c.amount.desc(), spending.c.currency)
    )
    return [
        {"currency": row.currency, "amount": to_decimal(row.amount, row.currency)}
        for row in connection.execute(query)
    ]


def _most_purchased(
    connection: Connection, customer_id: UUID
) -> tuple[UUID, str] | tuple[None, None]:
    query = (
        select(purchases.c.event_id, events.c.title)
        .join_from(purchases, events, purchases.c.event_id == events.c.event_id)
        .where(purchases.c.customer_id == customer_id)
        .order_by(purchases.c.bought.desc(), purchases.c.ordered.desc(), events.c.title)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return (None, None) if row is None else (row.event_id, row.title)
