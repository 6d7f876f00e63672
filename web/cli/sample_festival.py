"""A small festival of our own making, as the record of another system: what the demo loads.

Heron Meadow is going on, its concert is sold out and its talk is free. Every name is invented,
and chance is seeded: on one day it is always the same story, told up to `now`.
"""

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

SOURCE, ORGANIZER = "heron-meadow", "collective"
FESTIVAL, CONCERT, TALK = "meadow", "tin-owls", "swifts"
STORY = "meadow-1.2"
"""The ticket that Ines bought and handed to Tomasz, who has not come through the gate yet."""

SEED = 20
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86400))
HOLD, BANK_HOLD = 30 * MINUTE, 5 * DAY

FIRST_NAMES = """
Abena Aled Anouk Bram Ciara Dilys Elif Emeka Fatima Freya Giulia Hamish Idris Jonas Kezia Lotte
Mairi Mateo Nadia Niamh Oskar Priya Rhys Saoirse Soren Tamsin Wren Yusuf
"""
LAST_NAMES = """
Achterberg Bellweather Carrow Dunmore Eskdale Fennimore Greenhalgh Hollis Ibbotson Jessop Kirkby
Lindqvist Marchetti Nwosu Okafor Penhaligon Quill Rasmussen Sandhu Thistlewood Underhill Vasquez
Whitlock Yarrow
"""
COUNTRIES = {"GB": 78, "IE": 8, "NL": 5, "DE": 4, "FR": 3, "SE": 2}
METHODS = {"card": 72, "paypal": 18, "bank_transfer": 10}
REASONS = ("cannot come", "a present", "sold on to a friend")
GATES = ("River gate", "Mill gate", "Orchard gate")
GROUPS = {
    "weekend": 22,
    "weekend weekend": 30,
    "weekend weekend child": 8,
    "weekend weekend child child": 8,
    "weekend weekend van": 8,
    "weekend weekend weekend weekend": 4,
    "day": 8,
    "day day": 8,
    "day day child": 4,
}


@dataclass(frozen=True)
class _Ticket:
    """A ticket by its reference, and how it was bought."""

    ref: str
    kind: str
    order: str
    since: datetime


@dataclass
class _Record:
    """Commands in the order they are thought of; chance decides who, when and how much."""

    chance: random.Random = field(default_factory=lambda: random.Random(SEED))  # nosec B311 # a sample
    commands: list[tuple[datetime, dict[str, Any]]] = field(default_factory=list)
    customers: list[tuple[datetime, str]] = field(default_factory=list)
    orders: int = 0

    def until(self, now: datetime) -> list[bytes]:
        """What happened by then, in order of time."""
        told = sorted((item for item in self.commands if item[0] <= now), key=lambda item: item[0])
        return [msgspec.json.encode({**fields, "at": at}) for at, fields in told]

    def add(self, at: datetime, command: str, **fields: Any) -> None:
        self.commands.append((at, {"command": command, **fields}))

    def moment(self, start: datetime, end: datetime) -> datetime:
        """Some whole second between the two."""
        return start + timedelta(seconds=self.chance.randrange(int((end - start).total_seconds())))

    def one_of(self, weights: dict[str, int]) -> str:
        return self.chance.choices(list(weights), list(weights.values()))[0]

    def customer(self, at: datetime, name: str = "") -> str:
        """Somebody who registers a minute before `at`."""
        name = (
            name
            or f"{self.chance.choice(FIRST_NAMES.split())} {self.chance.choice(LAST_NAMES.split())}"
        )
        ref = f"c{len(self.customers) + 1}"
        self.customers.append((at, ref))
        email = f"{name.lower().replace(' ', '.')}.{ref}@example.org"
        country = self.one_of(COUNTRIES)
        self.add(
            at - MINUTE, "register_customer", customer=ref, name=name, email=email, country=country
        )
        return ref

    def buyer(self, at: datetime) -> str:
        """Somebody new, or somebody who has been here before."""
        known = [ref for since, ref in self.customers if since < at]
        comes_back = known and self.chance.random() < 0.25
        return self.chance.choice(known) if comes_back else self.customer(at)

    def place(
        self, event: str, kinds: list[str], at: datetime, method: str, customer: str
    ) -> list[_Ticket]:
        """Place an order; the tickets that it is for."""
        self.orders += 1
        order = f"{event}-{self.orders}"
        tickets = [_Ticket(f"{order}.{n}", kind, order, at) for n, kind in enumerate(kinds, 1)]
        self.add(
            at,
            "place_order",
            order=order,
            event=event,
            customer=customer,
            payment_method=method,
            tickets=[{"ref": ticket.ref, "ticket_type": ticket.kind} for ticket in tickets],
            expires_at=at + _hold(method),
        )
        return tickets

    def sell(self, event: str, kinds: list[str], at: datetime, customer: str = "") -> list[_Ticket]:
        """Place an order, and pay it while its hold runs."""
        method = self.one_of(METHODS)
        tickets = self.place(event, kinds, at, method, customer or self.buyer(at))
        paid_at = at + int(self.chance.uniform(0.1, 0.9) * _hold(method).total_seconds()) * SECOND
        reference = f"{method[:2]}-{self.chance.randrange(10**8):08}"
        self.add(paid_at, "pay_order", order=tickets[0].order, method=method, reference=reference)
        return [replace(ticket, since=paid_at) for ticket in tickets]

    def lose(self, event: str, kinds: list[str], at: datetime) -> None:
        """Place an order that is never paid: cancelled, or left until its hold has run out."""
        order = self.place(event, kinds, at, "card", self.buyer(at))[0].order
        if self.chance.random() < 0.3:
            self.add(at + 8 * MINUTE, "cancel_order", order=order, reason="changed their mind")
        else:
            self.add(at + HOLD, "expire_order", order=order)

    def hand_over(self, ticket: _Ticket, at: datetime, name: str = "") -> None:
        reason, customer = self.chance.choice(REASONS), self.customer(at, name)
        self.add(at, "transfer_ticket", ticket=ticket.ref, to_customer=customer, reason=reason)

    def refund(self, ticket: _Ticket, at: datetime) -> None:
        tickets = [ticket.ref]
        self.add(at, "refund_order", order=ticket.order, tickets=tickets, reason="cannot come")

    def scan(self, ref: str, at: datetime, kind: str = "entry") -> None:
        gate = self.chance.randrange(len(GATES))
        self.add(
            at,
            "scan_ticket",
            ticket=ref,
            event=FESTIVAL,
            scanner=f"gate-{gate + 1}",
            location=GATES[gate],
            type=kind,
        )


def sample_festival(now: datetime) -> list[bytes]:
    """The record up to `now`, as lines in the import format."""
    now = now.astimezone(UTC)
    first_day = (now - DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    record = _Record()
    guests = _festival(record, first_day)
    seats = _concert(record, first_day)
    _talk(record, first_day)
    _gates(record, first_day + 9 * HOUR, guests, seats)
    return record.until(now)


def _festival(record: _Record, first_day: datetime) -> list[_Ticket]:
    """Heron Meadow, which opened yesterday; the tickets that should come to its gates."""
    gates_open, on_sale = first_day + 9 * HOUR, first_day - 60 * DAY
    _open_sale(
        record,
        on_sale,
        event=FESTIVAL,
        title="Heron Meadow",
        category="festival",
        description="Three days of music, swimming and long breakfasts beside the river.",
        venue="The Water Meadows, Little Wending",
        starts_at=gates_open,
        ends_at=first_day + 2 * DAY + 22 * HOUR,
        capacity=760,
        ticket_types=[
            _type("weekend", "Weekend camping", "84.00", 460),
            _type("day", "Day ticket", "36.00", 160, reentry=False),
            _type("child", "Under 16", "22.00", 120),
            _type("van", "Campervan pitch", "30.00", 40),
        ],
    )
    ines = record.customer(on_sale + HOUR, "Ines Calloway")
    hers, story = record.sell(FESTIVAL, ["weekend", "weekend"], on_sale + HOUR, ines)
    record.hand_over(story, gates_open - 2 * DAY, "Tomasz Brandt")
    tickets = []
    for _ in range(270):
        at, kinds = record.moment(on_sale, gates_open - 6 * DAY), record.one_of(GROUPS).split()
        if record.chance.random() < 0.08:
            record.lose(FESTIVAL, kinds, at)
        else:
            tickets += [t for t in record.sell(FESTIVAL, kinds, at) if t.kind != "van"]
    record.chance.shuffle(tickets)
    for ticket in tickets[:14]:
        record.refund(ticket, record.moment(ticket.since, gates_open))
    for ticket in tickets[10:52]:  # some try with a ticket that was refunded
        record.hand_over(ticket, gates_open - record.chance.randrange(1, 110) * HOUR)
    record.add(gates_open, "start_event", event=FESTIVAL)
    return [hers, *tickets[4:]]


def _concert(record: _Record, first_day: datetime) -> list[_Ticket]:
    """The Tin Owls, sold out; one in five tickets was handed on."""
    on_sale, starts_at = first_day - 30 * DAY, first_day + 21 * DAY + 19 * HOUR
    left = {"seated": 70, "standing": 90}
    _open_sale(
        record,
        on_sale,
        event=CONCERT,
        title="The Tin Owls by Lantern Light",
        category="concert",
        description="One night, one brass band, four hundred paper lanterns.",
        venue="The Boathouse, Little Wending",
        starts_at=starts_at,
        ends_at=starts_at + 3 * HOUR,
        capacity=sum(left.values()),
        ticket_types=[
            _type("seated", "Seated", "24.50", left["seated"]),
            _type("standing", "Standing", "16.00", left["standing"]),
        ],
    )
    for _ in range(6):
        record.lose(CONCERT, ["seated"], record.moment(on_sale, on_sale + 3 * DAY))
    tickets = []
    while any(left.values()):
        kind = record.one_of(left)
        number = min(record.chance.randint(1, 4), left[kind])
        left[kind] -= number
        at = record.moment(on_sale, on_sale + 20 * DAY)
        tickets += record.sell(CONCERT, [kind] * number, at)
    for kind in ("seated", "standing") * 4:
        at = record.moment(on_sale + 26 * DAY, first_day)
        record.place(CONCERT, [kind], at, "card", record.buyer(at))
    for ticket in tickets[::5]:
        record.hand_over(ticket, record.moment(ticket.since, first_day))
    return tickets


def _talk(record: _Record, first_day: datetime) -> None:
    """A free talk with some places left, since a few people gave theirs back."""
    on_sale, starts_at = first_day - 20 * DAY, first_day + 9 * DAY + 18 * HOUR
    _open_sale(
        record,
        on_sale,
        event=TALK,
        title="Why Swifts Never Land",
        category="talk",
        description="An evening about birds that sleep on the wing. Free, with tea.",
        venue="Village Hall, Little Wending",
        starts_at=starts_at,
        ends_at=starts_at + 2 * HOUR,
        capacity=110,
        ticket_types=[_type("place", "Place", "0.00", 110)],
    )
    for number in range(66):
        at = record.moment(on_sale, first_day)
        kinds = ["place"] * record.chance.choice((1, 1, 2))
        tickets = record.place(TALK, kinds, at, "free", record.buyer(at))
        if number % 16 == 0:
            record.refund(tickets[0], at + 2 * HOUR)


def _gates(
    record: _Record, gates_open: datetime, guests: list[_Ticket], seats: list[_Ticket]
) -> None:
    """Three days at the gates of the festival: in, out, in again, and what was refused."""
    for guest in guests:
        at = _arrival(record, gates_open)
        record.scan(guest.ref, at)
        if record.chance.random() < 0.05:
            record.scan(guest.ref, at + record.chance.randint(1, 9) * MINUTE)
        if record.chance.random() < 0.3:
            out_at = at + record.chance.randint(60, 400) * MINUTE
            record.scan(guest.ref, out_at, "exit")
            record.scan(guest.ref, out_at + record.chance.randint(30, 240) * MINUTE)
        if record.chance.random() < 0.01:
            record.hand_over(guest, at + HOUR)
    for seat in seats[:5]:
        record.scan(seat.ref, _arrival(record, gates_open))
    for number in range(1, 5):
        record.scan(f"home-made-{number}", _arrival(record, gates_open))


def _arrival(record: _Record, gates_open: datetime) -> datetime:
    """Most come on the first day, about noon; the rest on the second."""
    day = 0 if record.chance.random() < 0.75 else 1
    seconds = record.chance.triangular(0, 12 * 3600, 3 * 3600)
    return gates_open + day * DAY + int(seconds) * SECOND


def _open_sale(record: _Record, on_sale: datetime, *, event: str, **details: Any) -> None:
    record.add(
        on_sale - DAY,
        "create_event",
        event=event,
        organizer={"ref": ORGANIZER, "name": "Heron Meadow Collective"},
        timezone="Europe/London",
        currency="GBP",
        **details,
    )
    record.add(on_sale, "publish_event", event=event)


def _type(
    ref: str, name: str, price: str, quantity: int, *, reentry: bool = True
) -> dict[str, Any]:
    return {"ref": ref, "name": name, "price": price, "quantity": quantity, "reentry": reentry}


def _hold(method: str) -> timedelta:
    return BANK_HOLD if method == "bank_transfer" else HOLD
