"""The rules of the box office once more, without events: what the aggregates are compared with.

Nothing is counted here that can be looked up: how many tickets are held or sold is the number
of tickets in orders that wait for payment or are paid.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

HOLD = timedelta(minutes=30)
CLOCKS_DIFFER = timedelta(minutes=5)
FOR_EVER = datetime.max.replace(tzinfo=UTC)
OVERRIDABLE = {"already_redeemed", "blocked", "invalid_time"}


@dataclass
class PlainType:
    price: int
    quantity: int | None
    least: int = 1
    most: int | None = None
    opens: datetime | None = None
    closes: datetime | None = None
    reentry: bool = True


@dataclass
class PlainEvent:
    types: dict[UUID, PlainType]
    capacity: int | None
    deadline: datetime
    doors: datetime
    ends: datetime
    made: datetime
    status: str = "draft"
    over_since: datetime | None = None


@dataclass
class PlainOrder:
    event: UUID
    customer: UUID
    expires: datetime
    tickets: dict[UUID, UUID]
    """The type of each ticket."""
    prices: dict[UUID, int]
    status: str = "placed"
    reference: str = ""
    attempts: int = 0
    refused: set[tuple[str, int]] = field(default_factory=set)
    refunded: set[UUID] = field(default_factory=set)

    @property
    def total(self) -> int:
        return sum(self.prices[kind] for kind in self.tickets.values())

    @property
    def sold(self) -> set[UUID]:
        was_paid = self.status in {"paid", "partly_refunded", "refunded"}
        return set(self.tickets) - self.refunded if was_paid else set()


@dataclass
class PlainTicket:
    event: UUID
    kind: UUID
    holder: UUID
    reentry: bool
    secrets: dict[str, datetime]  # since when
    void_since: datetime | None = None
    blocks: list[tuple[datetime, datetime]] = field(default_factory=list)
    passages: list[tuple[datetime, bool]] = field(default_factory=list)  # when, and whether out
    admissions: int = 0

    @property
    def inside(self) -> bool:
        """Whoever went in is inside until an exit at or after all that was told before it; an entry
        told late counts unless they had passed more than five minutes after it."""
        inside = False
        for told, (at, out) in enumerate(self.passages):
            before = [earlier for earlier, _ in self.passages[:told]]
            if out and all(at >= earlier for earlier in before):
                inside = False
            if not out and not any(earlier - at > CLOCKS_DIFFER for earlier in before):
                inside = True
        return inside

    def in_turn(self, at: datetime, *, out: bool) -> bool:
        """Whether who passes then goes out after somebody came in, or the other way round; more
        than five minutes before the latest passage, also with regard to the next one."""
        if all(passed - at <= CLOCKS_DIFFER for passed, _ in self.passages):
            return self.inside == out
        latest_first = sorted(self.passages, key=lambda passage: passage[0])[::-1]
        was_out = next((was_out for passed, was_out in latest_first if passed <= at), True)
        comes_out = [comes_out for passed, comes_out in latest_first if passed > at][-1]
        return out is not was_out and out is not comes_out

    @property
    def blocked(self) -> bool:
        return self.blocked_at(FOR_EVER)

    def blocked_at(self, at: datetime) -> bool:
        return any(start <= at < end or at == end == FOR_EVER for start, end in self.blocks)


@dataclass
class PlainBoxOffice:
    """Each command answers `ok`, `nothing` (nothing to do), or the name of what forbids it."""

    now: datetime
    customers: set[UUID] = field(default_factory=set)
    events: dict[UUID, PlainEvent] = field(default_factory=dict)
    orders: dict[UUID, PlainOrder] = field(default_factory=dict)
    tickets: dict[UUID, PlainTicket] = field(default_factory=dict)
    forgeries: dict[str, int] = field(default_factory=dict)

    # What there is

    def held(self, kind: UUID) -> int:
        waiting = [order for order in self.orders.values() if order.status == "placed"]
        return sum(list(order.tickets.values()).count(kind) for order in waiting)

    def sold(self, kind: UUID) -> int:
        return sum(
            order.tickets[ticket] == kind for order in self.orders.values() for ticket in order.sold
        )

    def committed(self, event_id: UUID) -> int:
        return sum(self.held(kind) + self.sold(kind) for kind in self.events[event_id].types)

    def revenue(self, event_id: UUID) -> int:
        orders = [order for order in self.orders.values() if order.event == event_id]
        return sum(order.prices[order.tickets[ticket]] for order in orders for ticket in order.sold)

    def order_of(self, ticket_id: UUID) -> UUID | None:
        return next((key for key, order in self.orders.items() if ticket_id in order.tickets), None)

    # Organizers

    def lead(self, event_id: UUID, step: str) -> str:
        event = self.events[event_id]
        before, after = {
            "publish": (("draft",), "published"),
            "start": (("published",), "ongoing"),
            "complete": (("ongoing",), "completed"),
            "cancel": (("draft", "published", "ongoing"), "cancelled"),
        }[step]
        if event.status == after:
            return "nothing"
        if event.status not in before:
            return "WrongEventStatus"
        if step == "publish" and self.now >= event.ends:
            return "EventOver"
        event.status = after
        event.over_since = self.now if after in {"completed", "cancelled"} else None
        return "ok"

    def change_capacity(self, event_id: UUID, capacity: int | None) -> str:
        event = self.events[event_id]
        if event.status in {"cancelled", "completed"}:
            return "EventCancelled" if event.status == "cancelled" else "EventOver"
        if capacity is not None and capacity < 1:
            return "InvalidEvent"
        if capacity is not None and capacity < self.committed(event_id):
            return "BelowCommitted"
        if capacity == event.capacity:
            return "nothing"
        event.capacity = capacity
        return "ok"

    def change_type(self, event_id: UUID, kind: UUID, price: int, quantity: int | None) -> str:
        event = self.events[event_id]
        offer = event.types[kind]
        if event.status in {"cancelled", "completed"}:
            return "EventCancelled" if event.status == "cancelled" else "EventOver"
        if price < 0:
            return "InvalidTicketType"
        if quantity is not None and quantity < self.held(kind) + self.sold(kind):
            return "BelowCommitted"
        if (price, quantity) == (offer.price, offer.quantity):
            return "nothing"
        offer.price, offer.quantity = price, quantity
        return "ok"

    # Orders

    def why_not_place(self, event_id: UUID, customer_id: UUID, wanted: dict[UUID, int]) -> set[str]:
        """Everything that forbids it; which of it is told is not laid down."""
        event = self.events[event_id]
        foreign = set(wanted) - set(event.types)
        forbids = {
            "NotFound": customer_id not in self.customers or bool(foreign),
            "EventCancelled": event.status == "cancelled",
            "EventOver": event.status == "completed",
            "NotOnSale": event.status == "draft" or self.now >= event.deadline,
            "SoldOut": event.capacity is not None
            and self.committed(event_id) + sum(wanted.values()) > event.capacity,
        }
        reasons = {name for name, applies in forbids.items() if applies}
        for kind in set(wanted) - foreign:
            reasons |= self._why_not_sell(event.types[kind], kind, wanted[kind])
        return reasons

    def _why_not_sell(self, offer: PlainType, kind: UUID, quantity: int) -> set[str]:
        left = (
            None if offer.quantity is None else offer.quantity - self.held(kind) - self.sold(kind)
        )
        too_early = offer.opens is not None and self.now < offer.opens
        too_late = offer.closes is not None and self.now >= offer.closes
        too_many = offer.most is not None and quantity > offer.most
        forbids = {
            "InvalidOrder": quantity < offer.least or too_many,
            "NotOnSale": too_early or too_late,
            "SoldOut": left is not None and quantity > left,
        }
        return {name for name, applies in forbids.items() if applies}

    def place(
        self, order_id: UUID, event_id: UUID, customer_id: UUID, wanted: dict[UUID, list[UUID]]
    ) -> None:
        types = self.events[event_id].types
        self.orders[order_id] = PlainOrder(
            event_id,
            customer_id,
            self.now + HOLD,
            {ticket: kind for kind, tickets in wanted.items() for ticket in tickets},
            {kind: types[kind].price for kind in wanted},
        )

    def pay(self, order_id: UUID, amount: int | None, reference: str) -> str:
        order = self.orders[order_id]
        is_paid = order.status in {"paid", "partly_refunded"}
        was_paid = is_paid or order.status == "refunded"
        told_before = order.total == 0 or reference == order.reference
        if was_paid and told_before and amount in {None, order.total}:
            return "nothing"
        offer = (reference, order.total if amount is None else amount)
        order.attempts += offer not in order.refused
        refusal = self._why_not_payable(order, is_paid, amount)
        if refusal is not None:
            if reference:
                order.refused.add(offer)
            return refusal
        order.status, order.reference = "paid", reference
        types = self.events[order.event].types
        for ticket, kind in order.tickets.items():
            self.tickets[ticket] = PlainTicket(
                order.event, kind, order.customer, types[kind].reentry, {}
            )
        return "ok"

    def _why_not_payable(self, order: PlainOrder, is_paid: bool, amount: int | None) -> str | None:
        event = self.events[order.event]
        if order.status == "expired" or (order.status == "placed" and self.now >= order.expires):
            return "HoldExpired"
        if order.status != "placed":
            return "AlreadyPaid" if is_paid else "WrongOrderStatus"
        if event.status in {"cancelled", "completed"}:
            return f"Event{'Cancelled' if event.status == 'cancelled' else 'Over'}"
        if amount not in {None, order.total}:
            return "AmountMismatch"
        return None

    def cancel(self, order_id: UUID) -> str:
        return self._end(self.orders[order_id], "cancelled")

    def expire(self, order_id: UUID) -> str:
        order = self.orders[order_id]
        if order.status == "placed" and self.now < order.expires:
            return "HoldStillRuns"
        return self._end(order, "expired")

    @staticmethod
    def _end(order: PlainOrder, status: str) -> str:
        if order.status == status:
            return "nothing"
        if order.status != "placed":
            return "WrongOrderStatus"
        order.status = status
        return "ok"

    def refund(self, order_id: UUID, tickets: set[UUID]) -> str:
        order = self.orders[order_id]
        if order.status == "refunded":
            return "nothing"
        if order.status not in {"paid", "partly_refunded"}:
            return "WrongOrderStatus"
        if not tickets <= set(order.tickets):
            return "NotFound"
        chosen = (tickets or set(order.tickets)) & order.sold
        if not chosen:
            return "nothing"
        order.refunded |= chosen
        order.status = "partly_refunded" if order.sold else "refunded"
        for ticket in chosen:
            self.tickets[ticket].void_since = self.now
        return "ok"

    # Tickets

    def transfer(self, ticket_id: UUID, to: UUID) -> str:
        ticket = self.tickets.get(ticket_id)
        if ticket is None:
            return "NotFound"
        status = self.events[ticket.event].status
        objections = {
            "canceled": ticket.void_since is not None,
            "blocked": ticket.blocked,
            "already_redeemed": ticket.admissions > 0,
            "same_holder": ticket.holder == to,
            "unknown_customer": to not in self.customers,
            "event_cancelled": status == "cancelled",
            "event_over": status == "completed",
        }
        outcome = next((reason for reason, applies in objections.items() if applies), "ok")
        if outcome == "ok":
            ticket.holder = to
        return outcome

    def block(self, ticket_id: UUID) -> str:
        ticket = self.tickets.get(ticket_id)
        if ticket is None:
            return "NotFound"
        if ticket.void_since is not None:
            return "TicketVoid"
        if ticket.blocked:
            return "nothing"
        ticket.blocks.append((self.now, FOR_EVER))
        return "ok"

    def unblock(self, ticket_id: UUID) -> str:
        ticket = self.tickets.get(ticket_id)
        if ticket is None:
            return "NotFound"
        if not ticket.blocked:
            return "nothing"
        ticket.blocks[-1] = (ticket.blocks[-1][0], self.now)
        return "ok"

    def scan(
        self,
        event_id: UUID,
        ticket_id: UUID | None,
        secret: str | None,
        at: datetime,
        *,
        out: bool,
        forced: bool,
    ) -> str:
        """`at` is what a scanner's clock tells."""
        ticket = self._shown(ticket_id, secret)
        if ticket is None:
            shown = str(ticket_id) if secret is None else secret
            self.forgeries[shown] = self.forgeries.get(shown, 0) + 1
            return self._why_none_such(ticket_id if secret is None else None)
        told_at = self.believed(event_id, ticket_id, secret, at)
        for objection in self._objections(ticket, event_id, secret, told_at, out=out):
            if not (forced and objection in OVERRIDABLE):
                return objection
        ticket.passages.append((told_at or self.now, out))
        ticket.admissions += not out
        return "ok"

    def believed(
        self, event_id: UUID, ticket_id: UUID | None, secret: str | None, at: datetime
    ) -> datetime | None:
        """That time, unless it is from before there was what is shown; of what is no ticket, from
        before there was the event."""
        ticket = self._shown(ticket_id, secret)
        since = self.events[event_id].made
        if ticket is not None:
            since = min(ticket.secrets.values()) if secret is None else ticket.secrets[secret]
        return at if at >= since - CLOCKS_DIFFER else None

    def _shown(self, ticket_id: UUID | None, secret: str | None) -> PlainTicket | None:
        ticket = self.tickets.get(ticket_id) if ticket_id is not None else None
        return ticket if ticket and secret in {None, *ticket.secrets} else None

    def _why_none_such(self, ticket_id: UUID | None) -> str:
        order_id = self.order_of(ticket_id) if ticket_id is not None else None
        if order_id is None:
            return "invalid"
        return "unpaid" if self.orders[order_id].status == "placed" else "canceled"

    def _objections(
        self,
        ticket: PlainTicket,
        event_id: UUID,
        secret: str | None,
        told_at: datetime | None,
        *,
        out: bool,
    ) -> list[str]:
        event = self.events[event_id]
        shown = list(ticket.secrets).index(secret) if secret is not None else 0
        _, *later = list(ticket.secrets.values())[shown:]
        at, real_at = told_at or FOR_EVER, told_at or self.now
        used_up = ticket.admissions > 0 and not ticket.reentry
        was_void = ticket.void_since is not None and ticket.void_since <= at
        was_over = event.over_since is not None and event.over_since <= real_at
        was_open = event.status != "draft" and event.doors <= real_at < event.ends
        objections = (
            ("revoked", secret is not None and later != [] and later[0] <= at),
            ("product", ticket.event != event_id),
            ("canceled", was_void and not out),
            ("blocked", ticket.blocked_at(at) and not out),
            ("invalid", out and not ticket.in_turn(at, out=True)),
            ("already_redeemed", not out and (used_up or not ticket.in_turn(at, out=False))),
            ("canceled", not out and was_over and event.status == "cancelled"),
            ("invalid_time", not out and (was_over or not was_open)),
        )
        return [reason for reason, applies in objections if applies]
