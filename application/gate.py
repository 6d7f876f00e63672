"""Use cases around a ticket: transfer it, block it, and let it through the gate."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from application.store.work import Work
from domain.customer import Customer
from domain.errors import DomainError, NotFound, TransferRefused
from domain.event import Event
from domain.gate import Unmatched
from domain.ids import new_secret
from domain.limits import CLOCKS_DIFFER
from domain.order import Order
from domain.ticket import Scan, Ticket

OrderOf = Callable[[UUID], tuple[UUID | None, int]]
"""Finds the order that a ticket not issued yet belongs to, as far as a read model knows, which has
seen all up to that position of the log."""
MOST_LOOKED_THROUGH = 200
"""Events that the read model has not seen yet: in a rush those of a tenth of a second."""


@dataclass(frozen=True)
class CheckIn:
    """What came of an attempt at a gate; `reason` is None when it passed."""

    attempted: Ticket | Unmatched
    event: Event
    scan: Scan
    reason: str | None


def transfer_ticket(
    work: Work, ticket_id: UUID, to_customer_id: UUID, reason: str = ""
) -> Ticket | DomainError:
    ticket = work.load(Ticket, ticket_id)
    event = work.load(Event, ticket.event_id)
    refusal = ticket.transfer(
        to_customer_id,
        new_secret(ticket_id),
        reason,
        why_not=_why_not_to(work.find(Customer, to_customer_id)) or _why_not_after(event),
        now=work.now,
    )
    work.save(ticket)
    if refusal == "unknown_customer":
        return NotFound(f"There is no customer {to_customer_id}.")
    return ticket if refusal is None else TransferRefused(_REFUSALS[refusal])


def block_ticket(work: Work, ticket_id: UUID, reason: str = "") -> Ticket:
    ticket = work.load(Ticket, ticket_id)
    ticket.block(reason, work.now)
    work.save(ticket)
    return ticket


def unblock_ticket(work: Work, ticket_id: UUID) -> Ticket:
    ticket = work.load(Ticket, ticket_id)
    ticket.unblock(work.now)
    work.save(ticket)
    return ticket


def check_in(
    work: Work,
    scan: Scan,
    event_id: UUID,
    ticket_id: UUID | None,
    secret: str | None = None,
    order_of: OrderOf | None = None,
) -> CheckIn:
    """An attempt at a gate with a `secret`, or with the id that staff looked up.

    `ticket_id` is None when the secret has not the form of one.
    """
    event = work.load(Event, event_id)
    ticket = None if ticket_id is None else work.find(Ticket, ticket_id)
    if ticket is None or (secret is not None and not ticket.knows(secret)):
        looked_up = ticket_id if secret is None else None
        reason = _why_not_issued(work, looked_up, order_of)
        shown = secret if secret is not None else str(looked_up)
        at = _told(work, event.created_on) or work.now
        unmatched = _keep_evidence(work, shown, scan, reason, looked_up, at)
        return CheckIn(unmatched, event, scan, reason)
    told_at = _told(work, ticket.shown_since(secret))
    now = told_at or work.now
    why_not = None if scan.type == "exit" else event.why_no_entry(now)
    refusal = ticket.present(scan, secret, why_not=why_not, now=now, told_at=told_at)
    work.save(ticket)
    return CheckIn(ticket, event, scan, refusal)


def _told(work: Work, since: datetime) -> datetime | None:
    """When the attempt was, as a scanner or an import tells; None where nobody tells, or a clock
    that has lost the time: from before there was what is shown. Then the present counts, or it
    would admit all who ever had a ticket."""
    told_at = work.context.told_at or work.context.at
    return None if told_at is None or told_at < since - CLOCKS_DIFFER else told_at


def _keep_evidence(
    work: Work, shown: str, scan: Scan, reason: str, ticket_id: UUID | None, at: datetime
) -> Unmatched:
    unmatched = work.find(Unmatched, Unmatched.id_for(shown))
    if unmatched is None:
        unmatched = Unmatched.present(shown, scan, reason, ticket_id, at)
    else:
        unmatched.present_again(scan, reason, ticket_id, at)
    work.save(unmatched)
    return unmatched


def _why_not_issued(work: Work, ticket_id: UUID | None, order_of: OrderOf | None) -> str:
    """What the read model says is checked against the order; it may not have seen it yet."""
    if ticket_id is None or order_of is None:
        return "invalid"
    order_id, seen = order_of(ticket_id)
    order_id = order_id or _placed_since(work, seen, ticket_id)
    order = work.find(Order, order_id) if order_id is not None else None
    if order is None or ticket_id not in order.ticket_ids:
        return "invalid"
    return "unpaid" if order.status == "placed" else "canceled"


def _placed_since(work: Work, seen: int, ticket_id: UUID) -> UUID | None:
    for entry in work.since(seen, MOST_LOOKED_THROUGH):
        if entry.topic == Order.Placed.TOPIC and str(ticket_id) in entry.payload:
            return entry.stream_id
    return None


def _why_not_to(customer: Customer | None) -> str | None:
    if customer is None:
        return "unknown_customer"
    return "customer_erased" if customer.erased else None


def _why_not_after(event: Event) -> str | None:
    return {"cancelled": "event_cancelled", "completed": "event_over"}.get(event.status)


_REFUSALS = {
    "canceled": "The ticket is void.",
    "blocked": "The ticket is blocked.",
    "already_redeemed": "The ticket was admitted already.",
    "same_holder": "The ticket is theirs already.",
    "customer_erased": "The customer was erased.",
    "event_cancelled": "The event is cancelled.",
    "event_over": "The event is over.",
}
