"""Customers: register them, change them, look them up."""

from typing import Any
from uuid import UUID

from flask import Response
from sqlalchemy import Connection

from application import customers as use_cases
from application.presenting import show_customer
from domain.customer import Profile
from domain.ids import uuid7
from projections import customer_statistics, customers, held_data
from projections.customer_statistics import CUSTOMER_STATISTICS
from projections.customers import CUSTOMERS
from web.blueprint import Blueprint
from web.commands import change, create
from web.encoding import streamed_json
from web.reading import found, reads, reads_version
from web.schemas.common import Nothing
from web.schemas.customers import (
    CustomerChanges,
    CustomerPage,
    CustomerQuery,
    CustomerStatistics,
    FullCustomer,
    NewCustomer,
    RecordedCustomer,
)
from web.schemas.held_data import HeldData

blueprint = Blueprint("customers", "/api/v1/customers", "Who buys and holds tickets")

EXAMPLE = {"name": "Ada Lovelace", "email": "ada@example.org", "country": "GB"}


@blueprint.makes("")
@blueprint.takes(NewCustomer, example=EXAMPLE)
@blueprint.creates(RecordedCustomer)
def register_customer(body: dict[str, Any]) -> Response:
    """Register a customer"""
    new_id = uuid7()
    return create(
        use_cases.register_customer,
        show_customer,
        makes=new_id,
        customer_id=new_id,
        profile=Profile(**body),
    )


@blueprint.patch("/<uuid:customer_id>")
@blueprint.takes(CustomerChanges, example={"phone": "+44 20 7946 0000"})
@blueprint.records(RecordedCustomer)
def change_customer(body: dict[str, Any], customer_id: UUID) -> Response:
    """Change what is given of a customer"""
    return change(
        use_cases.change_customer,
        show_customer,
        customer_id,
        customer_id=customer_id,
        changes=body,
    )


@blueprint.post("/<uuid:customer_id>/erase")
@blueprint.takes(Nothing)
@blueprint.records(RecordedCustomer)
def erase_customer(body: dict[str, Any], customer_id: UUID) -> Response:
    """Erase who a customer is, for ever

    Their orders and tickets stay, and so does every figure; name, e-mail address and phone number
    are gone from everything that was recorded. Doing it again changes nothing.
    """
    return change(use_cases.erase_customer, show_customer, customer_id, customer_id=customer_id)


@blueprint.get("")
@reads(CUSTOMERS)
@blueprint.asks(CustomerQuery)
@blueprint.shows(CustomerPage)
def list_customers(connection: Connection, query: dict[str, Any]) -> Any:
    """List customers by name"""
    return customers.list_customers(connection, **query)


@blueprint.get("/<uuid:customer_id>")
@reads_version(CUSTOMERS)
@blueprint.shows_version(FullCustomer)
def get_customer(connection: Connection, customer_id: UUID) -> Any:
    """Look up a customer"""
    return found(customers.customer(connection, customer_id), "customer", customer_id)


@blueprint.get("/<uuid:customer_id>/statistics")
@reads(CUSTOMER_STATISTICS, together=True)
@blueprint.shows(CustomerStatistics)
def get_customer_statistics(connection: Connection, customer_id: UUID) -> Any:
    """Show what a customer ordered and spent"""
    statistics = customer_statistics.statistics(connection, customer_id)
    return found(statistics, "customer", customer_id)


@blueprint.get("/<uuid:customer_id>/export")
@reads(*held_data.MODELS)
@blueprint.shows(HeldData)
def export_customer(connection: Connection, customer_id: UUID) -> Any:
    """Export everything that is held about a customer

    The answer is written as it is read, and may be very long; one that breaks off is not JSON.
    """
    held = found(held_data.held_about(connection, customer_id), "customer", customer_id)
    return streamed_json(held)
