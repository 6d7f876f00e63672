"""Tickets: hand one over, block it, look it up; and who comes to an event."""

from typing import Any
from uuid import UUID

from flask import Response
from sqlalchemy import Connection

from application import gate
from application.presenting import show_ticket
from projections import catalogue, tickets
from projections.catalogue import CATALOGUE
from projections.tickets import TICKETS
from web.blueprint import Blueprint
from web.commands import change
from web.permissions import require_holder, sees_secrets
from web.reading import found, reads, reads_version
from web.schemas.common import Nothing
from web.schemas.tickets import (
    AttendeePage,
    AttendeeQuery,
    Block,
    FullTicket,
    RecordedTicket,
    Transfer,
)

blueprint = Blueprint("tickets", "/api/v1", "Tickets and who holds them")

EXAMPLE = {"to_customer_id": "0197f3a0-0000-7000-8000-000000000002", "reason": "A gift"}


@blueprint.post("/tickets/<uuid:ticket_id>/transfer")
@blueprint.takes(Transfer, example=EXAMPLE)
@blueprint.records(RecordedTicket)
def transfer_ticket(body: dict[str, Any], ticket_id: UUID) -> Response:
    """Hand a ticket over; its old secret is worthless from then on"""
    return change(gate.transfer_ticket, show_ticket, ticket_id, ticket_id=ticket_id, **body)


@blueprint.post("/tickets/<uuid:ticket_id>/block")
@blueprint.takes(Block, example={"reason": "Reported stolen"})
@blueprint.records(RecordedTicket)
def block_ticket(body: dict[str, Any], ticket_id: UUID) -> Response:
    """Keep a ticket from being admitted or handed over"""
    return change(gate.block_ticket, show_ticket, ticket_id, ticket_id=ticket_id, **body)


@blueprint.post("/tickets/<uuid:ticket_id>/unblock")
@blueprint.takes(Nothing)
@blueprint.records(RecordedTicket)
def unblock_ticket(body: dict[str, Any], ticket_id: UUID) -> Response:
    """Take a block off again"""
    return change(gate.unblock_ticket, show_ticket, ticket_id, ticket_id=ticket_id)


@blueprint.get("/tickets/<uuid:ticket_id>")
@reads_version(TICKETS)
@blueprint.shows_version(FullTicket)
def get_ticket(connection: Connection, ticket_id: UUID) -> Any:
    """Look up a ticket, its holder with the present secret"""
    shown = found(tickets.ticket(connection, ticket_id), "ticket", ticket_id)
    require_holder(shown["holder_id"])
    return shown if sees_secrets() else shown | dict.fromkeys(["secret"])


@blueprint.get("/events/<uuid:event_id>/attendees")
@reads(TICKETS, CATALOGUE)
@blueprint.asks(AttendeeQuery)
@blueprint.shows(AttendeePage)
def list_attendees(connection: Connection, query: dict[str, Any], event_id: UUID) -> Any:
    """List an event's tickets with who holds them"""
    found(catalogue.exists(connection, event_id) or None, "event", event_id)
    return tickets.attendees(connection, event_id, **query)
