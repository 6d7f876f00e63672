"""Customers and what they bought."""

from typing import Any

from marshmallow import Schema, fields, validate

from web.schemas.common import Recorded, page_of
from web.schemas.fields import FullMatch, Strict, Text, after, limit
from web.schemas.log import RecordedFact
from web.schemas.orders import FullOrder
from web.schemas.tickets import TICKET_STATUSES


def email(**kwargs: Any) -> fields.Email:
    """An e-mail address, of the length that mail allows."""
    return fields.Email(
        validate=validate.Length(max=254), metadata={"examples": ["ada@example.org"]}, **kwargs
    )


def country(**kwargs: Any) -> fields.String:
    """An ISO 3166-1 alpha-2 code; empty when it is not known."""
    return fields.String(
        validate=FullMatch(r"^([A-Z]{2})?$", error="Not an ISO 3166 code, like 'GB'."),
        metadata={"examples": ["GB"]},
        **kwargs,
    )


class CustomerChanges(Strict):
    """Only what is to change; an empty string clears phone and country."""

    name = Text(200, shortest=1)
    email = email()
    phone = Text(40)
    country = country()


class NewCustomer(CustomerChanges):
    """Who a customer is."""

    name = Text(200, shortest=1, required=True)
    email = email(required=True)


class CustomerProfile(Schema):
    id = fields.UUID(required=True)
    name = fields.String(required=True)
    email = fields.String(required=True)
    phone = fields.String(required=True)
    country = fields.String(required=True)
    role = fields.String(required=True)
    erased = fields.Boolean(required=True)


class RecordedCustomer(Recorded, CustomerProfile):
    """The customer after the command."""


class ListedCustomer(CustomerProfile):
    registered_at = fields.DateTime(required=True)


CustomerPage = page_of(ListedCustomer)


class CustomerQuery(Strict):
    q = Text(200, metadata={"description": "Beginnings of words in name, e-mail and phone."})
    country = country()
    limit = limit()
    after = after()


class CurrencyAmount(Schema):
    currency = fields.String(required=True)
    amount = fields.String(required=True)


class CustomerStatistics(Schema):
    customer_id = fields.UUID(required=True)
    total_orders_placed = fields.Integer(required=True)
    total_amount_spent = fields.String(
        required=True, metadata={"description": "Net of refunds, in the currency most spent in."}
    )
    currency = fields.String(required=True, allow_none=True)
    amounts_by_currency = fields.List(fields.Nested(CurrencyAmount), required=True)
    most_purchased_event_id = fields.UUID(required=True, allow_none=True)
    most_purchased_event_name = fields.String(required=True, allow_none=True)


class HeldTicket(Schema):
    """A ticket that the customer holds or held, without its secret."""

    id = fields.UUID(required=True)
    event_id = fields.UUID(required=True)
    event_name = fields.String(required=True, allow_none=True)
    ticket_type_id = fields.UUID(required=True)
    ticket_type = fields.String(required=True, allow_none=True)
    order_id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf(TICKET_STATUSES))
    issued_at = fields.DateTime(required=True)
    is_holder = fields.Boolean(required=True, metadata={"description": "Whether it is theirs now."})
    history = fields.List(
        fields.Nested(RecordedFact),
        required=True,
        metadata={"description": "While it was theirs: transfers, scans, and what else was done."},
    )


class HeldData(Schema):
    """Everything that is held about a customer."""

    customer = fields.Nested(ListedCustomer, required=True)
    statistics = fields.Nested(CustomerStatistics, required=True)
    orders = fields.List(fields.Nested(FullOrder), required=True)
    tickets = fields.List(fields.Nested(HeldTicket), required=True)
    history = fields.List(
        fields.Nested(RecordedFact),
        required=True,
        metadata={"description": "What was recorded of the customer."},
    )
