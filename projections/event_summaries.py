"""Event summaries: how each event on sale is doing, and which are nearly full."""

from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    Select,
    Table,
    Text,
    Uuid,
    select,
)

from application.store.tables import UTCDateTime
from domain.aggregate import Fact
from domain.event import Event
from domain.money import to_decimal
from projections.catalogue import events_of
from projections.engine.read_model import Handler, ReadModel
from projections.engine.rows import Rows
from projections.engine.tables import metadata
from projections.paging import Item, page

event_summaries = Table(
    "event_summaries",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("title", Text, nullable=False),
    Column("organizer_name", Text, nullable=False),
    Column("ends_at", UTCDateTime, nullable=False),
    Column("currency", Text, nullable=False),
    Column("capacity", Integer),
    Column("on_sale", Boolean, nullable=False, default=False),
    Column("sold", Integer, nullable=False, default=0),
    Column("held", Integer, nullable=False, default=0),
    Column("revenue", BigInteger, nullable=False, default=0),
    Column("percent_remaining", Double),
    Index("ix_event_summaries_ends_at", "on_sale", "ends_at", "event_id"),
    Index("ix_event_summaries_percent_remaining", "on_sale", "percent_remaining", "event_id"),
)


def described(rows: Rows, event: Event.Drafted | Event.Changed) -> None:
    row = rows.of(event_summaries, event_id=event.originator_id)
    for name in ("title", "organizer_name", "ends_at", "currency", "capacity"):
        setattr(row, name, getattr(event.details, name))
    _measure(row)


def opened(rows: Rows, event: Event.Published) -> None:
    rows.get(event_summaries, event_id=event.originator_id).on_sale = True


def closed(rows: Rows, event: Event.Completed | Event.Cancelled) -> None:
    rows.get(event_summaries, event_id=event.originator_id).on_sale = False


def held(rows: Rows, event: Event.TicketsHeld) -> None:
    row = rows.get(event_summaries, event_id=event.originator_id)
    row.held += sum(event.quantities.values())
    _measure(row)


def released(rows: Rows, event: Event.HoldReleased) -> None:
    row = rows.get(event_summaries, event_id=event.originator_id)
    row.held -= sum(event.quantities.values())
    _measure(row)


def sold(rows: Rows, event: Event.TicketsSold) -> None:
    row = rows.get(event_summaries, event_id=event.originator_id)
    row.held -= sum(event.quantities.values())
    row.sold += sum(event.quantities.values())
    row.revenue += event.amount


def returned(rows: Rows, event: Event.TicketsReturned) -> None:
    row = rows.get(event_summaries, event_id=event.originator_id)
    row.sold -= sum(event.quantities.values())
    row.revenue -= event.amount
    _measure(row)


def _measure(row: Any) -> None:
    remaining = _remaining(row)
    row.percent_remaining = None if remaining is None else 100 * remaining / row.capacity


def _remaining(row: Any) -> int | None:
    return None if row.capacity is None else row.capacity - row.sold - row.held


def _percentage_remaining(row: Any) -> float | None:
    return None if row.percent_remaining is None else round(row.percent_remaining, 2)


HANDLERS: dict[type[Fact], Handler] = {
    Event.Drafted: described,
    Event.Changed: described,
    Event.Published: opened,
    Event.Completed: closed,
    Event.Cancelled: closed,
    Event.TicketsHeld: held,
    Event.HoldReleased: released,
    Event.TicketsSold: sold,
    Event.TicketsReturned: returned,
}
EVENT_SUMMARIES = ReadModel("event_summaries", tables=(event_summaries,), handlers=HANDLERS)

_SUMMED_UP: dict[str, Callable[[Any], Any]] = {
    "total_tickets_sold": attrgetter("sold"),
    "total_revenue": lambda row: to_decimal(row.revenue, row.currency),
    "tickets_remaining": _remaining,
    "tickets_held": attrgetter("held"),
}
FIGURES = _SUMMED_UP | {"percentage_tickets_remaining": _percentage_remaining}
"""How each figure of an event is read off its row."""


def upcoming(
    connection: Connection,
    now: datetime,
    *,
    organizer_id: UUID | None = None,
    limit: int = 20,
    after: str | None = None,
) -> Item:
    """Events published or ongoing that are not over, the first to end first.

    `tickets_remaining` leaves out what is held, and is null without a capacity.
    """
    c = event_summaries.c
    query = select(event_summaries).where(c.on_sale.is_(True), c.ends_at > now)
    query = _organized_by(query, organizer_id)
    order = (c.ends_at, c.event_id)
    return page(connection, query, order=order, limit=limit, after=after, shape=_summary)


def low_capacity(
    connection: Connection,
    threshold: float = 10,
    *,
    organizer_id: UUID | None = None,
    limit: int = 20,
    after: str | None = None,
) -> Item:
    """Events published or ongoing with at most `threshold` percent of their places left,
    those with the least first."""
    c = event_summaries.c
    query: Select[Any] = select(
        c.event_id.label("id"), c.title.label("name"), c.percent_remaining
    ).where(c.on_sale.is_(True), c.percent_remaining <= threshold)
    query = _organized_by(query, organizer_id)
    order = (c.percent_remaining, c.event_id)
    return page(connection, query, order=order, limit=limit, after=after, shape=_low)


def _organized_by(query: Select[Any], organizer_id: UUID | None) -> Select[Any]:
    if organizer_id is None:
        return query
    return query.where(event_summaries.c.event_id.in_(events_of(organizer_id)))


def _summary(item: Item) -> Item:
    row = SimpleNamespace(**item)
    return {
        "event_id": row.event_id,
        "event_name": row.title,
        "organizer_name": row.organizer_name,
        "currency": row.currency,
        **{name: figure(row) for name, figure in _SUMMED_UP.items()},
    }


def _low(item: Item) -> Item:
    row = SimpleNamespace(**item)
    return {
        "id": row.id,
        "name": row.name,
        "percentage_tickets_remaining": _percentage_remaining(row),
    }
