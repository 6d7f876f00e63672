"""Ticket types: what an event sells, and which sell best."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response
from sqlalchemy import Connection

from application.presenting import show_ticket_type
from domain.event import Event
from domain.ids import uuid7
from projections import ticket_type_sales
from projections.catalogue import CATALOGUE
from projections.ticket_type_sales import TICKET_TYPE_SALES
from web import pricing
from web.blueprint import Blueprint
from web.commands import change, record
from web.reading import reads
from web.schemas.events import NewTicketType, RecordedTicketType, TicketTypeChanges
from web.schemas.sales import TopQuery, TopTicketTypePage

blueprint = Blueprint("ticket types", "/api/v1", "What an event sells")


@blueprint.post("/events/<uuid:event_id>/ticket-types")
@blueprint.takes(NewTicketType, example={"name": "Adult", "price": "12.50", "quantity": 300})
@blueprint.records(RecordedTicketType, 201)
def add_ticket_type(body: dict[str, Any], event_id: UUID) -> Response:
    """Add a ticket type to an event"""
    type_id = uuid7()
    return record(
        pricing.add_ticket_type,
        _shows(type_id),
        event_id,
        event_id=event_id,
        ticket_type_id=type_id,
        terms=body,
    )


@blueprint.patch("/events/<uuid:event_id>/ticket-types/<uuid:ticket_type_id>")
@blueprint.takes(TicketTypeChanges, example={"price": "15.00"})
@blueprint.records(RecordedTicketType)
def change_ticket_type(body: dict[str, Any], event_id: UUID, ticket_type_id: UUID) -> Response:
    """Change what is given of a ticket type"""
    return change(
        pricing.change_ticket_type,
        _shows(ticket_type_id),
        event_id,
        event_id=event_id,
        ticket_type_id=ticket_type_id,
        changes=body,
    )


@blueprint.get("/ticket-types/top")
@reads(TICKET_TYPE_SALES, CATALOGUE)
@blueprint.asks(TopQuery)
@blueprint.shows(TopTicketTypePage)
def list_top_ticket_types(connection: Connection, query: dict[str, Any]) -> Any:
    """List the ticket types that sell best"""
    return ticket_type_sales.top(connection, **query)


def _shows(ticket_type_id: UUID) -> Callable[[Event], dict[str, Any]]:
    """Shows that ticket type of an event, with the event's version."""

    def show(event: Event) -> dict[str, Any]:
        ticket_type = event.ticket_type(ticket_type_id)
        return {
            **show_ticket_type(ticket_type_id, ticket_type, event.details.currency),
            "event_id": event.id,
            "version": event.version,
        }

    return show
