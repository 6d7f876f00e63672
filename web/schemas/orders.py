"""Orders: hold, pay, cancel, refund."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from domain.limits import MOST_PER_ORDER, SHORT
from web.schemas.common import Recorded, page_of, version
from web.schemas.fields import Id, Strict, Text, after, amount, count, limit, search, token

ORDER_STATUSES = ("placed", "paid", "partly_refunded", "refunded", "cancelled", "expired")
MOST_LINES = 100


class NewLine(Strict):
    ticket_type_id = Id(required=True)
    quantity = count(1, MOST_PER_ORDER, required=True)


def _require_few(lines: list[dict[str, Any]]) -> None:
    if sum(line["quantity"] for line in lines) > MOST_PER_ORDER:
        raise ValidationError(f"More than {MOST_PER_ORDER} tickets in one order.")


class NewOrder(Strict):
    """Tickets to hold until they are paid."""

    event_id = Id(required=True)
    customer_id = Id(required=True)
    lines = fields.List(
        fields.Nested(NewLine),
        required=True,
        validate=(validate.Length(1, MOST_LINES), _require_few),
    )
    payment_method = token(required=True, metadata={"examples": ["card"]})


class Payment(Strict):
    method = token(required=True, metadata={"examples": ["card"]})
    reference = Text(200, metadata={"description": "Under which the payment is known elsewhere."})
    amount = amount()


class CancelOrder(Strict):
    reason = Text(500)


class Refund(Strict):
    """Without `ticket_ids`, all tickets not refunded yet."""

    ticket_ids = fields.List(Id(), validate=validate.Length(1, MOST_PER_ORDER))
    reason = Text(500)


class Line(Schema):
    ticket_type_id = fields.UUID(required=True)
    quantity = fields.Integer(required=True)
    unit_price = fields.String(required=True)
    ticket_ids = fields.List(fields.UUID(), required=True)


class OrderFacts(Schema):
    id = fields.UUID(required=True)
    event_id = fields.UUID(required=True)
    customer_id = fields.UUID(required=True)
    country = fields.String(required=True)
    payment_method = fields.String(required=True)
    currency = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(ORDER_STATUSES))
    total = fields.String(required=True)
    expires_at = fields.DateTime(required=True)


class RecordedOrder(Recorded, OrderFacts):
    """The order after the command; its tickets are valid once it is paid."""

    lines = fields.List(fields.Nested(Line), required=True)
    payment_attempts = fields.Integer(required=True)
    refunded_tickets = fields.List(fields.UUID(), required=True)


class ListedOrder(OrderFacts):
    event_name = fields.String(required=True, allow_none=True)
    customer_name = fields.String(required=True, allow_none=True)
    customer_email = fields.String(required=True, allow_none=True)
    paid = fields.String(required=True)
    refunded = fields.String(required=True)
    ticket_count = fields.Integer(required=True)
    placed_at = fields.DateTime(required=True)
    paid_at = fields.DateTime(required=True, allow_none=True)
    ended_at = fields.DateTime(
        required=True, allow_none=True, metadata={"description": "When it lapsed or was cancelled."}
    )


OrderPage = page_of(ListedOrder)


class SoldLine(Line):
    ticket_type = fields.String(required=True, allow_none=True)
    refunded_quantity = fields.Integer(required=True)


class PaymentAttempt(Schema):
    id = fields.Integer(required=True, metadata={"description": "Its position in the log."})
    at = fields.DateTime(required=True)
    method = fields.String(required=True)
    reference = fields.String(required=True)
    amount = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "What was paid, or offered and refused: money to give back. Null for a"
            " refusal that an early version recorded."
        },
    )
    refusal = fields.String(
        required=True, allow_none=True, metadata={"description": "Why not; null when it was taken."}
    )


class RefundMade(Schema):
    id = fields.Integer(required=True, metadata={"description": "Its position in the log."})
    at = fields.DateTime(required=True)
    amount = fields.String(required=True)
    reason = fields.String(required=True)
    ticket_ids = fields.List(fields.UUID(), required=True)


class OrderInDetail(ListedOrder):
    """An order with its lines, payments and refunds."""

    ticket_ids = fields.List(fields.UUID(), required=True)
    lines = fields.List(fields.Nested(SoldLine), required=True)
    payments = fields.List(fields.Nested(PaymentAttempt), required=True)
    refunds = fields.List(fields.Nested(RefundMade), required=True)


class FullOrder(OrderInDetail):
    """All about one order."""

    version = version()


class OrderQuery(Strict):
    event_id = Id()
    customer_id = Id()
    status = fields.String(validate=validate.OneOf(ORDER_STATUSES))
    payment_method = Text(SHORT)
    q = search("An order's id, a payment's reference, or a customer's words.")
    order = fields.String(
        validate=validate.OneOf(("-placed_at", "placed_at")), load_default="-placed_at"
    )
    limit = limit()
    after = after()
