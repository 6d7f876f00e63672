"""Events and their ticket types."""

from typing import Any

from marshmallow import Schema, fields, validate

from domain.limits import LONG, MOST_PER_ORDER, SHORT
from projections.catalogue import ORDERS
from web.schemas.common import PageQuery, Recorded, page_of
from web.schemas.fields import (
    Clearable,
    Flag,
    FullMatch,
    Id,
    Instant,
    Strict,
    Text,
    after,
    amount,
    count,
    currency,
    limit,
    search,
)

EVENT_STATUSES = ("draft", "published", "ongoing", "completed", "cancelled")
MOST_TICKET_TYPES = 100


def timezone(**kwargs: Any) -> fields.String:
    """The name of a time zone; the domain knows which exist."""
    return fields.String(
        validate=FullMatch(r"^[A-Za-z0-9_+/-]{1,64}$", error="Not an IANA time zone."),
        metadata={"examples": ["Europe/London"]},
        **kwargs,
    )


class Organizer(Strict):
    id = Id(metadata={"description": "Made unless given; as it was, in a change."})
    name = Text(SHORT, shortest=1, required=True)


class TicketTypeChanges(Strict):
    """Only what is to change; null clears what may be empty."""

    name = Text(SHORT, shortest=1)
    price = amount()
    quantity = count(0, allow_none=True, metadata={"description": "Null for no limit."})
    sale_starts_at = Instant(allow_none=True)
    sale_ends_at = Instant(allow_none=True)
    min_per_order = count(1, MOST_PER_ORDER)
    max_per_order = count(1, MOST_PER_ORDER, allow_none=True)
    reentry = Flag(
        metadata={
            "description": "Whether someone let out may come in again. It counts for tickets that"
            " are issued afterwards."
        }
    )


class NewTicketType(TicketTypeChanges):
    """What one ticket type offers."""

    name = Text(SHORT, shortest=1, required=True)
    price = amount(required=True)


class EventChanges(Strict):
    """Only what is to change; null clears what may be empty."""

    title = Text(SHORT, shortest=1)
    description = Clearable(LONG)
    category = Clearable(100)
    organizer = fields.Nested(Organizer)
    venue = Clearable(SHORT)
    online = Flag()
    timezone = timezone()
    starts_at = Instant()
    ends_at = Instant()
    registration_deadline = Instant(allow_none=True)
    doors_open_at = Instant(allow_none=True)
    currency = currency()
    capacity = count(1, allow_none=True, metadata={"description": "Null for no limit."})


class NewEvent(EventChanges):
    """What an event is, and what it sells."""

    title = Text(SHORT, shortest=1, required=True)
    organizer = fields.Nested(Organizer, required=True)
    starts_at = Instant(required=True)
    ends_at = Instant(required=True)
    currency = currency(required=True)
    ticket_types = fields.List(
        fields.Nested(NewTicketType), validate=validate.Length(max=MOST_TICKET_TYPES)
    )


class CancelEvent(Strict):
    reason = Text(500)


class TicketTypeTerms(Schema):
    id = fields.UUID(required=True)
    name = fields.String(required=True)
    price = amount(required=True)
    quantity = fields.Integer(required=True, allow_none=True)
    sale_starts_at = fields.DateTime(required=True, allow_none=True)
    sale_ends_at = fields.DateTime(required=True, allow_none=True)
    min_per_order = fields.Integer(required=True)
    max_per_order = fields.Integer(required=True, allow_none=True)
    reentry = fields.Boolean(required=True)


class TicketTypeCounts(TicketTypeTerms):
    """A ticket type with what is held and sold of it."""

    held = fields.Integer(required=True)
    sold = fields.Integer(required=True)


class OfferedTicketType(TicketTypeTerms):
    """A ticket type in the catalogue."""

    available = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Null when nothing limits it."}
    )


class EventDetails(Schema):
    title = fields.String(required=True)
    description = fields.String(required=True)
    category = fields.String(required=True)
    organizer_id = fields.UUID(required=True)
    organizer_name = fields.String(required=True)
    venue = fields.String(required=True)
    online = fields.Boolean(required=True)
    timezone = fields.String(required=True)
    starts_at = fields.DateTime(required=True)
    ends_at = fields.DateTime(required=True)
    registration_deadline = fields.DateTime(required=True, allow_none=True)
    doors_open_at = fields.DateTime(required=True, allow_none=True)
    currency = fields.String(required=True)
    capacity = fields.Integer(required=True, allow_none=True)
    status = fields.String(required=True, validate=validate.OneOf(EVENT_STATUSES))


class RecordedEvent(Recorded, EventDetails):
    """The event after the command."""

    ticket_types = fields.List(fields.Nested(TicketTypeCounts), required=True)


class RecordedTicketType(Recorded, TicketTypeCounts):
    """The ticket type after the command; `version` is its event's."""

    event_id = fields.UUID(required=True)


class ListedEvent(EventDetails):
    """An event in the catalogue."""

    id = fields.UUID(required=True)
    version = fields.Integer(required=True)


class CatalogueEvent(ListedEvent):
    """All about one event."""

    ticket_types = fields.List(fields.Nested(OfferedTicketType), required=True)


EventPage = page_of(ListedEvent)


class EventQuery(Strict):
    q = search("Words in title, organizer, venue or category.")
    category = Text(SHORT)
    status = fields.String(
        validate=validate.OneOf(EVENT_STATUSES),
        metadata={"description": "Without it: published, ongoing and completed ones."},
    )
    organizer_id = Id()
    order = fields.String(validate=validate.OneOf(ORDERS), load_default=ORDERS[0])
    limit = limit()
    after = after()


class LowCapacityQuery(PageQuery):
    threshold = fields.Float(
        load_default=10.0,
        validate=validate.Range(0, 100),
        metadata={"description": "Percent of the places that are left, at most."},
    )


class EventSummary(Schema):
    event_id = fields.UUID(required=True)
    event_name = fields.String(required=True)
    organizer_name = fields.String(required=True)
    total_tickets_sold = fields.Integer(required=True)
    total_revenue = fields.String(required=True)
    currency = fields.String(required=True)
    tickets_remaining = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Null without a capacity."}
    )
    tickets_held = fields.Integer(required=True)


EventSummaryPage = page_of(EventSummary)


class LowCapacity(Schema):
    id = fields.UUID(required=True)
    name = fields.String(required=True)
    percentage_tickets_remaining = fields.Float(required=True)


LowCapacityPage = page_of(LowCapacity)
