"""What tests of the gate and the look-ups start from: two festivals, their tickets and scans."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from domain.customer import Customer, Profile
from domain.event import Event
from domain.gate import Unmatched
from domain.order import Line, Order
from domain.ticket import Ticket
from tests.domain.given import (
    ADULT,
    ANNA,
    BORIS,
    CAMPER,
    DOORS,
    FESTIVAL,
    FIRST,
    HOLD_ENDS,
    KID,
    NOW,
    ORDER,
    OTHER_FESTIVAL,
    details,
    entry,
    sale,
    terms,
)
from tests.projections.conftest import Given

T = TypeVar("T")
UNKNOWN = UUID(int=99)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def asked(given: Given, query: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """What the query answers on a connection of its own."""
    with given.connection() as connection:
        return query(connection, *arguments, **named)


def festivals() -> tuple[Event, Event]:
    """Midsummer with adults and kids, and the other one, Harvest, with campers."""
    midsummer = Event.draft(FESTIVAL, details(), NOW)
    midsummer.add_ticket_type(ADULT, terms(), NOW)
    midsummer.add_ticket_type(KID, terms(name="Kid", price=1000), NOW)
    harvest = Event.draft(OTHER_FESTIVAL, details(title="Harvest"), NOW)
    harvest.add_ticket_type(CAMPER, terms(name="Camper"), NOW)
    return midsummer, harvest


def anna(name: str = "Anna Lind", email: str = "anna@example.org") -> Customer:
    return Customer.register(ANNA, Profile(name, email, "+44 20 7946", "GB"), NOW)


def boris(name: str = "Boris Ek", email: str = "boris@example.com") -> Customer:
    return Customer.register(BORIS, Profile(name, email, "+46 8 123", "SE"), NOW + HOUR)


def ticket(ticket_id: UUID = FIRST, *, at: datetime = NOW, **of: Any) -> Ticket:
    """A ticket that was just issued: an adult of Anna's at Midsummer unless told otherwise."""
    usual: dict[str, Any] = {
        "event_id": FESTIVAL,
        "ticket_type_id": ADULT,
        "order_id": ORDER,
        "holder_id": ANNA,
        "secret": secret_of(ticket_id),
        "reentry": True,
    }
    return Ticket.issue(ticket_id, now=at, **usual | of)


def elsewhere(ticket_id: UUID, **of: Any) -> Ticket:
    """A ticket for the other festival."""
    return ticket(ticket_id, event_id=OTHER_FESTIVAL, ticket_type_id=CAMPER, **of)


def secret_of(ticket_id: UUID) -> str:
    return f"first secret of {ticket_id}"


def scanned(
    shown: Ticket,
    at: datetime = DOORS,
    *,
    event_id: UUID | None = None,
    secret: str | None = None,
    why_not: str | None = None,
    **of: Any,
) -> Ticket:
    """The ticket after an attempt at its own event's gate, or at the one given."""
    attempt = entry(event_id=event_id or shown.event_id, **of)
    shown.present(attempt, secret, why_not=why_not, now=at)
    return shown


def forged(event_id: UUID = FESTIVAL, at: datetime = DOORS, shown: str = "forged") -> Unmatched:
    """A secret of no ticket, shown at a gate."""
    return Unmatched.present(shown, entry(event_id=event_id), "invalid", None, at)


def transferred(handed: Ticket, to: UUID = BORIS, at: datetime = NOW) -> Ticket:
    """The ticket after an attempt to hand it over."""
    handed.transfer(to, f"secret of {to}", "a present", why_not=None, now=at)
    return handed


def order(order_id: UUID, *lines: Line, at: datetime = NOW, **sale_changes: Any) -> Order:
    """An order that was just placed, by Anna at Midsummer unless told otherwise."""
    expires_at = at + (HOLD_ENDS - NOW)
    return Order.place(order_id, sale(**sale_changes), list(lines), expires_at, at)


def adults(*ticket_ids: UUID) -> Line:
    return Line(ADULT, 5000, list(ticket_ids))


def paid(bought: Order, reference: str = "ch_1", at: datetime = NOW) -> Order:
    bought.pay("card", reference, None, at)
    return bought
