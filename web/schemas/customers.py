"""Customers and what they bought."""

from typing import Any

from marshmallow import Schema, fields, validate

from domain.limits import LONGEST_ADDRESS, SHORT
from web.schemas.common import Recorded, page_of, version
from web.schemas.fields import FullMatch, Strict, Text, after, limit, search


def email(**kwargs: Any) -> fields.Email:
    """An e-mail address, of the length that mail allows."""
    return fields.Email(
        validate=validate.Length(max=LONGEST_ADDRESS),
        metadata={"examples": ["ada@example.org"]},
        **kwargs,
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

    name = Text(SHORT, shortest=1)
    email = email()
    phone = Text(40)
    country = country()


class NewCustomer(CustomerChanges):
    """Who a customer is."""

    name = Text(SHORT, shortest=1, required=True)
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


class FullCustomer(ListedCustomer):
    """All about one customer."""

    version = version()


CustomerPage = page_of(ListedCustomer)


class CustomerQuery(Strict):
    q = search("Beginnings of words in name, e-mail and phone.")
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
