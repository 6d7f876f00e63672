"""Use cases whose amounts come as decimal strings: only the aggregate knows the currency."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from application import events, orders
from application.store.work import Work
from domain.errors import DomainError, within
from domain.event import Event, Terms
from domain.ids import uuid7
from domain.money import require_currency, to_minor
from domain.order import Order

TicketTypeTerms = dict[str, Any]
"""The fields of `Terms`, with `price` as a decimal string."""


def priced(terms: TicketTypeTerms, currency: str) -> TicketTypeTerms:
    """The same terms with their price, if they have one, in minor units."""
    if "price" not in terms:
        return terms
    with within("price"):
        return {**terms, "price": to_minor(terms["price"], currency)}


def offers(ticket_types: Sequence[TicketTypeTerms], currency: str) -> list[tuple[UUID, Terms]]:
    """The terms of new ticket types, each under a new id."""
    with within("currency"):
        require_currency(currency)
    made = []
    for number, terms in enumerate(ticket_types):
        with within(f"ticket_types.{number}"):
            made.append((uuid7(), Terms(**priced(terms, currency))))
    return made


def add_ticket_type(
    work: Work, event_id: UUID, ticket_type_id: UUID, terms: TicketTypeTerms
) -> Event:
    currency = work.load(Event, event_id).details.currency
    return events.add_ticket_type(work, event_id, ticket_type_id, Terms(**priced(terms, currency)))


def change_ticket_type(
    work: Work, event_id: UUID, ticket_type_id: UUID, changes: TicketTypeTerms
) -> Event:
    currency = work.load(Event, event_id).details.currency
    return events.change_ticket_type(work, event_id, ticket_type_id, priced(changes, currency))


def pay_order(
    work: Work, order_id: UUID, method: str, reference: str = "", amount: str | None = None
) -> Order | DomainError:
    if amount is None:
        return orders.pay_order(work, order_id, method, reference)
    currency = work.load(Order, order_id).sale.currency
    with within("amount"):
        paid = to_minor(amount, currency)
    return orders.pay_order(work, order_id, method, reference, paid)
