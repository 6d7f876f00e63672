"""The life of an event: what it sells, and how much of that is held and sold."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from eventsourcing.domain import event as records

from domain.aggregate import Aggregate, FirstFact
from domain.errors import (
    AlreadyExists,
    BelowCommitted,
    CurrencyFixed,
    EventCancelled,
    EventOver,
    InvalidEvent,
    InvalidOrder,
    InvalidTicketType,
    NotFound,
    NothingToSell,
    NotOnSale,
    SoldOut,
    WrongEventStatus,
    within,
)
from domain.limits import LONG, SHORT, require_count, require_length
from domain.money import LARGEST_PRICE, require_currency

LIVE = ("published", "ongoing")
NOT_ZONES = ("localtime", "posixrules", "posix/", "right/", "Factory")
"""What a host may have beside the zones of IANA: its own, or such as count leap seconds."""
Quantities = dict[UUID, int]


@dataclass(frozen=True)
class Details:
    """What an event is: everything about it that an organizer may edit."""

    title: str
    organizer_id: UUID
    organizer_name: str
    starts_at: datetime
    ends_at: datetime
    currency: str
    description: str = ""
    category: str = ""
    venue: str = ""
    online: bool = False
    timezone: str = "UTC"
    registration_deadline: datetime | None = None
    doors_open_at: datetime | None = None
    capacity: int | None = None


@dataclass(frozen=True)
class Terms:
    """What one ticket type offers: `price` in minor units, `quantity` None for no limit."""

    name: str
    price: int
    quantity: int | None = None
    sale_starts_at: datetime | None = None
    sale_ends_at: datetime | None = None
    min_per_order: int = 1
    max_per_order: int | None = None
    reentry: bool = True


@dataclass
class TicketType:
    """A ticket type and how many of it are held and sold."""

    terms: Terms
    held: int = 0
    sold: int = 0

    @property
    def committed(self) -> int:
        """Tickets that are no longer there to sell."""
        return self.held + self.sold


class Event(Aggregate):
    TOPIC: ClassVar[str] = "Event"
    class_version = 2
    status: str
    ended_at: datetime | None
    details: Details
    ticket_types: dict[UUID, TicketType]

    class Drafted(FirstFact):
        TOPIC = "Event.Drafted"
        details: Details

    class Changed(Aggregate.Event):
        TOPIC = "Event.Changed"
        details: Details

    class TicketTypeAdded(Aggregate.Event):
        TOPIC = "Event.TicketTypeAdded"
        ticket_type_id: UUID
        terms: Terms

    class TicketTypeChanged(Aggregate.Event):
        TOPIC = "Event.TicketTypeChanged"
        ticket_type_id: UUID
        terms: Terms

    class Published(Aggregate.Event):
        TOPIC = "Event.Published"

    class Started(Aggregate.Event):
        TOPIC = "Event.Started"

    class Completed(Aggregate.Event):
        TOPIC = "Event.Completed"

    class Cancelled(Aggregate.Event):
        TOPIC = "Event.Cancelled"
        reason: str

    class TicketsHeld(Aggregate.Event):
        TOPIC = "Event.TicketsHeld"
        order_id: UUID
        quantities: Quantities

    class HoldReleased(Aggregate.Event):
        TOPIC = "Event.HoldReleased"
        order_id: UUID
        quantities: Quantities

    class TicketsSold(Aggregate.Event):
        TOPIC = "Event.TicketsSold"
        order_id: UUID
        quantities: Quantities
        amount: int

    class TicketsReturned(Aggregate.Event):
        TOPIC = "Event.TicketsReturned"
        order_id: UUID
        quantities: Quantities
        amount: int

    def __init__(self, details: Details) -> None:
        self.status = "draft"
        self.ended_at = None
        self.details = details
        self.ticket_types = {}

    @classmethod
    def draft(cls, event_id: UUID, details: Details, now: datetime) -> "Event":
        _require_sound_details(details)
        return cls._create(cls.Drafted, id=event_id, details=details, timestamp=now)

    def change(self, details: Details, now: datetime) -> None:
        self._require_open()
        _require_sound_details(details)
        if self.ticket_types and details.currency != self.details.currency:
            raise CurrencyFixed
        if details.capacity is not None and details.capacity < self.committed:
            raise BelowCommitted(f"{self.committed} tickets are held or sold already.")
        if details != self.details:
            self._changed(details=details, timestamp=now)

    @records(Changed)
    def _changed(self, details: Details, timestamp: datetime) -> None:
        self.details = details

    def add_ticket_type(self, ticket_type_id: UUID, terms: Terms, now: datetime) -> None:
        self._require_open()
        _require_sound_terms(terms)
        if ticket_type_id in self.ticket_types:
            raise AlreadyExists("The event has this ticket type already.")
        self._ticket_type_added(ticket_type_id=ticket_type_id, terms=terms, timestamp=now)

    @records(TicketTypeAdded)
    def _ticket_type_added(self, ticket_type_id: UUID, terms: Terms, timestamp: datetime) -> None:
        self.ticket_types[ticket_type_id] = TicketType(terms)

    def change_ticket_type(self, ticket_type_id: UUID, terms: Terms, now: datetime) -> None:
        self._require_open()
        _require_sound_terms(terms)
        ticket_type = self.ticket_type(ticket_type_id)
        if terms.quantity is not None and terms.quantity < ticket_type.committed:
            raise BelowCommitted(f"{ticket_type.committed} tickets are held or sold already.")
        if terms != ticket_type.terms:
            self._ticket_type_changed(ticket_type_id=ticket_type_id, terms=terms, timestamp=now)

    @records(TicketTypeChanged)
    def _ticket_type_changed(self, ticket_type_id: UUID, terms: Terms, timestamp: datetime) -> None:
        self.ticket_types[ticket_type_id].terms = terms

    def publish(self, now: datetime) -> None:
        if self.status == "published":
            return
        self._require_status("draft")
        if not self.ticket_types:
            raise NothingToSell
        if now >= self.details.ends_at:
            raise EventOver
        self._published(timestamp=now)

    @records(Published)
    def _published(self, timestamp: datetime) -> None:
        self.status = "published"

    def start(self, now: datetime) -> None:
        if self.status == "ongoing":
            return
        self._require_status("published")
        self._started(timestamp=now)

    @records(Started)
    def _started(self, timestamp: datetime) -> None:
        self.status = "ongoing"

    def complete(self, now: datetime) -> None:
        if self.status == "completed":
            return
        self._require_status("ongoing")
        self._completed(timestamp=now)

    @records(Completed)
    def _completed(self, timestamp: datetime) -> None:
        self.status = "completed"
        self.ended_at = timestamp

    def cancel(self, reason: str, now: datetime) -> None:
        if self.status == "cancelled":
            return
        self._require_status("draft", *LIVE)
        self._cancelled(reason=reason, timestamp=now)

    @records(Cancelled)
    def _cancelled(self, reason: str, timestamp: datetime) -> None:
        self.status = "cancelled"
        self.ended_at = timestamp

    def hold(self, order_id: UUID, quantities: Quantities, now: datetime) -> None:
        self._require_on_sale(now)
        for ticket_type_id, quantity in quantities.items():
            self._require_sellable(self.ticket_type(ticket_type_id), quantity, now)
        self._require_capacity(sum(quantities.values()))
        self._tickets_held(order_id=order_id, quantities=quantities, timestamp=now)

    @records(TicketsHeld)
    def _tickets_held(self, order_id: UUID, quantities: Quantities, timestamp: datetime) -> None:
        for ticket_type_id, quantity in quantities.items():
            self.ticket_types[ticket_type_id].held += quantity

    def release(self, order_id: UUID, quantities: Quantities, now: datetime) -> None:
        self._hold_released(order_id=order_id, quantities=quantities, timestamp=now)

    @records(HoldReleased)
    def _hold_released(self, order_id: UUID, quantities: Quantities, timestamp: datetime) -> None:
        for ticket_type_id, quantity in quantities.items():
            self.ticket_types[ticket_type_id].held -= quantity

    def sell(self, order_id: UUID, quantities: Quantities, amount: int, now: datetime) -> None:
        """Turn what `order_id` holds into sales worth `amount` minor units."""
        self.require_not_cancelled()
        self._tickets_sold(order_id=order_id, quantities=quantities, amount=amount, timestamp=now)

    @records(TicketsSold)
    def _tickets_sold(
        self, order_id: UUID, quantities: Quantities, amount: int, timestamp: datetime
    ) -> None:
        for ticket_type_id, quantity in quantities.items():
            self.ticket_types[ticket_type_id].held -= quantity
            self.ticket_types[ticket_type_id].sold += quantity

    def take_back(self, order_id: UUID, quantities: Quantities, amount: int, now: datetime) -> None:
        """Put refunded tickets worth `amount` minor units back on sale."""
        self._tickets_returned(
            order_id=order_id, quantities=quantities, amount=amount, timestamp=now
        )

    @records(TicketsReturned)
    def _tickets_returned(
        self, order_id: UUID, quantities: Quantities, amount: int, timestamp: datetime
    ) -> None:
        for ticket_type_id, quantity in quantities.items():
            self.ticket_types[ticket_type_id].sold -= quantity

    @property
    def committed(self) -> int:
        """Tickets held or sold, over all ticket types."""
        return sum(ticket_type.committed for ticket_type in self.ticket_types.values())

    def ticket_type(self, ticket_type_id: UUID) -> TicketType:
        """The ticket type with that id; raises `NotFound`."""
        try:
            return self.ticket_types[ticket_type_id]
        except KeyError:
            raise NotFound(f"The event has no ticket type {ticket_type_id}.") from None

    def why_no_sale(self, at: datetime) -> EventCancelled | EventOver | None:
        """What speaks against a payment at that time: it would buy what can no more be used. An
        event that was called off takes none, whenever it was made."""
        if self.status == "cancelled":
            return EventCancelled()
        if self.ended_at is not None and at >= self.ended_at:
            return EventOver()
        return None

    def why_no_entry(self, at: datetime) -> str | None:
        """Why nobody may pass the gate at that time; None when the gate is open. A scanner that was
        offline may tell of it after the event has ended."""
        if self.ended_at is not None and at >= self.ended_at:
            return "canceled" if self.status == "cancelled" else "invalid_time"
        doors = self.details.doors_open_at
        too_early = doors is not None and at < doors
        if self.status == "draft" or too_early or at >= self.details.ends_at:
            return "invalid_time"
        return None

    def _require_status(self, *statuses: str) -> None:
        if self.status not in statuses:
            raise WrongEventStatus(f"The event is {self.status}, not {' or '.join(statuses)}.")

    def require_not_cancelled(self) -> None:
        """Raise `EventCancelled` for an event that was called off."""
        if self.status == "cancelled":
            raise EventCancelled

    def _require_open(self) -> None:
        self.require_not_cancelled()
        if self.status == "completed":
            raise EventOver

    def _require_on_sale(self, now: datetime) -> None:
        self._require_open()
        if self.status not in LIVE:
            raise NotOnSale("The event is not published yet.")
        if now >= (self.details.registration_deadline or self.details.ends_at):
            raise NotOnSale("Sales have ended.")

    def _require_capacity(self, wanted: int) -> None:
        capacity = self.details.capacity
        if capacity is not None and self.committed + wanted > capacity:
            raise SoldOut(f"{max(0, capacity - self.committed)} places are left in all.")

    @staticmethod
    def _require_sellable(ticket_type: TicketType, quantity: int, now: datetime) -> None:
        terms = ticket_type.terms
        if quantity < terms.min_per_order:
            raise InvalidOrder(f"At least {terms.min_per_order} of {terms.name} to an order.")
        if terms.max_per_order is not None and quantity > terms.max_per_order:
            raise InvalidOrder(f"At most {terms.max_per_order} of {terms.name} to an order.")
        if terms.sale_starts_at is not None and now < terms.sale_starts_at:
            raise NotOnSale(f"{terms.name} is not on sale yet.")
        if terms.sale_ends_at is not None and now >= terms.sale_ends_at:
            raise NotOnSale(f"Sales of {terms.name} have ended.")
        if terms.quantity is not None and ticket_type.committed + quantity > terms.quantity:
            left = max(0, terms.quantity - ticket_type.committed)
            raise SoldOut(f"{left} of {terms.name} are left.")


def _require_sound_details(details: Details) -> None:
    with within("currency"):
        require_currency(details.currency)
    if not details.title.strip():
        raise InvalidEvent("An event needs a title.", "title")
    if not details.organizer_name.strip():
        raise InvalidEvent("An organizer has a name.", "organizer.name")
    if details.ends_at <= details.starts_at:
        raise InvalidEvent("An event ends after it starts.", "ends_at")
    deadline = details.registration_deadline
    if deadline is not None and deadline > details.ends_at:
        raise InvalidEvent("The registration deadline is after the event.", "registration_deadline")
    if details.doors_open_at is not None and details.doors_open_at > details.ends_at:
        raise InvalidEvent("The doors open after the event.", "doors_open_at")
    require_count("capacity", details.capacity, 1, InvalidEvent)
    for what in ("title", "organizer_name", "category", "venue"):
        require_length(what, getattr(details, what), SHORT, InvalidEvent)
    require_length("description", details.description, LONG, InvalidEvent)
    if not _is_iana_zone(details.timezone):
        raise InvalidEvent(f"{details.timezone!r} is not an IANA time zone.", "timezone")


def _is_iana_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return not name.startswith(NOT_ZONES)


def _require_sound_terms(terms: Terms) -> None:
    if not terms.name.strip():
        raise InvalidTicketType("A ticket type needs a name.", "name")
    if terms.price < 0:
        raise InvalidTicketType("A price is never negative.", "price")
    if terms.price > LARGEST_PRICE:
        raise InvalidTicketType("The price is out of range.", "price")
    require_length("name", terms.name, SHORT, InvalidTicketType)
    require_count("quantity", terms.quantity, 0, InvalidTicketType)
    if terms.min_per_order < 1:
        raise InvalidTicketType("An order has at least one ticket.", "min_per_order")
    if terms.max_per_order is not None and terms.max_per_order < terms.min_per_order:
        raise InvalidTicketType("The most per order is less than the least.", "max_per_order")
    starts_at, ends_at = terms.sale_starts_at, terms.sale_ends_at
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        raise InvalidTicketType("The sale ends before it starts.", "sale_ends_at")
