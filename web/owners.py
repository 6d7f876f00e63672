"""To whom things belong: as a command sees it under the lock, and as a query sees it."""

from collections.abc import Iterable
from typing import Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from application.store.snapshots import load_stream
from application.store.work import Work
from domain.aggregate import Aggregate
from domain.errors import Forbidden, NotFound
from domain.event import Event
from domain.order import Order
from domain.ticket import Ticket
from projections import catalogue

A = TypeVar("A", bound=Aggregate)


class Owners(Protocol):
    """Each raises `NotFound` for what does not exist."""

    def organizer_of(self, event_id: UUID) -> UUID:
        """The organizer of an event."""

    def order(self, order_id: UUID) -> tuple[UUID, UUID]:
        """An order's customer, and its event."""

    def ticket(self, ticket_id: UUID) -> tuple[UUID, UUID]:
        """A ticket's present holder, and its event."""


class Deciding:
    """From the aggregates that the command is decided on."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def organizer_of(self, event_id: UUID) -> UUID:
        return self._work.load(Event, event_id).details.organizer_id

    def order(self, order_id: UUID) -> tuple[UUID, UUID]:
        sale = self._work.load(Order, order_id).sale
        return sale.customer_id, sale.event_id

    def ticket(self, ticket_id: UUID) -> tuple[UUID, UUID]:
        ticket = self._work.load(Ticket, ticket_id)
        return ticket.holder_id, ticket.event_id


class Asking:
    """From the log, which is never behind; an event's from the catalogue, where it has it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def organizer_of(self, event_id: UUID) -> UUID:
        known = catalogue.organizer_of(self._connection, event_id)
        return known or self._load(Event, event_id).details.organizer_id

    def order(self, order_id: UUID) -> tuple[UUID, UUID]:
        sale = self._load(Order, order_id).sale
        return sale.customer_id, sale.event_id

    def ticket(self, ticket_id: UUID) -> tuple[UUID, UUID]:
        ticket = self._load(Ticket, ticket_id)
        return ticket.holder_id, ticket.event_id

    def _load(self, cls: type[A], aggregate_id: UUID) -> A:
        aggregate = load_stream(self._connection, aggregate_id)
        if not isinstance(aggregate, cls):
            raise NotFound(f"There is no {cls.TOPIC.lower()} {aggregate_id}.")
        return aggregate


def require_owned(
    connection: Connection, event_ids: Iterable[UUID], organizer_id: UUID | None
) -> None:
    """Raise `NotFound` unless these events exist, and `Forbidden` unless they are that organizer's,
    if there is one."""
    owners = Asking(connection)
    for event_id in event_ids:
        if owners.organizer_of(event_id) != organizer_id and organizer_id is not None:
            raise Forbidden(f"The event {event_id} is another organizer's.")
