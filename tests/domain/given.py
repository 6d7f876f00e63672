"""What tests of the domain start from: a festival in a month, its orders and tickets."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from domain.aggregate import Aggregate, Fact
from domain.customer import Customer, Profile
from domain.event import Details, Event, Terms
from domain.order import Line, Order, Sale
from domain.ticket import Scan, Ticket

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DOORS = NOW + timedelta(days=30)
START = DOORS + timedelta(hours=2)
END = START + timedelta(days=3)
HOLD_ENDS = NOW + timedelta(minutes=30)
MOMENT = timedelta(microseconds=1)

FESTIVAL, OTHER_FESTIVAL, ORGANIZER = UUID(int=1), UUID(int=2), UUID(int=3)
ADULT, KID, CAMPER = UUID(int=11), UUID(int=12), UUID(int=13)
ORDER, OTHER_ORDER = UUID(int=21), UUID(int=22)
ANNA, BORIS, CLARA = UUID(int=31), UUID(int=32), UUID(int=33)
FIRST, SECOND, THIRD, STRANGE = UUID(int=41), UUID(int=42), UUID(int=43), UUID(int=44)

SECRET, NEW_SECRET = "the first secret", "the second secret"


def last(aggregate: Aggregate) -> Fact:
    """What was decided last."""
    fact = aggregate.pending_events[-1]
    assert isinstance(fact, Fact)
    return fact


def details(**changes: Any) -> Details:
    sound: dict[str, Any] = {
        "title": "Midsummer",
        "organizer_id": ORGANIZER,
        "organizer_name": "Anna's barn",
        "starts_at": START,
        "ends_at": END,
        "currency": "GBP",
        "doors_open_at": DOORS,
    }
    return Details(**sound | changes)


def terms(**changes: Any) -> Terms:
    sound: dict[str, Any] = {"name": "Adult", "price": 5000, "quantity": 10}
    return Terms(**sound | changes)


def drafted(adult: Terms | None = None, **changes: Any) -> Event:
    event = Event.draft(FESTIVAL, details(**changes), NOW)
    event.add_ticket_type(ADULT, adult or terms(), NOW)
    event.add_ticket_type(KID, terms(name="Kid", price=1000, quantity=5), NOW)
    return event


def on_sale(adult: Terms | None = None, **changes: Any) -> Event:
    event = drafted(adult, **changes)
    event.publish(NOW)
    return event


def led_to(status: str) -> Event:
    """A festival at that point of its life."""
    event = drafted()
    for lead in {
        "draft": (),
        "published": (event.publish,),
        "ongoing": (event.publish, event.start),
        "completed": (event.publish, event.start, event.complete),
        "cancelled": (event.publish, lambda now: event.cancel("storm", now)),
    }[status]:
        lead(NOW)
    return event


def sale(**changes: Any) -> Sale:
    usual: dict[str, Any] = {
        "event_id": FESTIVAL,
        "customer_id": ANNA,
        "country": "GB",
        "payment_method": "card",
        "currency": "GBP",
    }
    return Sale(**usual | changes)


def placed(*lines: Line) -> Order:
    """An order for two adults and a kid, unless other lines are given: 110.00 GBP."""
    usual = (Line(ADULT, 5000, [FIRST, SECOND]), Line(KID, 1000, [THIRD]))
    return Order.place(ORDER, sale(), list(lines or usual), HOLD_ENDS, NOW)


def paid() -> Order:
    order = placed()
    assert order.pay("card", "ch_1", 11000, NOW) is None
    return order


def issued(*, reentry: bool = True) -> Ticket:
    return Ticket.issue(
        FIRST,
        event_id=FESTIVAL,
        ticket_type_id=ADULT,
        order_id=ORDER,
        holder_id=ANNA,
        secret=SECRET,
        reentry=reentry,
        now=NOW,
    )


def entry(**changes: Any) -> Scan:
    usual: dict[str, Any] = {"event_id": FESTIVAL, "scanner_id": "gate 1", "location": "north"}
    return Scan(**usual | changes)


def scan(ticket: Ticket, secret: str | None = SECRET, why_not: str | None = None, **of: Any) -> str:
    """The reason of a refusal, or `ok`."""
    return ticket.present(entry(**of), secret, why_not=why_not, now=DOORS) or "ok"


def admitted(*, reentry: bool = True) -> Ticket:
    ticket = issued(reentry=reentry)
    assert scan(ticket) == "ok"
    return ticket


def transferred() -> Ticket:
    ticket = issued()
    assert transfer(ticket) == "ok"
    return ticket


def transfer(
    ticket: Ticket,
    to: UUID = BORIS,
    secret: str = NEW_SECRET,
    why_not: str | None = None,
    now: datetime = NOW,
) -> str:
    """The reason of a refusal, or `ok`."""
    return ticket.transfer(to, secret, "a present", why_not=why_not, now=now) or "ok"


def registered() -> Customer:
    profile = Profile("Anna", "anna@example.org", "+44 20 7946 0000", "GB")
    return Customer.register(ANNA, profile, NOW)
