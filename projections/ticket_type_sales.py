"""Ticket type sales: which ticket types sell best, ever or between two days (UTC)."""

from collections.abc import Callable
from datetime import date
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Date,
    Index,
    Integer,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    func,
    select,
    true,
)

from domain.aggregate import Fact
from domain.event import Event
from projections.catalogue import events_of
from projections.engine.read_model import Handler, ReadModel
from projections.engine.rows import Rows
from projections.engine.tables import metadata
from projections.paging import Item

events = Table(
    "ticket_type_sales_events",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("title", Text, nullable=False),
)

ticket_types = Table(
    "ticket_type_sales",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("ticket_type_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("units_sold", Integer, nullable=False, default=0),
)
Index(
    "ix_ticket_type_sales_units_sold",
    ticket_types.c.units_sold.desc(),
    ticket_types.c.name,
    ticket_types.c.ticket_type_id,
)

days = Table(
    "ticket_type_sales_days",
    metadata,
    Column("day", Date, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("ticket_type_id", Uuid, primary_key=True),
    Column("units_sold", Integer, nullable=False, default=0),
)


def named(rows: Rows, event: Event.Drafted | Event.Changed) -> None:
    rows.of(events, event_id=event.originator_id).title = event.details.title


def ticket_type_named(rows: Rows, event: Event.TicketTypeAdded | Event.TicketTypeChanged) -> None:
    key = {"event_id": event.originator_id, "ticket_type_id": event.ticket_type_id}
    rows.of(ticket_types, **key).name = event.terms.name


def sold(rows: Rows, event: Event.TicketsSold) -> None:
    _count(rows, event, +1)


def returned(rows: Rows, event: Event.TicketsReturned) -> None:
    _count(rows, event, -1)


def _count(rows: Rows, event: Event.TicketsSold | Event.TicketsReturned, sign: int) -> None:
    for ticket_type_id, quantity in event.quantities.items():
        key = {"event_id": event.originator_id, "ticket_type_id": ticket_type_id}
        rows.get(ticket_types, **key).units_sold += sign * quantity
        rows.of(days, day=event.occurred_at.date(), **key).units_sold += sign * quantity


HANDLERS: dict[type[Fact], Handler] = {
    Event.Drafted: named,
    Event.Changed: named,
    Event.TicketTypeAdded: ticket_type_named,
    Event.TicketTypeChanged: ticket_type_named,
    Event.TicketsSold: sold,
    Event.TicketsReturned: returned,
}
TICKET_TYPE_SALES = ReadModel(
    "ticket_type_sales", tables=(events, ticket_types, days), handlers=HANDLERS
)

FIGURES: dict[str, Callable[[Any], Any]] = {"units_sold": attrgetter("units_sold")}
"""How each figure of a ticket type is read off its row."""


def top(
    connection: Connection,
    *,
    limit: int = 5,
    start_date: date | None = None,
    end_date: date | None = None,
    organizer_id: UUID | None = None,
) -> Item:
    """The ticket types that sold most units net of refunds, the best first, ties by name.

    Both days count; what is refunded counts against the day of the refund, so a type can be
    below zero between two days. Types without sales stand at zero.
    """
    if start_date is None and end_date is None:
        query = _ranked(ticket_types.c.units_sold, organizer_id)
    else:
        between = _sales_between(start_date, end_date).subquery()
        same_type = and_(
            between.c.event_id == ticket_types.c.event_id,
            between.c.ticket_type_id == ticket_types.c.ticket_type_id,
        )
        sold = _ranked(between.c.units_sold, organizer_id).where(between.c.units_sold > 0)
        best = _items(connection, sold.join(between, same_type), limit)
        if len(best) == limit:  # so that nothing else needs to be ranked
            return {"items": best, "next": None}
        units_sold = func.coalesce(between.c.units_sold, 0)
        query = _ranked(units_sold, organizer_id).outerjoin(between, same_type)
    return {"items": _items(connection, query, limit), "next": None}


def _items(connection: Connection, query: Select[Any], limit: int) -> list[Item]:
    return [dict(row) for row in connection.execute(query.limit(limit)).mappings()]


def _ranked(units_sold: ColumnElement[int], organizer_id: UUID | None) -> Select[Any]:
    c = ticket_types.c
    theirs = true() if organizer_id is None else c.event_id.in_(events_of(organizer_id))
    return (
        select(
            c.ticket_type_id.label("id"),
            c.name,
            units_sold.label("units_sold"),
            events.c.title.label("event_name"),
            c.event_id,
        )
        .select_from(ticket_types.join(events, events.c.event_id == c.event_id))
        .where(theirs)
        .order_by(units_sold.desc(), c.name, c.ticket_type_id)
    )


def _sales_between(start: date | None, end: date | None) -> Select[Any]:
    """Units sold by ticket type, from `start` to `end`, either of which may be open."""
    return (
        select(
            days.c.event_id,
            days.c.ticket_type_id,
            func.sum(days.c.units_sold).label("units_sold"),
        )
        .where(
            true() if start is None else days.c.day >= start,
            true() if end is None else days.c.day <= end,
        )
        .group_by(days.c.event_id, days.c.ticket_type_id)
    )
