"""Moving in from another system: its record, in JSON Lines, through the same domain rules.

Every line carries an idempotency key made from its text, kept for ever and in the transaction
of its events. So an import can be killed anywhere and run again, as often as one likes.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec

from application.composition import Turnstile
from application.customers import register_customer
from application.events import create_event, publish_event
from application.gate import check_in, transfer_ticket
from application.orders import (
    Wish,
    cancel_order,
    expire_order,
    pay_order,
    place_order,
    refund_order,
)
from application.presenting import show, show_check_in
from application.store.group_commit import LARGEST_BATCH, Outcome
from application.store.work import Command, Context, Key
from domain.customer import Profile
from domain.errors import DomainError
from domain.event import Details, Terms
from domain.ids import derived_id
from domain.money import to_minor
from domain.ticket import Scan

Time = Annotated[datetime, msgspec.Meta(tz=True)]
Ref = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Call = tuple[Callable[..., Any], dict[str, Any]]


@dataclass(frozen=True)
class Names:
    """The ids of another system's references, always the same for the same reference."""

    source: str

    def id(self, kind: str, *reference: str) -> UUID:
        return derived_id("import", self.source, kind, *reference)


class Line(msgspec.Struct, tag_field="command", forbid_unknown_fields=True, kw_only=True):
    """One command of the record."""

    at: Time

    def call(self, names: Names, hold: timedelta) -> Call:
        """The use case, and its arguments."""
        raise NotImplementedError


class Organizer(msgspec.Struct):
    ref: Ref
    name: str


class TicketTypeLine(msgspec.Struct, forbid_unknown_fields=True):
    ref: Ref
    name: str
    price: str
    quantity: int | None = None
    reentry: bool = True


class CreateEvent(Line, tag="create_event"):
    event: Ref
    title: str
    organizer: Organizer
    starts_at: Time
    ends_at: Time
    currency: str
    ticket_types: list[TicketTypeLine]
    category: str = ""
    description: str = ""
    venue: str = ""
    online: bool = False
    timezone: str = "UTC"
    capacity: int | None = None

    def call(self, names: Names, hold: timedelta) -> Call:
        copied = {
            name: getattr(self, name)
            for name in self.__struct_fields__
            if name not in ("at", "event", "organizer", "ticket_types")
        }
        details = Details(
            organizer_id=names.id("organizer", self.organizer.ref),
            organizer_name=self.organizer.name,
            **copied,
        )
        types = [
            (
                names.id("ticket_type", self.event, kind.ref),
                Terms(
                    name=kind.name,
                    price=to_minor(kind.price, self.currency),
                    quantity=kind.quantity,
                    reentry=kind.reentry,
                ),
            )
            for kind in self.ticket_types
        ]
        event_id = names.id("event", self.event)
        return create_event, {"event_id": event_id, "details": details, "ticket_types": types}


class PublishEvent(Line, tag="publish_event"):
    event: Ref

    def call(self, names: Names, hold: timedelta) -> Call:
        return publish_event, {"event_id": names.id("event", self.event)}


class RegisterCustomer(Line, tag="register_customer"):
    customer: Ref
    name: str
    email: str
    country: str = ""
    phone: str = ""

    def call(self, names: Names, hold: timedelta) -> Call:
        profile = Profile(self.name, self.email, self.phone, self.country)
        return register_customer, {
            "customer_id": names.id("customer", self.customer),
            "profile": profile,
        }


class TicketLine(msgspec.Struct, forbid_unknown_fields=True):
    ref: Ref
    ticket_type: Ref


class PlaceOrder(Line, tag="place_order"):
    order: Ref
    event: Ref
    customer: Ref
    payment_method: str
    tickets: list[TicketLine]
    expires_at: Time | None = None

    def call(self, names: Names, hold: timedelta) -> Call:
        by_type: dict[str, list[UUID]] = {}
        for ticket in self.tickets:
            by_type.setdefault(ticket.ticket_type, []).append(names.id("ticket", ticket.ref))
        return place_order, {
            "order_id": names.id("order", self.order),
            "event_id": names.id("event", self.event),
            "customer_id": names.id("customer", self.customer),
            "wishes": [
                Wish(names.id("ticket_type", self.event, kind), len(ids), ids)
                for kind, ids in by_type.items()
            ],
            "payment_method": self.payment_method,
            "hold": hold if self.expires_at is None else self.expires_at - self.at,
        }


class PayOrder(Line, tag="pay_order"):
    order: Ref
    method: str
    reference: str = ""

    def call(self, names: Names, hold: timedelta) -> Call:
        return pay_order, {
            "order_id": names.id("order", self.order),
            "method": self.method,
            "reference": self.reference,
        }


class CancelOrder(Line, tag="cancel_order"):
    order: Ref
    reason: str = ""

    def call(self, names: Names, hold: timedelta) -> Call:
        return cancel_order, {"order_id": names.id("order", self.order), "reason": self.reason}


class RefundOrder(Line, tag="refund_order"):
    order: Ref
    reason: str = ""
    tickets: list[Ref] = []

    def call(self, names: Names, hold: timedelta) -> Call:
        return refund_order, {
            "order_id": names.id("order", self.order),
            "ticket_ids": [names.id("ticket", ref) for ref in self.tickets],
            "reason": self.reason,
        }


class ExpireOrder(Line, tag="expire_order"):
    order: Ref

    def call(self, names: Names, hold: timedelta) -> Call:
        return expire_order, {"order_id": names.id("order", self.order)}


class TransferTicket(Line, tag="transfer_ticket"):
    ticket: Ref
    to_customer: Ref
    reason: str = ""

    def call(self, names: Names, hold: timedelta) -> Call:
        return transfer_ticket, {
            "ticket_id": names.id("ticket", self.ticket),
            "to_customer_id": names.id("customer", self.to_customer),
            "reason": self.reason,
        }


class ScanTicket(Line, tag="scan_ticket"):
    ticket: Ref
    event: Ref
    scanner: str = ""
    location: str = ""
    type: str = "entry"

    def call(self, names: Names, hold: timedelta) -> Call:
        event_id = names.id("event", self.event)
        scan = Scan(event_id, self.type, self.scanner, self.location)
        return check_in, {
            "scan": scan,
            "event_id": event_id,
            "ticket_id": names.id("ticket", self.ticket),
        }


_decode = msgspec.json.Decoder(
    CreateEvent
    | PublishEvent
    | RegisterCustomer
    | PlaceOrder
    | PayOrder
    | CancelOrder
    | RefundOrder
    | ExpireOrder
    | TransferTicket
    | ScanTicket
).decode


@dataclass(frozen=True)
class Refusal:
    """A line that was refused: its number (from 1), the rule or "unreadable", and the reason."""

    line: int
    rule: str
    reason: str


@dataclass
class Summary:
    """What an import came to, in lines; `already` were imported (or refused) before."""

    lines: int = 0
    applied: int = 0
    already: int = 0
    refused: int = 0
    position: int = 0


@dataclass
class _Chunk:
    """Lines that go to the executor together."""

    numbers: list[int] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)


class Importer:
    """Imports one system's record; `refused` hears of each refused line as it happens."""

    def __init__(
        self, turnstile: Turnstile, source: str, refused: Callable[[Refusal], None]
    ) -> None:
        self._turnstile = turnstile
        self._source = source
        self._names = Names(source)
        self._refused = refused
        self._seen: Counter[bytes] = Counter()
        self.summary = Summary()

    def run(self, lines: Iterable[bytes]) -> Iterator[Summary]:
        """Import all lines, in order; yields the summary so far after every transaction."""
        chunk = _Chunk()
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            self.summary.lines += 1
            self._take(chunk, number, line.strip())
            if len(chunk.commands) == LARGEST_BATCH:
                self._execute(chunk)
                chunk = _Chunk()
                yield self.summary
        self._execute(chunk)
        yield self.summary

    def _take(self, chunk: _Chunk, number: int, text: bytes) -> None:
        try:
            chunk.commands.append(self._command(text))
            chunk.numbers.append(number)
        except msgspec.MsgspecError as error:
            self._refuse(number, "unreadable", str(error))
        except DomainError as error:
            self._refuse(number, error.rule(), error.detail)

    def _command(self, text: bytes) -> Command:
        line = _decode(text)
        decide, arguments = line.call(self._names, self._turnstile.settings.hold)
        context = Context(actor=f"import:{self._source}", source=self._source, at=line.at)
        present = show_check_in if decide is check_in else show
        return Command(decide, arguments, context, present, keys=(self._key(text),))

    def _key(self, text: bytes) -> Key:
        """The same line a second time in one file is a second command: hence the count."""
        digest = hashlib.sha256(text).digest()
        self._seen[digest] += 1
        return Key(f"import:{self._source}", f"{digest.hex()}:{self._seen[digest]}")

    def _execute(self, chunk: _Chunk) -> None:
        outcomes = self._turnstile.executor.execute_all(chunk.commands)
        for number, outcome in zip(chunk.numbers, outcomes, strict=True):
            self._note(number, outcome)

    def _note(self, number: int, outcome: Outcome) -> None:
        if isinstance(outcome, DomainError):
            self.summary.already += outcome.replayed
            self._refuse(number, outcome.rule(), outcome.detail)
        elif isinstance(outcome, Exception):
            raise outcome
        else:
            self.summary.already += outcome.replayed
            self.summary.applied += not outcome.replayed
            self.summary.position = max(self.summary.position, outcome.position)

    def _refuse(self, number: int, rule: str, reason: str) -> None:
        self.summary.refused += 1
        self._refused(Refusal(number, rule, reason))
