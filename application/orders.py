"""Use cases of an order: place it, pay it, cancel, expire or refund it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from application.store.work import Work
from domain.customer import Customer
from domain.errors import AlreadyExists, DomainError, InvalidOrder
from domain.event import Event, Quantities
from domain.ids import new_secret, uuid7
from domain.order import Line, Order, Sale
from domain.ticket import Ticket

FREE = "free"


@dataclass(frozen=True)
class Wish:
    """Tickets of one type that a customer wants; their ids are made here unless they exist."""

    ticket_type_id: UUID
    quantity: int
    ticket_ids: list[UUID] = field(default_factory=list)

    def ids(self) -> list[UUID]:
        return self.ticket_ids or [uuid7() for _ in range(self.quantity)]


def place_order(
    work: Work,
    order_id: UUID,
    event_id: UUID,
    customer_id: UUID,
    wishes: Sequence[Wish],
    payment_method: str,
    hold: timedelta,
) -> Order:
    event = work.load(Event, event_id)
    customer = work.load(Customer, customer_id)
    customer.require_not_erased()
    if work.find(Order, order_id) is not None:
        raise AlreadyExists(f"There is an order {order_id} already.")
    event.hold(order_id, _quantities(wishes), work.now)
    sale = Sale(
        event_id=event_id,
        customer_id=customer_id,
        country=customer.profile.country,
        payment_method=payment_method,
        currency=event.details.currency,
    )
    lines = [_line(event, wish) for wish in wishes]
    order = Order.place(order_id, sale, lines, work.now + hold, work.now)
    work.save(event, order)
    if order.total == 0:
        _settle(work, order, event, FREE)
    return order


def pay_order(
    work: Work, order_id: UUID, method: str, reference: str = "", amount: int | None = None
) -> Order | DomainError:
    order = work.load(Order, order_id)
    event = work.load(Event, order.sale.event_id)
    return _settle(work, order, event, method, reference, amount) or order


def cancel_order(work: Work, order_id: UUID, reason: str = "") -> Order:
    order = work.load(Order, order_id)
    order.cancel(reason, work.now)
    return _let_go(work, order)


def expire_order(work: Work, order_id: UUID) -> Order:
    order = work.load(Order, order_id)
    order.expire(work.now)
    return _let_go(work, order)


def refund_order(
    work: Work, order_id: UUID, ticket_ids: Collection[UUID] = (), reason: str = ""
) -> Order:
    order = work.load(Order, order_id)
    refunded = order.refund(ticket_ids, reason, work.now)
    if refunded is None:
        return order
    event = work.load(Event, order.sale.event_id)
    event.take_back(order_id, refunded.quantities, sum(refunded.amounts.values()), work.now)
    tickets = work.load_all(Ticket, refunded.ticket_ids)
    for ticket in tickets:
        ticket.void(reason or "refunded", work.now)
    work.save(order, event, *tickets)
    return order


def _quantities(wishes: Sequence[Wish]) -> Quantities:
    quantities = {wish.ticket_type_id: wish.quantity for wish in wishes}
    if len(quantities) != len(wishes):
        raise InvalidOrder("Each ticket type has one line.")
    if any(wish.ticket_ids and len(wish.ticket_ids) != wish.quantity for wish in wishes):
        raise InvalidOrder("A line has as many ticket ids as tickets.")
    return quantities


def _line(event: Event, wish: Wish) -> Line:
    price = event.ticket_type(wish.ticket_type_id).terms.price
    return Line(wish.ticket_type_id, price, wish.ids())


def _settle(
    work: Work,
    order: Order,
    event: Event,
    method: str,
    reference: str = "",
    amount: int | None = None,
) -> DomainError | None:
    """Take the payment and issue the tickets; a refused payment stays on record."""
    refusal = order.pay(method, reference, amount, work.now, event.why_no_sale(work.now))
    newly_paid = bool(order.pending_events) and refusal is None
    work.save(order)
    if newly_paid:
        event.sell(order.id, order.quantities, order.total, work.now)
        work.save(event, *_issue(work, order, event))
    return refusal


def _issue(work: Work, order: Order, event: Event) -> list[Ticket]:
    return [
        Ticket.issue(
            ticket_id,
            event_id=event.id,
            ticket_type_id=line.ticket_type_id,
            order_id=order.id,
            holder_id=order.sale.customer_id,
            secret=new_secret(ticket_id),
            reentry=event.ticket_type(line.ticket_type_id).terms.reentry,
            now=work.now,
        )
        for line in order.lines
        for ticket_id in line.ticket_ids
    ]


def _let_go(work: Work, order: Order) -> Order:
    """Release the hold of an order that has just ended unpaid."""
    if order.pending_events:
        event = work.load(Event, order.sale.event_id)
        event.release(order.id, order.quantities, work.now)
        work.save(order, event)
    return order
