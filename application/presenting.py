"""How aggregates look from outside: the bodies of answers, and of reads as of some moment.

Money is a decimal string beside a currency; times are RFC 3339.
"""

from typing import Any
from uuid import UUID

from application.gate import CheckIn
from domain.aggregate import Aggregate
from domain.customer import Customer
from domain.event import Event, TicketType
from domain.gate import Unmatched
from domain.money import to_decimal
from domain.order import Order
from domain.ticket import Ticket

Body = dict[str, Any]


def show_event(event: Event) -> Body:
    """The event with what it sells, and how much of that is held and sold."""
    return {
        **_identity(event),
        "status": event.status,
        **vars(event.details),
        "ticket_types": [
            show_ticket_type(ticket_type_id, ticket_type, event.details.currency)
            for ticket_type_id, ticket_type in event.ticket_types.items()
        ],
    }


def show_ticket_type(ticket_type_id: UUID, ticket_type: TicketType, currency: str) -> Body:
    """One ticket type of an event."""
    terms = ticket_type.terms
    return {
        "id": ticket_type_id,
        **vars(terms),
        "price": to_decimal(terms.price, currency),
        "held": ticket_type.held,
        "sold": ticket_type.sold,
    }


def show_order(order: Order) -> Body:
    """The order with its lines; `ticket_ids` are valid once it is paid."""
    sale = order.sale
    return {
        **_identity(order),
        "status": order.status,
        **vars(sale),
        "total": to_decimal(order.total, sale.currency),
        "lines": [
            {
                "ticket_type_id": line.ticket_type_id,
                "quantity": len(line.ticket_ids),
                "unit_price": to_decimal(line.unit_price, sale.currency),
                "ticket_ids": line.ticket_ids,
            }
            for line in order.lines
        ],
        "expires_at": order.expires_at,
        "payment_attempts": order.payment_attempts,
        "refunded_tickets": order.refunded_tickets,
    }


def show_ticket(ticket: Ticket) -> Body:
    """The ticket without its secrets, which are for its holder only."""
    return {
        **_identity(ticket),
        "status": ticket.status,
        "event_id": ticket.event_id,
        "ticket_type_id": ticket.ticket_type_id,
        "order_id": ticket.order_id,
        "holder_id": ticket.holder_id,
        "blocked": ticket.blocked,
        "inside": ticket.inside,
        "admissions": ticket.admissions,
        "transfers": len(ticket.old_secrets),
    }


def show_customer(customer: Customer) -> Body:
    """The customer's profile."""
    return {
        **_identity(customer),
        **vars(customer.profile),
        "role": customer.role,
        "erased": customer.erased,
    }


def show_check_in(check_in: CheckIn) -> Body:
    """What the gate must know: let them pass or not, and why."""
    attempted = check_in.attempted
    ticket = attempted if isinstance(attempted, Ticket) else None
    return {
        **_identity(attempted),
        "status": "ok" if check_in.reason is None else "error",
        "reason": check_in.reason,
        "type": check_in.scan.type,
        "event_id": check_in.scan.event_id,
        "ticket_id": ticket.id if ticket else None,
        "ticket_type": _type_name(check_in, ticket),
        "at": attempted.modified_on,
    }


def show(aggregate: Aggregate) -> Body:
    """Any aggregate, as its own kind is shown."""
    match aggregate:
        case Event():
            return show_event(aggregate)
        case Order():
            return show_order(aggregate)
        case Ticket():
            return show_ticket(aggregate)
        case Customer():
            return show_customer(aggregate)
        case Unmatched():
            return {**_identity(aggregate), "attempts": aggregate.attempts}
    raise TypeError(f"Nobody knows how to show a {type(aggregate).__name__}.")


def _identity(aggregate: Aggregate) -> Body:
    return {"id": aggregate.id, "version": aggregate.version}


def _type_name(check_in: CheckIn, ticket: Ticket | None) -> str | None:
    if ticket is None or ticket.event_id != check_in.event.id:
        return None
    return check_in.event.ticket_type(ticket.ticket_type_id).terms.name
