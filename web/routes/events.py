"""Events: make one, change it, lead it through its life, and look it up."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Response
from sqlalchemy import Connection

from application import events
from application.presenting import show_event
from domain.errors import NotFound
from domain.event import Details
from domain.ids import uuid7
from projections import catalogue, event_summaries, sales_by_day
from projections.catalogue import CATALOGUE
from projections.event_summaries import EVENT_SUMMARIES
from projections.sales_by_day import SALES_BY_DAY
from web import pricing
from web.blueprint import Blueprint
from web.caller import caller
from web.commands import change, create
from web.permissions import narrow_to_own_drafts, sees_drafts
from web.reading import found, reads
from web.schemas.common import Nothing, PageQuery
from web.schemas.events import (
    CancelEvent,
    CatalogueEvent,
    EventChanges,
    EventPage,
    EventQuery,
    EventSummaryPage,
    LowCapacityPage,
    LowCapacityQuery,
    NewEvent,
    RecordedEvent,
)
from web.schemas.sales import Sales, SalesQuery

blueprint = Blueprint("events", "/api/v1/events", "Events and what they sell")

EXAMPLE = {
    "title": "Midsummer Night",
    "organizer": {"name": "Village Hall"},
    "venue": "The Green",
    "timezone": "Europe/London",
    "starts_at": "2030-06-21T18:00:00Z",
    "ends_at": "2030-06-21T23:00:00Z",
    "currency": "GBP",
    "capacity": 400,
    "ticket_types": [{"name": "Adult", "price": "12.50"}, {"name": "Child", "price": "0.00"}],
}


@blueprint.makes("")
@blueprint.takes(NewEvent, example=EXAMPLE)
@blueprint.creates(RecordedEvent)
def create_event(body: dict[str, Any]) -> Response:
    """Make an event, as a draft"""
    kinds = body.pop("ticket_types", ())
    body["organizer"].setdefault("id", caller().identity.organizer_id or uuid7())
    details = Details(**_renamed(body))
    offers = pricing.offers(kinds, details.currency)
    new_id = uuid7()
    return create(
        events.create_event,
        show_event,
        makes=new_id,
        event_id=new_id,
        details=details,
        ticket_types=offers,
    )


@blueprint.patch("/<uuid:event_id>")
@blueprint.takes(EventChanges, example={"capacity": 500})
@blueprint.records(RecordedEvent)
def change_event(body: dict[str, Any], event_id: UUID) -> Response:
    """Change what is given of an event"""
    return change(
        events.change_event, show_event, event_id, event_id=event_id, changes=_renamed(body)
    )


@blueprint.post("/<uuid:event_id>/publish")
@blueprint.takes(Nothing)
@blueprint.records(RecordedEvent)
def publish_event(body: dict[str, Any], event_id: UUID) -> Response:
    """Put an event on sale"""
    return change(events.publish_event, show_event, event_id, event_id=event_id)


@blueprint.post("/<uuid:event_id>/start")
@blueprint.takes(Nothing)
@blueprint.records(RecordedEvent)
def start_event(body: dict[str, Any], event_id: UUID) -> Response:
    """Say that an event has begun"""
    return change(events.start_event, show_event, event_id, event_id=event_id)


@blueprint.post("/<uuid:event_id>/complete")
@blueprint.takes(Nothing)
@blueprint.records(RecordedEvent)
def complete_event(body: dict[str, Any], event_id: UUID) -> Response:
    """Say that an event is over"""
    return change(events.complete_event, show_event, event_id, event_id=event_id)


@blueprint.post("/<uuid:event_id>/cancel")
@blueprint.takes(CancelEvent, example={"reason": "The bridge is flooded"})
@blueprint.records(RecordedEvent)
def cancel_event(body: dict[str, Any], event_id: UUID) -> Response:
    """Call an event off"""
    return change(events.cancel_event, show_event, event_id, event_id=event_id, **body)


@blueprint.get("")
@reads(CATALOGUE)
@blueprint.asks(EventQuery)
@blueprint.shows(EventPage)
def list_events(connection: Connection, query: dict[str, Any]) -> Any:
    """List events; those never published are listed for those who make them"""
    if query.get("status") == "draft":
        query = narrow_to_own_drafts(query)
    unpublished = sees_drafts(query.get("organizer_id"))
    return catalogue.list_events(connection, **query, unpublished=unpublished)


@blueprint.get("/<uuid:event_id>")
@reads(CATALOGUE, together=True)
@blueprint.shows_version(CatalogueEvent)
def get_event(connection: Connection, event_id: UUID) -> Any:
    """Look up an event with its ticket types"""
    event = found(catalogue.event(connection, event_id), "event", event_id)
    if not event.pop("published") and not sees_drafts(event["organizer_id"]):
        raise NotFound(f"There is no event {event_id}.")
    return event


@blueprint.get("/summary")
@reads(EVENT_SUMMARIES, CATALOGUE)
@blueprint.asks(PageQuery)
@blueprint.shows(EventSummaryPage)
def summarize_events(connection: Connection, query: dict[str, Any]) -> Any:
    """Show how the events on sale are doing"""
    return event_summaries.upcoming(connection, datetime.now(UTC), **query)


@blueprint.get("/low-capacity")
@reads(EVENT_SUMMARIES, CATALOGUE)
@blueprint.asks(LowCapacityQuery)
@blueprint.shows(LowCapacityPage)
def list_low_capacity(connection: Connection, query: dict[str, Any]) -> Any:
    """List events, published or ongoing, that are nearly full, the fullest first"""
    return event_summaries.low_capacity(connection, **query)


@blueprint.get("/<uuid:event_id>/sales")
@reads(SALES_BY_DAY, together=True)
@blueprint.asks(SalesQuery)
@blueprint.shows(Sales)
def get_sales(connection: Connection, query: dict[str, Any], event_id: UUID) -> Any:
    """Show an event's sales by day, week, ticket type, payment method or country"""
    return found(sales_by_day.sales(connection, event_id, **query), "event", event_id)


def _renamed(body: dict[str, Any]) -> dict[str, Any]:
    """The same with `organizer` as the event keeps it."""
    organizer = body.pop("organizer", {})
    return body | {f"organizer_{name}": value for name, value in organizer.items()}
