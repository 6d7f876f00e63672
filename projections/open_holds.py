"""Open holds: unpaid orders by the time they lapse, for the reactor."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Index, Table, Uuid, select

from application.store.tables import UTCDateTime
from domain.aggregate import Fact
from domain.order import Order
from projections.engine.read_model import Handler, ReadModel
from projections.engine.rows import Rows
from projections.engine.tables import metadata
from projections.paging import page

open_holds = Table(
    "open_holds",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Index("ix_open_holds_expires_at", "expires_at", "order_id"),
)


def placed(rows: Rows, event: Order.Placed) -> None:
    if "source" in event.about:  # imported history causes no reactions
        return
    rows.add(
        open_holds,
        order_id=event.originator_id,
        event_id=event.sale.event_id,
        expires_at=event.expires_at,
    )


def ended(rows: Rows, event: Order.Paid | Order.Cancelled | Order.Expired) -> None:
    rows.remove(open_holds, order_id=event.originator_id)


HANDLERS: dict[type[Fact], Handler] = {
    Order.Placed: placed,
    Order.Paid: ended,
    Order.Cancelled: ended,
    Order.Expired: ended,
}
OPEN_HOLDS = ReadModel("open_holds", tables=(open_holds,), handlers=HANDLERS)


def lapsed(
    connection: Connection, now: datetime, limit: int = 100, after: str | None = None
) -> dict[str, Any]:
    """A page of the orders whose hold has run out by `now`, the oldest first."""
    query = select(open_holds.c.order_id).where(open_holds.c.expires_at <= now)
    order = (open_holds.c.expires_at, open_holds.c.order_id)
    return page(connection, query, order=order, limit=limit, after=after)
