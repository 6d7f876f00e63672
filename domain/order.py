"""The life of an order: held, paid, perhaps refunded; or cancelled, or expired."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.domain import event as records

from domain.aggregate import Aggregate, FirstFact
from domain.errors import (
    AlreadyPaid,
    AmountMismatch,
    DomainError,
    HoldExpired,
    HoldStillRuns,
    InvalidOrder,
    NotFound,
    WrongOrderStatus,
)
from domain.event import Quantities
from domain.limits import SHORT, require_length

REFUNDABLE = ("paid", "partly_refunded")
WAS_PAID = (*REFUNDABLE, "refunded")
Amounts = dict[UUID, int]


@dataclass(frozen=True)
class Sale:
    """The order in the terms by which sales are counted."""

    event_id: UUID
    customer_id: UUID
    country: str
    payment_method: str
    currency: str


@dataclass(frozen=True)
class Offer:
    """A payment as it was offered; `amount` in minor units, None where it was not recorded."""

    method: str
    reference: str
    amount: int | None


@dataclass(frozen=True)
class Line:
    """Tickets of one type, at the price (minor units) of the moment they were held."""

    ticket_type_id: UUID
    unit_price: int
    ticket_ids: list[UUID]


class Order(Aggregate):
    TOPIC: ClassVar[str] = "Order"
    class_version = 3
    status: str
    sale: Sale
    reference: str
    lines: list[Line]
    total: int
    expires_at: datetime
    payment_attempts: int
    refused_payments: list[Offer]
    refunded_tickets: list[UUID]

    class Placed(FirstFact):
        TOPIC = "Order.Placed"
        sale: Sale
        lines: list[Line]
        total: int
        expires_at: datetime

    class Paid(Aggregate.Event):
        TOPIC = "Order.Paid"
        sale: Sale
        reference: str
        quantities: Quantities
        amounts: Amounts

    class PaymentRefused(Aggregate.Event):
        TOPIC = "Order.PaymentRefused"
        class_version = 2
        sale: Sale
        reference: str
        amount: int | None
        refusal: str

        @staticmethod
        def upcast_v1_v2(content: dict[str, Any]) -> None:
            """What was offered was not recorded."""
            content["amount"] = None

    class Refunded(Aggregate.Event):
        TOPIC = "Order.Refunded"
        sale: Sale
        reason: str
        ticket_ids: list[UUID]
        quantities: Quantities
        amounts: Amounts
        whole: bool

    class Cancelled(Aggregate.Event):
        TOPIC = "Order.Cancelled"
        sale: Sale
        reason: str
        quantities: Quantities

    class Expired(Aggregate.Event):
        TOPIC = "Order.Expired"
        sale: Sale
        quantities: Quantities

    def __init__(self, sale: Sale, lines: list[Line], total: int, expires_at: datetime) -> None:
        self.status = "placed"
        self.sale = sale
        self.reference = ""
        self.lines = lines
        self.total = total
        self.expires_at = expires_at
        self.payment_attempts = 0
        self.refused_payments = []
        self.refunded_tickets = []

    @classmethod
    def place(
        cls, order_id: UUID, sale: Sale, lines: list[Line], expires_at: datetime, now: datetime
    ) -> "Order":
        require_length("payment method", sale.payment_method, SHORT, InvalidOrder)
        if not lines or any(not line.ticket_ids for line in lines):
            raise InvalidOrder("An order has at least one ticket in every line.")
        if len({line.ticket_type_id for line in lines}) != len(lines):
            raise InvalidOrder("Each ticket type has one line.")
        ticket_ids = [ticket_id for line in lines for ticket_id in line.ticket_ids]
        if len(set(ticket_ids)) != len(ticket_ids):
            raise InvalidOrder("No ticket stands in an order twice.")
        if expires_at <= now:
            raise InvalidOrder("An order's hold ends after the order is placed.")
        return cls._create(
            cls.Placed,
            id=order_id,
            sale=sale,
            lines=lines,
            total=sum(line.unit_price * len(line.ticket_ids) for line in lines),
            expires_at=expires_at,
            timestamp=now,
        )

    def pay(
        self,
        method: str,
        reference: str,
        amount: int | None,
        now: datetime,
        why_not: DomainError | None = None,
    ) -> DomainError | None:
        """Take the payment; what is wrong with it is recorded, and returned.

        `amount` is in minor units; None stands for the order's total. `why_not` is what speaks
        against it outside of the order. To hear of the payment that paid the order once more is no
        event, nor of one that was refused, by its reference; any other is money to give back.
        """
        require_length("payment method", method, SHORT, InvalidOrder)
        if self.status in WAS_PAID and self._was_paid_by(method, reference, amount):
            return None
        refusal = self._why_not_payable(amount, now, why_not)
        if refusal is not None:
            offer = Offer(method, reference, self.total if amount is None else amount)
            if not reference or offer not in self.refused_payments:
                self._payment_refused(
                    sale=replace(self.sale, payment_method=method),
                    reference=reference,
                    amount=offer.amount,
                    refusal=refusal.rule(),
                    timestamp=now,
                )
            return refusal
        self._paid(
            sale=replace(self.sale, payment_method=method),
            reference=reference,
            quantities=self.quantities,
            amounts=self._amounts(self.quantities),
            timestamp=now,
        )
        return None

    @records(Paid)
    def _paid(
        self,
        sale: Sale,
        reference: str,
        quantities: Quantities,
        amounts: Amounts,
        timestamp: datetime,
    ) -> None:
        self.status = "paid"
        self.sale = sale
        self.reference = reference
        self.payment_attempts += 1

    @records(PaymentRefused)
    def _payment_refused(
        self, sale: Sale, reference: str, amount: int | None, refusal: str, timestamp: datetime
    ) -> None:
        self.payment_attempts += 1
        offer = Offer(sale.payment_method, reference, amount)
        self.refused_payments = [*self.refused_payments, offer]

    def cancel(self, reason: str, now: datetime) -> None:
        if self.status == "cancelled":
            return
        self._require_status("placed")
        self._cancelled(sale=self.sale, reason=reason, quantities=self.quantities, timestamp=now)

    @records(Cancelled)
    def _cancelled(
        self, sale: Sale, reason: str, quantities: Quantities, timestamp: datetime
    ) -> None:
        self.status = "cancelled"

    def expire(self, now: datetime) -> None:
        if self.status == "expired":
            return
        self._require_status("placed")
        if now < self.expires_at:
            raise HoldStillRuns(f"The hold runs until {self.expires_at.isoformat()}.")
        self._expired(sale=self.sale, quantities=self.quantities, timestamp=now)

    @records(Expired)
    def _expired(self, sale: Sale, quantities: Quantities, timestamp: datetime) -> None:
        self.status = "expired"

    def refund(
        self, ticket_ids: Collection[UUID], reason: str, now: datetime
    ) -> "Order.Refunded | None":
        """Refund those tickets, or all that are left when none is named."""
        if self.status == "refunded":
            return None
        self._require_status(*REFUNDABLE)
        self._require_own(ticket_ids)
        chosen = set(ticket_ids or self.ticket_ids) - set(self.refunded_tickets)
        if not chosen:
            return None
        ordered = [ticket_id for ticket_id in self.ticket_ids if ticket_id in chosen]
        quantities = self._quantities(ordered)
        self._refunded(
            sale=self.sale,
            reason=reason,
            ticket_ids=ordered,
            quantities=quantities,
            amounts=self._amounts(quantities),
            whole=len(self.refunded_tickets) + len(ordered) == len(self.ticket_ids),
            timestamp=now,
        )
        refunded = self.pending_events[-1]
        assert isinstance(refunded, Order.Refunded)  # nosec B101 # for the type checker
        return refunded

    @records(Refunded)
    def _refunded(
        self,
        sale: Sale,
        reason: str,
        ticket_ids: list[UUID],
        quantities: Quantities,
        amounts: Amounts,
        whole: bool,
        timestamp: datetime,
    ) -> None:
        self.refunded_tickets = [*self.refunded_tickets, *ticket_ids]
        self.status = "refunded" if whole else "partly_refunded"

    @property
    def ticket_ids(self) -> list[UUID]:
        """Every ticket of the order, in the order of its lines."""
        return [ticket_id for line in self.lines for ticket_id in line.ticket_ids]

    @property
    def quantities(self) -> Quantities:
        """How many tickets of each type."""
        return self._quantities(self.ticket_ids)

    def _quantities(self, ticket_ids: Collection[UUID]) -> Quantities:
        wanted = set(ticket_ids)
        counts = {
            line.ticket_type_id: len(wanted.intersection(line.ticket_ids)) for line in self.lines
        }
        return {kind: count for kind, count in counts.items() if count}

    def _amounts(self, quantities: Quantities) -> Amounts:
        prices = {line.ticket_type_id: line.unit_price for line in self.lines}
        return {kind: count * prices[kind] for kind, count in quantities.items()}

    def _was_paid_by(self, method: str, reference: str, amount: int | None) -> bool:
        same = (method, reference) == (self.sale.payment_method, self.reference)
        return amount in (None, self.total) and (same or self.total == 0)

    def _why_not_payable(
        self, amount: int | None, now: datetime, why_not: DomainError | None
    ) -> DomainError | None:
        if self.status == "expired" or (self.status == "placed" and now >= self.expires_at):
            return HoldExpired(f"The hold ran until {self.expires_at.isoformat()}.")
        if self.status in REFUNDABLE:
            return AlreadyPaid("It was paid by another payment; this one is to be given back.")
        if self.status != "placed":
            return WrongOrderStatus(f"The order is {self.status}; it cannot be paid.")
        if why_not is None and amount not in (None, self.total):
            return AmountMismatch()
        return why_not

    def _require_status(self, *statuses: str) -> None:
        if self.status not in statuses:
            raise WrongOrderStatus(f"The order is {self.status}, not {' or '.join(statuses)}.")

    def _require_own(self, ticket_ids: Collection[UUID]) -> None:
        unknown = set(ticket_ids) - set(self.ticket_ids)
        if unknown:
            raise NotFound(f"The order has no ticket {min(map(str, unknown))}.")
