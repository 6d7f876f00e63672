"""Sales figures: by ticket type, and by day."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from projections.sales_by_day import DIMENSIONS
from web.schemas.common import page_of
from web.schemas.fields import Day, Strict, Words, limit


class TopQuery(Strict):
    limit = limit(5)
    start_date = Day(load_default=None)
    end_date = Day(load_default=None)

    @validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        _require_order(data["start_date"], data["end_date"], "end_date")


class TopTicketType(Schema):
    id = fields.UUID(required=True)
    name = fields.String(required=True)
    units_sold = fields.Integer(required=True, metadata={"description": "Net of refunds."})
    event_name = fields.String(required=True)
    event_id = fields.UUID(required=True)


TopTicketTypePage = page_of(TopTicketType)


class SalesQuery(Strict):
    start = Day(load_default=None)
    end = Day(load_default=None)
    group_by = Words(DIMENSIONS, "day")

    @validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        _require_order(data["start"], data["end"], "end")


class TicketFigures(Schema):
    units_sold = fields.Integer(required=True)
    units_refunded = fields.Integer(required=True)
    net_units = fields.Integer(required=True)
    amount_sold = fields.String(required=True)
    amount_refunded = fields.String(required=True)
    net_amount = fields.String(required=True)


class OrderFigures(Schema):
    placed = fields.Integer(required=True)
    paid = fields.Integer(required=True)
    refunded = fields.Integer(required=True, metadata={"description": "Wholly."})
    cancelled = fields.Integer(required=True)
    expired = fields.Integer(required=True)


class OrderTotals(OrderFigures):
    standing = fields.Integer(
        required=True, metadata={"description": "Paid and not wholly refunded."}
    )


class TicketFiguresBy(TicketFigures):
    day = fields.Date()
    week = fields.Date(metadata={"description": "The Monday that it starts with."})
    ticket_type = fields.String()
    ticket_type_id = fields.UUID()
    payment_method = fields.String()
    country = fields.String()


class OrderFiguresBy(OrderFigures):
    day = fields.Date()
    week = fields.Date(metadata={"description": "The Monday that it starts with."})
    payment_method = fields.String()
    country = fields.String()


class SalesTotals(Schema):
    tickets = fields.Nested(TicketFigures, required=True)
    orders = fields.Nested(OrderTotals, required=True)


class Sales(Schema):
    """Sales count on the day of the payment, refunds on the day of the refund (UTC)."""

    event_id = fields.UUID(required=True)
    currency = fields.String(required=True)
    tickets = fields.List(fields.Nested(TicketFiguresBy), required=True)
    orders = fields.List(fields.Nested(OrderFiguresBy), required=True)
    totals = fields.Nested(SalesTotals, required=True)


def _require_order(start: Any, end: Any, name: str) -> None:
    if start is not None and end is not None and end < start:
        raise ValidationError("It is before the start.", name)
