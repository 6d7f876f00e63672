"""Moving in from another system: its record, in JSON Lines, through the same domain rules.

Every line carries an idempotency key made from its text, kept for ever and in the transaction
of its events. So an import can be killed anywhere and run again, as often as one likes.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import select

from application.composition import Turnstile
from application.customers import register_customer
from application.events import (
    cancel_event,
    complete_event,
    create_event,
    publish_event,
    start_event,
)
from application.gate import check_in, transfer_ticket
from application.orders import (
    Wish,
    cancel_order,
    expire_order,
    pay_order,
    place_order,
    refund_order,
)
from application.store.group_commit import LARGEST_BATCH
from application.store.tables import events
from application.store.work import Command, Context, Key, Outcome, Work
from domain.aggregate import Aggregate
from domain.customer import Profile
from domain.errors import AlreadyExists, DomainError
from domain.event import Details, Terms
from domain.ids import derived_id
from domain.money import to_minor
from domain.order import Order
from domain.ticket import Scan

SLICE = 500
MOST_PER_ORDER = 1000
EARLIEST_YEAR, LATEST_YEAR = 1900, 9998

# PostgreSQL cannot store NUL; references are joined by a control character.
_TEXT, _NAME = r"^[^\0]*\Z", r"^[^\0-\x1f]*\Z"

Time = Annotated[datetime, msgspec.Meta(tz=True)]
Ref = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_NAME)]
Short = Annotated[str, msgspec.Meta(max_length=500, pattern=_TEXT)]
Long = Annotated[str, msgspec.Meta(max_length=20_000, pattern=_TEXT)]
Count = Annotated[int, msgspec.Meta(le=10_000_000)]
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

    def __post_init__(self) -> None:
        """Raises `ValueError`, which the decoder reports, for a time near the calendar's ends."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, datetime) and not EARLIEST_YEAR <= value.year <= LATEST_YEAR:
                raise ValueError(f"`{name}` is not between {EARLIEST_YEAR} and {LATEST_YEAR}")

    def call(self, names: Names, hold: timedelta) -> Call:
        """The use case, and its arguments."""
        raise NotImplementedError


class Organizer(msgspec.Struct, forbid_unknown_fields=True):
    ref: Ref
    name: Short


class TicketTypeLine(msgspec.Struct, forbid_unknown_fields=True):
    ref: Ref
    name: Short
    price: str
    quantity: Count | None = None
    reentry: bool = True


class CreateEvent(Line, tag="create_event"):
    event: Ref
    title: Short
    organizer: Organizer
    starts_at: Time
    ends_at: Time
    currency: str
    ticket_types: list[TicketTypeLine]
    category: Short = ""
    description: Long = ""
    venue: Short = ""
    online: bool = False
    timezone: Short = "UTC"
    capacity: Count | None = None

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


class StartEvent(Line, tag="start_event"):
    event: Ref

    def call(self, names: Names, hold: timedelta) -> Call:
        return start_event, {"event_id": names.id("event", self.event)}


class CompleteEvent(Line, tag="complete_event"):
    event: Ref

    def call(self, names: Names, hold: timedelta) -> Call:
        return complete_event, {"event_id": names.id("event", self.event)}


class CancelEvent(Line, tag="cancel_event"):
    event: Ref
    reason: Short = ""

    def call(self, names: Names, hold: timedelta) -> Call:
        return cancel_event, {"event_id": names.id("event", self.event), "reason": self.reason}


class RegisterCustomer(Line, tag="register_customer"):
    customer: Ref
    name: Short
    email: Short
    country: Short = ""
    phone: Short = ""

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
    payment_method: Short
    tickets: Annotated[list[TicketLine], msgspec.Meta(max_length=1000)]
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
    method: Short
    reference: Short = ""

    def call(self, names: Names, hold: timedelta) -> Call:
        return pay_order, {
            "order_id": names.id("order", self.order),
            "method": self.method,
            "reference": self.reference,
        }


class CancelOrder(Line, tag="cancel_order"):
    order: Ref
    reason: Short = ""

    def call(self, names: Names, hold: timedelta) -> Call:
        return cancel_order, {"order_id": names.id("order", self.order), "reason": self.reason}


class RefundOrder(Line, tag="refund_order"):
    order: Ref
    reason: Short = ""
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
    reason: Short = ""

    def call(self, names: Names, hold: timedelta) -> Call:
        return transfer_ticket, {
            "ticket_id": names.id("ticket", self.ticket),
            "to_customer_id": names.id("customer", self.to_customer),
            "reason": self.reason,
        }


class ScanTicket(Line, tag="scan_ticket"):
    ticket: Ref
    event: Ref
    scanner: Short = ""
    location: Short = ""
    type: Literal["entry", "exit"] = "entry"

    def call(self, names: Names, hold: timedelta) -> Call:
        event_id = names.id("event", self.event)
        scan = Scan(event_id, self.type, self.scanner, self.location)
        return check_in, {
            "scan": scan,
            "event_id": event_id,
            "ticket_id": names.id("ticket", self.ticket),
        }


def place_foreign_order(
    work: Work, wishes: list[Wish], issued: Container[UUID], **arguments: Any
) -> Order:
    """Place an order whose tickets had ids before; raises `AlreadyExists` if one was issued."""
    if any(ticket_id in issued for wish in wishes for ticket_id in wish.ticket_ids):
        raise AlreadyExists("A ticket of the order was issued in another order already.")
    return place_order(work, wishes=wishes, **arguments)


def _nothing(_: Any) -> dict[str, Any]:
    """What is kept of an answer: who imports asks only whether there was one."""
    return {}


_decode = msgspec.json.Decoder(
    CreateEvent
    | PublishEvent
    | StartEvent
    | CompleteEvent
    | CancelEvent
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
    issued: set[UUID] = field(default_factory=set)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether its lines fill a transaction, were they commands all."""
        return len(self.commands) + len(self.refusals) >= LARGEST_BATCH


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
        self._order_of: dict[str, str] = {}
        self.summary = Summary()

    def run(self, lines: Iterable[bytes]) -> Iterator[Summary]:
        """Import all lines, in order; yields the summary so far after every transaction."""
        chunk = _Chunk()
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            self.summary.lines += 1
            self._take(chunk, number, line.strip())
            if chunk.full:
                self._execute(chunk)
                chunk = _Chunk()
                yield self.summary
        self._execute(chunk)
        yield self.summary

    def _take(self, chunk: _Chunk, number: int, text: bytes) -> None:
        try:
            chunk.commands.append(self._command(text, chunk.issued))
            chunk.numbers.append(number)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            chunk.refusals.append(Refusal(number, "unreadable", str(error)))
        except DomainError as error:
            chunk.refusals.append(Refusal(number, error.rule(), error.detail))

    def _command(self, text: bytes, issued: set[UUID]) -> Command:
        line = _decode(text)
        decide, arguments = line.call(self._names, self._turnstile.settings.hold)
        if isinstance(line, PlaceOrder):
            self._claim(line)
            decide, arguments = place_foreign_order, {**arguments, "issued": issued}
        context = Context(actor=f"import:{self._source}", source=self._source, at=line.at)
        return Command(decide, arguments, context, _nothing, keys=(self._key(text),))

    def _claim(self, line: PlaceOrder) -> None:
        """Raises `AlreadyExists` for a ticket that stands in an earlier order of the file."""
        for ticket in line.tickets:
            order = self._order_of.setdefault(ticket.ref, line.order)
            if order != line.order:
                raise AlreadyExists(f"Ticket {ticket.ref!r} stands in order {order!r} already.")

    def _key(self, text: bytes) -> Key:
        """The same line a second time in one file is a second command: hence the count."""
        digest = hashlib.sha256(text).digest()
        self._seen[digest] += 1
        return Key(f"import:{self._source}", f"{digest.hex()}:{self._seen[digest]}")

    def _execute(self, chunk: _Chunk) -> None:
        chunk.issued.update(self._existing(chunk))
        outcomes = self._turnstile.executor.execute_all(chunk.commands)
        for number, outcome in zip(chunk.numbers, outcomes, strict=True):
            self._note(chunk, number, outcome)
        self.summary.refused += len(chunk.refusals)
        for refusal in sorted(chunk.refusals, key=attrgetter("line")):
            self._refused(refusal)

    def _existing(self, chunk: _Chunk) -> list[UUID]:
        """Tickets of the chunk's orders that are issued: by these orders, or by others."""
        ticket_ids = [
            ticket_id
            for command in chunk.commands
            for wish in command.arguments.get("wishes", ())
            for ticket_id in wish.ticket_ids
        ]
        existing: list[UUID] = []
        with self._turnstile.engine.connect() as connection:
            for start in range(0, len(ticket_ids), SLICE):
                first_events = select(events.c.stream_id).where(
                    events.c.stream_id.in_(ticket_ids[start : start + SLICE]),
                    events.c.version == Aggregate.INITIAL_VERSION,
                )
                existing.extend(connection.execute(first_events).scalars())
        return existing

    def _note(self, chunk: _Chunk, number: int, outcome: Outcome) -> None:
        if isinstance(outcome, DomainError):
            self.summary.already += outcome.replayed
            chunk.refusals.append(Refusal(number, outcome.rule(), outcome.detail))
        elif isinstance(outcome, Exception):
            raise outcome
        else:
            self.summary.already += outcome.replayed
            self.summary.applied += not outcome.replayed
            self.summary.position = max(self.summary.position, outcome.position)
