"""The language of imports: what each line of another system's record may say, and means here."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

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
from domain.customer import Profile
from domain.errors import Invalid
from domain.event import Details, Terms
from domain.ids import derived_id
from domain.limits import EARLIEST_YEAR, LATEST_YEAR, LONG, MOST_PER_ORDER, MOST_PLACES
from domain.money import to_minor
from domain.ticket import Scan

# PostgreSQL cannot store NUL; references are joined by a control character.
_TEXT, _NAME = r"^[^\0]*\Z", r"^[^\0-\x1f]*\Z"

Time = Annotated[datetime, msgspec.Meta(tz=True)]
Ref = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_NAME)]
Short = Annotated[str, msgspec.Meta(max_length=500, pattern=_TEXT)]
Long = Annotated[str, msgspec.Meta(max_length=LONG, pattern=_TEXT)]
Count = Annotated[int, msgspec.Meta(le=MOST_PLACES)]
Call = tuple[Callable[..., Any], dict[str, Any]]


@dataclass(frozen=True)
class Names:
    """The ids of another system's references, always the same for the same reference."""

    source: str

    def __post_init__(self) -> None:
        """Raises `Invalid` for a source that names nothing."""
        if not self.source.strip() or not self.source.isprintable() or ":/" in self.source:
            raise Invalid("A source has a name of printable characters, without ':/' in it.")

    def id(self, kind: str, *reference: str) -> UUID:
        return derived_id("import", self.source, kind, *reference)


class Line(msgspec.Struct, tag_field="command", forbid_unknown_fields=True, kw_only=True):
    """One command of the record."""

    at: Time

    def __post_init__(self) -> None:
        """Times in UTC; raises `ValueError`, which the decoder reports, for one near the calendar's
        ends."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, datetime):
                if not EARLIEST_YEAR <= value.year <= LATEST_YEAR:
                    raise ValueError(f"`{name}` is not between {EARLIEST_YEAR} and {LATEST_YEAR}")
                setattr(self, name, value.astimezone(UTC))

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
    tickets: Annotated[list[TicketLine], msgspec.Meta(max_length=MOST_PER_ORDER)]
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


decode = msgspec.json.Decoder(
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
"""The command in a line; raises what msgspec does, `UnicodeDecodeError` or `RecursionError`."""
