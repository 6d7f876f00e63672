"""Tickets, their holders, and attempts at a gate."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from web.schemas.common import Recorded, page_of, version
from web.schemas.fields import Flag, Id, Instant, Metadata, Strict, Text, after, limit, search

TICKET_STATUSES = ("issued", "voided")
REASONS = (
    "invalid",
    "unpaid",
    "canceled",
    "already_redeemed",
    "revoked",
    "invalid_time",
    "product",
    "blocked",
)


class Transfer(Strict):
    to_customer_id = Id(required=True)
    reason = Text(500)


class Block(Strict):
    reason = Text(500)


class NewCheckIn(Strict):
    """An attempt at a gate, with a secret or with the id of a ticket that staff looked up."""

    secret = Text(200, shortest=1)
    ticket_id = Id()
    event_id = Id(required=True)
    type = fields.String(validate=validate.OneOf(("entry", "exit")), load_default="entry")
    scanner_id = Text(100, load_default="")
    location = Text(200, load_default="")
    device_info = Text(500, load_default="")
    nonce = Text(
        128,
        shortest=1,
        metadata={
            "description": "The same attempt (event, type, scanner_id, and what was shown) with the"
            " same nonce returns the first answer."
        },
    )
    at = Instant(
        load_default=None,
        metadata={
            "description": "When it happened, from a scanner that was offline. A time before what"
            " is shown was there tells nothing: it happens now."
        },
    )
    force = Flag(
        load_default=False,
        metadata={"description": "Pass in spite of already_redeemed, blocked or invalid_time."},
    )
    additional_metadata = Metadata(load_default=dict)

    @validates_schema
    def _one_of_two(self, data: dict[str, Any], **_: Any) -> None:
        if ("secret" in data) == ("ticket_id" in data):
            raise ValidationError("Send either secret or ticket_id.", "secret")


class RecordedCheckIn(Recorded):
    """What the gate must know; `id` and `version` are of the ticket, or of the evidence kept."""

    status = fields.String(required=True, validate=validate.OneOf(("ok", "error")))
    reason = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(REASONS),
        metadata={"description": "Null when they may pass."},
    )
    type = fields.String(required=True, validate=validate.OneOf(("entry", "exit")))
    event_id = fields.UUID(required=True)
    ticket_id = fields.UUID(required=True, allow_none=True)
    ticket_type = fields.String(required=True, allow_none=True)
    at = fields.DateTime(required=True)


class TicketState(Schema):
    status = fields.String(required=True, validate=validate.OneOf(TICKET_STATUSES))
    blocked = fields.Boolean(required=True)
    inside = fields.Boolean(required=True)
    admissions = fields.Integer(required=True)
    ticket_type_id = fields.UUID(required=True)
    order_id = fields.UUID(required=True)
    holder_id = fields.UUID(required=True)


class RecordedTicket(Recorded, TicketState):
    """The ticket after the command, without its secret."""

    event_id = fields.UUID(required=True)
    transfers = fields.Integer(required=True)


class TicketMoments(TicketState):
    ticket_type = fields.String(required=True, allow_none=True)
    first_admitted_at = fields.DateTime(required=True, allow_none=True)
    issued_at = fields.DateTime(required=True)


class FullTicket(TicketMoments):
    """A ticket; its present secret is for its holder, and for services that hand it to them."""

    id = fields.UUID(required=True)
    event_id = fields.UUID(required=True)
    event_name = fields.String(required=True, allow_none=True)
    holder_name = fields.String(required=True, allow_none=True)
    transfers = fields.Integer(required=True)
    voided_at = fields.DateTime(required=True, allow_none=True)
    secret = fields.String(required=True, allow_none=True)
    version = version()


class Attendee(TicketMoments):
    ticket_id = fields.UUID(required=True)
    name = fields.String(required=True, allow_none=True)
    email = fields.String(required=True, allow_none=True)


AttendeePage = page_of(Attendee)


class AttendeeQuery(Strict):
    q = search("Beginnings of words in the holder's name and e-mail.")
    status = fields.String(validate=validate.OneOf(TICKET_STATUSES))
    limit = limit()
    after = after()
