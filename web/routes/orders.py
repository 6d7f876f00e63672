"""Orders: hold tickets, pay for them, cancel, refund, and look orders up."""

from typing import Any
from uuid import UUID

from flask import Response
from sqlalchemy import Connection

from application import orders as use_cases
from application.orders import Wish
from application.presenting import show_order
from domain.ids import uuid7
from projections import orders
from projections.catalogue import CATALOGUE
from projections.orders import ORDERS
from web import pricing
from web.blueprint import Blueprint
from web.commands import change, create
from web.current import turnstile
from web.reading import found, reads, reads_version
from web.schemas.orders import (
    CancelOrder,
    FullOrder,
    NewOrder,
    OrderPage,
    OrderQuery,
    Payment,
    RecordedOrder,
    Refund,
)

blueprint = Blueprint("orders", "/api/v1/orders", "From the hold to the refund")

EXAMPLE = {
    "event_id": "0197f3a0-0000-7000-8000-000000000001",
    "customer_id": "0197f3a0-0000-7000-8000-000000000002",
    "lines": [{"ticket_type_id": "0197f3a0-0000-7000-8000-000000000003", "quantity": 2}],
    "payment_method": "card",
}


@blueprint.makes("")
@blueprint.takes(NewOrder, example=EXAMPLE)
@blueprint.creates(RecordedOrder)
def place_order(body: dict[str, Any]) -> Response:
    """Hold tickets until they are paid; a free order is paid at once"""
    new_id = uuid7()
    return create(
        use_cases.place_order,
        show_order,
        makes=new_id,
        order_id=new_id,
        event_id=body["event_id"],
        customer_id=body["customer_id"],
        wishes=[Wish(**line) for line in body["lines"]],
        payment_method=body["payment_method"],
        hold=turnstile().settings.hold,
    )


@blueprint.post("/<uuid:order_id>/pay")
@blueprint.takes(Payment, example={"method": "card", "reference": "ch_1", "amount": "25.00"})
@blueprint.records(RecordedOrder)
def pay_order(body: dict[str, Any], order_id: UUID) -> Response:
    """Take the payment and issue the tickets

    The same payment again changes nothing, whether it was taken or refused; a refused one is known
    by its `reference`. Any other, of an order that is paid or over, is refused and stays on
    record: it is money to give back.
    """
    return change(pricing.pay_order, show_order, order_id, order_id=order_id, **body)


@blueprint.post("/<uuid:order_id>/cancel")
@blueprint.takes(CancelOrder, example={"reason": "Changed their mind"})
@blueprint.records(RecordedOrder)
def cancel_order(body: dict[str, Any], order_id: UUID) -> Response:
    """Cancel an order that is not paid, and let its tickets go"""
    return change(use_cases.cancel_order, show_order, order_id, order_id=order_id, **body)


@blueprint.post("/<uuid:order_id>/refund")
@blueprint.takes(Refund, example={"reason": "Cannot come"})
@blueprint.records(RecordedOrder)
def refund_order(body: dict[str, Any], order_id: UUID) -> Response:
    """Refund an order, wholly or by ticket, and void the tickets"""
    return change(use_cases.refund_order, show_order, order_id, order_id=order_id, **body)


@blueprint.get("")
@reads(ORDERS, CATALOGUE)
@blueprint.asks(OrderQuery)
@blueprint.shows(OrderPage)
def list_orders(connection: Connection, query: dict[str, Any]) -> Any:
    """List orders, the newest first"""
    return orders.list_orders(connection, **query)


@blueprint.get("/<uuid:order_id>")
@reads_version(ORDERS)
@blueprint.shows_version(FullOrder)
def get_order(connection: Connection, order_id: UUID) -> Any:
    """Look up an order with its lines, payments and refunds"""
    return found(orders.order(connection, order_id), "order", order_id)
