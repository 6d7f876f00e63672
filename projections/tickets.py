"""Tickets: each as it is now, and the attendees of an event."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
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
from domain.ticket import Ticket, after_passage
from projections.copied_names import CopiedNames
from projections.engine.read_model import Handler, ReadModel
from projections.engine.rows import Rows
from projections.engine.tables import metadata
from projections.paging import page
from projections.words import found_by

tickets = Table(
    "tickets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("ticket_type_id", Uuid, nullable=False),
    Column("order_id", Uuid, nullable=False),
    Column("holder_id", Uuid, nullable=False),
    Column("secret", Text, nullable=False),
    Column("status", Text, nullable=False, default="issued"),
    Column("blocked", Boolean, nullable=False, default=False),
    Column("inside", Boolean, nullable=False, default=False),
    Column("admissions", Integer, nullable=False, default=0),
    Column("transfers", Integer, nullable=False, default=0),
    Column("issued_at", UTCDateTime, nullable=False),
    Column("first_admitted_at", UTCDateTime),
    Column("voided_at", UTCDateTime),
    Column("passed_at", UTCDateTime),
    Index("ix_tickets_event_id", "event_id", "issued_at", "id"),
    Index("ix_tickets_status", "event_id", "status", "issued_at", "id"),
    Index("ix_tickets_holder_id", "event_id", "holder_id"),
)

names = CopiedNames(
    customers="ticket_holders",
    words="ticket_holder_words",
    events="ticket_events",
    ticket_types="ticket_type_names",
)


def issued(rows: Rows, event: Ticket.Issued) -> None:
    rows.add(
        tickets,
        id=event.originator_id,
        event_id=event.event_id,
        ticket_type_id=event.ticket_type_id,
        order_id=event.order_id,
        holder_id=event.holder_id,
        secret=event.secret,
        issued_at=event.occurred_at,
    )


def transferred(rows: Rows, event: Ticket.Transferred) -> None:
    ticket = rows.get(tickets, id=event.originator_id)
    ticket.holder_id = event.to_customer_id
    ticket.secret = event.secret
    ticket.transfers += 1


def admitted(rows: Rows, event: Ticket.Admitted) -> None:
    ticket = rows.get(tickets, id=event.originator_id)
    ticket.admissions += 1
    ticket.first_admitted_at = min(ticket.first_admitted_at or event.occurred_at, event.occurred_at)
    passed(ticket, True, event.occurred_at)


def let_out(rows: Rows, event: Ticket.LetOut) -> None:
    passed(rows.get(tickets, id=event.originator_id), False, event.occurred_at)


def passed(ticket: Any, went_in: bool, at: datetime) -> None:
    ticket.inside, ticket.passed_at = after_passage(ticket.inside, ticket.passed_at, went_in, at)


def blocked(rows: Rows, event: Ticket.Blocked) -> None:
    rows.get(tickets, id=event.originator_id).blocked = True


def unblocked(rows: Rows, event: Ticket.Unblocked) -> None:
    rows.get(tickets, id=event.originator_id).blocked = False


def voided(rows: Rows, event: Ticket.Voided) -> None:
    ticket = rows.get(tickets, id=event.originator_id)
    ticket.status = "voided"
    ticket.voided_at = event.occurred_at


HANDLERS: dict[type[Fact], Handler] = {
    **names.handlers,
    Ticket.Issued: issued,
    Ticket.Transferred: transferred,
    Ticket.Admitted: admitted,
    Ticket.LetOut: let_out,
    Ticket.Blocked: blocked,
    Ticket.Unblocked: unblocked,
    Ticket.Voided: voided,
}
TICKETS = ReadModel(
    "tickets",
    tables=(tickets, *names.tables),
    handlers=HANDLERS,
)


def ticket(connection: Connection, ticket_id: UUID) -> dict[str, Any] | None:
    """One ticket with its present secret, which is not for everybody; None if not issued.

    `status` is "issued" or "voided"; a ticket may be blocked besides.
    """
    query = _with_names(
        tickets.c.id,
        tickets.c.event_id,
        names.events.c.title.label("event_name"),
        tickets.c.ticket_type_id,
        names.ticket_types.c.name.label("ticket_type"),
        tickets.c.order_id,
        tickets.c.holder_id,
        names.customers.c.name.label("holder_name"),
        *_STATE,
        tickets.c.transfers,
        tickets.c.voided_at,
        tickets.c.secret,
    ).outerjoin(names.events, names.events.c.event_id == tickets.c.event_id)
    row = connection.execute(query.where(tickets.c.id == ticket_id)).one_or_none()
    return None if row is None else dict(row._mapping)


def attendees(
    connection: Connection,
    event_id: UUID,
    *,
    q: str | None = None,
    status: str | None = None,
    limit: int = 20,
    after: str | None = None,
) -> dict[str, Any]:
    """A page of the event's tickets and who holds them, in the order in which they were issued.

    Voided tickets are among them unless `status` is "issued". `q` finds holders by the
    beginnings of words in their name and e-mail address.
    """
    query = _with_names(
        tickets.c.id.label("ticket_id"),
        tickets.c.ticket_type_id,
        names.ticket_types.c.name.label("ticket_type"),
        tickets.c.holder_id,
        names.customers.c.name,
        names.customers.c.email,
        tickets.c.order_id,
        *_STATE,
    ).where(tickets.c.event_id == event_id)
    if status:
        query = query.where(tickets.c.status == status)
    if q:
        query = query.where(found_by(connection, tickets.c.holder_id, names.words, q))
    order = (tickets.c.issued_at, tickets.c.id)
    return page(connection, query, order=order, limit=limit, after=after)


_STATE = (
    tickets.c.status,
    tickets.c.blocked,
    tickets.c.inside,
    tickets.c.admissions,
    tickets.c.first_admitted_at,
    tickets.c.issued_at,
)


def _with_names(*columns: Any) -> Select[Any]:
    return (
        select(*columns)
        .select_from(tickets)
        .outerjoin(names.customers, names.customers.c.customer_id == tickets.c.holder_id)
        .outerjoin(
            names.ticket_types, names.ticket_types.c.ticket_type_id == tickets.c.ticket_type_id
        )
    )
