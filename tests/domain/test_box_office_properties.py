"""Random commands through the use cases, compared step by step with a plain box office.

Often against a store in memory; less often through the executor on an SQLite file, where each
command follows one in the same batch that decides the same and is then refused.
"""

import copy
import itertools
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import migrations
from application import events, gate, orders
from application.composition import compose
from application.customers import register_customer
from application.gate import CheckIn
from application.orders import Wish
from application.settings import Settings
from application.store.database import open_engine
from application.store.snapshots import load_stream
from application.store.work import Command, Context, Work
from domain.aggregate import Aggregate, Fact
from domain.customer import Profile
from domain.errors import Conflict, DomainError
from domain.event import Details, Event, Terms
from domain.gate import Unmatched
from domain.ids import new_secret, ticket_id_in
from domain.order import Order
from domain.ticket import Scan, Ticket
from tests.domain.plain_box_office import (
    HOLD,
    PlainBoxOffice,
    PlainEvent,
    PlainOrder,
    PlainTicket,
    PlainType,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DOORS, DEADLINE, ENDS = (NOW + timedelta(minutes=minutes) for minutes in (1, 1800, 2880))
FESTIVAL, CONCERT = UUID(int=1), UUID(int=2)
ADULT, KID, SEAT = UUID(int=11), UUID(int=12), UUID(int=13)
CUSTOMERS = [UUID(int=31), UUID(int=32), UUID(int=33)]
NOBODY, STRANGE = UUID(int=39), UUID(int=49)
STEPS = ["publish", "start"]

pick = st.integers(0, 30)
limit = st.none() | st.integers(0, 15)
an_event = st.sampled_from([FESTIVAL, FESTIVAL, FESTIVAL, CONCERT])
a_customer = st.sampled_from([*CUSTOMERS, *CUSTOMERS, NOBODY])
rarely = st.sampled_from([False, False, False, False, False, True])

Decide = Callable[..., Any]
Told = tuple[str, list[Fact]]


def tell(result: Any, facts: list[Fact]) -> Told:
    """What came of a command: `ok`, `nothing`, or the name of what forbade it; and its facts."""
    refusals = [fact.refusal for fact in facts if isinstance(fact, Ticket.TransferRefused)]
    if refusals:
        return refusals[0], facts
    if isinstance(result, CheckIn):
        return result.reason or "ok", facts
    if isinstance(result, DomainError):
        return type(result).__name__, facts
    return "ok" if facts else "nothing", facts


class BoxOffice(RuleBasedStateMachine):
    """The commands; where they are recorded is left to `run` and `aggregate`."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = PlainBoxOffice(NOW)
        self.revenue: Counter[UUID] = Counter()
        self.secrets: list[str] = []
        self.made = 100

    def run(self, decide: Decide, context: Context, arguments: dict[str, Any]) -> Told:
        raise NotImplementedError

    def aggregate(self, aggregate_id: UUID) -> Aggregate | None:
        raise NotImplementedError

    def expect(
        self,
        expected: set[str],
        decide: Decide,
        told_at: datetime | None = None,
        at: datetime | None = None,
        **arguments: Any,
    ) -> None:
        """`told_at` is when it happened by a scanner's clock, and `at` when it is to have been, if
        that was not just now."""
        context = Context(actor="", at=self.plain.now, told_at=told_at)
        at = at or self.plain.now
        outcome, facts = self.run(decide, context, arguments)
        assert outcome in expected
        for fact in facts:
            assert fact.occurred_at == at
            self.note(fact)

    def note(self, fact: Fact) -> None:
        """Keep what only the facts tell: secrets and amounts."""
        match fact:
            case Ticket.Issued() | Ticket.Transferred():
                self.secrets.append(fact.secret)
                self.plain.tickets[fact.originator_id].secrets[fact.secret] = fact.timestamp
            case Event.TicketsSold():
                self.revenue[fact.originator_id] += fact.amount
            case Event.TicketsReturned():
                self.revenue[fact.originator_id] -= fact.amount

    def new_id(self) -> UUID:
        self.made += 1
        return UUID(int=self.made)

    def an_order(self, which: int, *statuses: str) -> UUID:
        """Of any status; one of `statuses` is chosen more often."""
        orders = self.plain.orders
        likely = [order_id for order_id in orders if orders[order_id].status in statuses]
        among = [*orders, *likely, *likely, *likely]
        return among[-1 - which % len(among)]

    def some_wait(self) -> bool:
        """Whether orders wait for payment."""
        return any(order.status == "placed" for order in self.plain.orders.values())

    def a_ticket(self, which: int) -> UUID:
        """Of any order, paid or not; a paid one is chosen more often."""
        ordered = [ticket for order in self.plain.orders.values() for ticket in order.tickets]
        among = [STRANGE, *ordered, *self.plain.tickets, *self.plain.tickets]
        return among[-1 - which % len(among)]

    # Organizers

    @initialize(
        capacity=st.none() | st.integers(5, 15),
        adults=st.none() | st.integers(3, 12),
        least=st.integers(1, 2),
        most=st.none() | st.integers(2, 4),
        reentry=st.booleans(),
    )
    def open(
        self, capacity: int | None, adults: int | None, least: int, most: int | None, reentry: bool
    ) -> None:
        self.make(FESTIVAL, capacity, {
            ADULT: PlainType(5000, adults, least, most, reentry=reentry),
            KID: PlainType(0, 5, closes=NOW + timedelta(hours=6)),
        })  # fmt: skip
        self.make(CONCERT, None, {SEAT: PlainType(700, 6, opens=NOW + timedelta(minutes=30))})
        self.lead(FESTIVAL, "publish")
        for customer_id in CUSTOMERS:
            self.plain.customers.add(customer_id)
            self.expect(
                {"ok"}, register_customer, customer_id=customer_id, profile=Profile("Anna", "a@b")
            )
        self.buy(CUSTOMERS[0], 2, 0)

    def make(self, event_id: UUID, capacity: int | None, types: dict[UUID, PlainType]) -> None:
        self.plain.events[event_id] = PlainEvent(
            types, capacity, DEADLINE, DOORS, ENDS, self.plain.now
        )
        self.expect(
            {"ok"},
            events.create_event,
            event_id=event_id,
            details=Details(
                title="Midsummer",
                organizer_id=NOBODY,
                organizer_name="Anna's barn",
                starts_at=DOORS,
                ends_at=ENDS,
                currency="GBP",
                registration_deadline=DEADLINE,
                doors_open_at=DOORS,
                capacity=capacity,
            ),
            ticket_types=[(kind, as_terms(offer)) for kind, offer in types.items()],
        )

    @rule(minutes=st.sampled_from([1, 1, 10, 29, 30, 30, 240]))
    def wait(self, minutes: int) -> None:
        self.plain.now += timedelta(minutes=minutes)

    @rule(event_id=an_event, step=st.sampled_from([*STEPS, *STEPS, "complete", "cancel"]))
    def lead(self, event_id: UUID, step: str) -> None:
        decide = getattr(events, f"{step}_event")
        self.expect({self.plain.lead(event_id, step)}, decide, event_id=event_id)

    @rule(event_id=an_event, capacity=limit)
    def change_capacity(self, event_id: UUID, capacity: int | None) -> None:
        self.expect(
            {self.plain.change_capacity(event_id, capacity)},
            events.change_event,
            event_id=event_id,
            changes={"capacity": capacity},
        )

    @rule(kind=st.sampled_from([ADULT, KID]), price=st.integers(-1, 2), quantity=limit)
    def change_type(self, kind: UUID, price: int, quantity: int | None) -> None:
        self.expect(
            {self.plain.change_type(FESTIVAL, kind, price, quantity)},
            events.change_ticket_type,
            event_id=FESTIVAL,
            ticket_type_id=kind,
            changes={"price": price, "quantity": quantity},
        )

    # Orders

    @rule(customer_id=a_customer, adults=st.integers(0, 3), kids=st.integers(0, 2))
    def order(self, customer_id: UUID, adults: int, kids: int) -> None:
        wanted = {ADULT: adults, KID: kids}
        self.place(FESTIVAL, customer_id, {kind: n for kind, n in wanted.items() if n} or {SEAT: 1})

    @rule(customer_id=st.sampled_from(CUSTOMERS), adults=st.integers(1, 2), kids=st.integers(0, 1))
    def buy(self, customer_id: UUID, adults: int, kids: int) -> None:
        self.order(customer_id, adults, kids)
        if self.some_wait():
            self.pay(0, 0, "ch_1")

    @rule(customer_id=a_customer, seats=st.integers(0, 4))
    def order_seats(self, customer_id: UUID, seats: int) -> None:
        self.place(CONCERT, customer_id, {SEAT: seats})

    def place(self, event_id: UUID, customer_id: UUID, wanted: dict[UUID, int]) -> None:
        tickets = {kind: [self.new_id() for _ in range(n)] for kind, n in wanted.items()}
        order_id = self.new_id()
        forbidden = self.plain.why_not_place(event_id, customer_id, wanted)
        if not forbidden:
            self.plain.place(order_id, event_id, customer_id, tickets)
            if self.plain.orders[order_id].total == 0:
                self.plain.pay(order_id, 0, "")
        self.expect(
            forbidden or {"ok"},
            orders.place_order,
            order_id=order_id,
            event_id=event_id,
            customer_id=customer_id,
            wishes=[Wish(kind, wanted[kind], tickets[kind]) for kind in wanted],
            payment_method="card",
            hold=HOLD,
        )

    @precondition(lambda self: self.plain.orders)
    @rule(
        which=pick,
        off_by=st.sampled_from([None, 0, 0, 1, -1]),
        reference=st.sampled_from(["ch_1", "ch_1", "ch_2"]),
    )
    def pay(self, which: int, off_by: int | None, reference: str) -> None:
        order_id = self.an_order(which, "placed")
        amount = None if off_by is None else self.plain.orders[order_id].total + off_by
        self.expect(
            {self.plain.pay(order_id, amount, reference)},
            orders.pay_order,
            order_id=order_id,
            method="card",
            reference=reference,
            amount=amount,
        )

    @precondition(lambda self: self.some_wait())
    @rule(which=pick)
    def cancel(self, which: int) -> None:
        order_id = self.an_order(which, "placed")
        self.expect({self.plain.cancel(order_id)}, orders.cancel_order, order_id=order_id)

    @precondition(lambda self: self.some_wait())
    @rule(which=pick)
    def expire(self, which: int) -> None:
        order_id = self.an_order(which, "placed")
        self.expect({self.plain.expire(order_id)}, orders.expire_order, order_id=order_id)

    @precondition(lambda self: self.plain.orders)
    @rule(which=pick, some=st.sets(st.integers(0, 4), max_size=3), foreign=rarely)
    def refund(self, which: int, some: set[int], foreign: bool) -> None:
        order_id = self.an_order(which, "paid", "partly_refunded")
        tickets = list(self.plain.orders[order_id].tickets)
        chosen = {tickets[index] for index in some if index < len(tickets)}
        chosen |= {STRANGE} if foreign else set()
        self.expect(
            {self.plain.refund(order_id, chosen)},
            orders.refund_order,
            order_id=order_id,
            ticket_ids=sorted(chosen),
        )

    # Tickets

    @rule(which=pick, to=a_customer)
    def transfer(self, which: int, to: UUID) -> None:
        ticket_id = self.a_ticket(which)
        self.expect(
            {self.plain.transfer(ticket_id, to)},
            gate.transfer_ticket,
            ticket_id=ticket_id,
            to_customer_id=to,
        )

    @rule(which=pick, on=st.booleans())
    def block(self, which: int, on: bool) -> None:
        ticket_id = self.a_ticket(which)
        expected = self.plain.block(ticket_id) if on else self.plain.unblock(ticket_id)
        decide: Decide = gate.block_ticket if on else gate.unblock_ticket
        self.expect({expected}, decide, ticket_id=ticket_id)

    @precondition(lambda self: self.secrets)
    @rule(
        which=pick,
        event_id=an_event,
        out=st.sampled_from([False, False, True]),
        forced=rarely,
        late=st.sampled_from([0, 0, 0, 1, 10, 30]),
    )
    def scan_a_secret(
        self, which: int, event_id: UUID, out: bool, forced: bool, late: int = 0
    ) -> None:
        """One that some ticket has or had; told `late` minutes after it happened."""
        secret = self.secrets[-1 - which % len(self.secrets)]
        self.scan(event_id, secret, None, out, forced, timedelta(minutes=late))

    @precondition(lambda self: self.secrets)
    @rule(which=pick)
    def visit(self, which: int) -> None:
        """In, and out again."""
        self.scan_a_secret(which, FESTIVAL, False, False)
        self.scan_a_secret(which, FESTIVAL, True, False)

    @rule(
        which=pick,
        garbage=st.none() | st.sampled_from(["garbage", "schlüssel", "A" * 43]),
        out=st.sampled_from([False, False, True]),
        forced=rarely,
    )
    def scan_a_forgery(self, which: int, garbage: str | None, out: bool, forced: bool) -> None:
        """Garbage, or a secret that has the form of one of some ticket."""
        secret = new_secret(self.a_ticket(which)) if garbage is None else garbage
        self.scan(FESTIVAL, secret, None, out, forced)

    @rule(
        which=pick,
        event_id=an_event,
        out=st.sampled_from([False, False, True]),
        forced=rarely,
        late=st.sampled_from([0, 0, 1, 10]),
    )
    def look_up(self, which: int, event_id: UUID, out: bool, forced: bool, late: int = 0) -> None:
        self.scan(event_id, None, self.a_ticket(which), out, forced, timedelta(minutes=late))

    def scan(
        self,
        event_id: UUID,
        secret: str | None,
        ticket_id: UUID | None,
        out: bool,
        forced: bool,
        late: timedelta = timedelta(0),
    ) -> None:
        named = ticket_id if secret is None else ticket_id_in(secret)
        told_at = self.plain.now - late
        at = self.plain.believed(event_id, named, secret, told_at)
        expected = self.plain.scan(event_id, named, secret, told_at, out=out, forced=forced)
        self.expect(
            {expected},
            gate.check_in,
            told_at,
            at,
            scan=Scan(event_id, "exit" if out else "entry", forced=forced),
            event_id=event_id,
            ticket_id=named,
            secret=secret,
            order_of=lambda ticket_id: (self.plain.order_of(ticket_id), 2**62),
        )

    # What always holds

    @invariant()
    def nothing_is_oversold(self) -> None:
        for event_id, event in self.plain.events.items():
            assert event.capacity is None or self.plain.committed(event_id) <= event.capacity
            for kind, offer in event.types.items():
                committed = self.plain.held(kind) + self.plain.sold(kind)
                assert offer.quantity is None or committed <= offer.quantity

    @invariant()
    def the_amounts_of_the_facts_add_up(self) -> None:
        for event_id in self.plain.events:
            assert self.revenue[event_id] == self.plain.revenue(event_id)

    @invariant()
    def no_two_secrets_are_the_same(self) -> None:
        assert len(set(self.secrets)) == len(self.secrets)

    def agree(self) -> None:
        """Every aggregate is as the plain box office has it."""
        for event_id, event in self.plain.events.items():
            self.agree_on_event(event_id, event)
        for order_id, order in self.plain.orders.items():
            self.agree_on_order(order_id, order)
            for ticket_id in order.tickets:
                self.agree_on_ticket(ticket_id, self.plain.tickets.get(ticket_id))
        for shown, attempts in self.plain.forgeries.items():
            forgery = self.aggregate(Unmatched.id_for(shown))
            assert isinstance(forgery, Unmatched)
            assert forgery.attempts == attempts

    def agree_on_event(self, event_id: UUID, plain: PlainEvent) -> None:
        event = self.aggregate(event_id)
        assert isinstance(event, Event)
        assert (event.status, event.details.capacity) == (plain.status, plain.capacity)
        assert event.committed == self.plain.committed(event_id)
        for kind, offer in plain.types.items():
            ticket_type = event.ticket_type(kind)
            assert ticket_type.terms == as_terms(offer)
            assert ticket_type.held == self.plain.held(kind)
            assert ticket_type.sold == self.plain.sold(kind)

    def agree_on_order(self, order_id: UUID, plain: PlainOrder) -> None:
        order = self.aggregate(order_id)
        assert isinstance(order, Order)
        assert (order.status, order.total) == (plain.status, plain.total)
        assert order.ticket_ids == list(plain.tickets)
        assert order.payment_attempts == plain.attempts
        assert sorted(order.refunded_tickets) == sorted(plain.refunded)

    def agree_on_ticket(self, ticket_id: UUID, plain: PlainTicket | None) -> None:
        ticket = self.aggregate(ticket_id)
        if plain is None:
            assert ticket is None
            return
        assert isinstance(ticket, Ticket)
        assert (ticket.status == "voided") == (plain.void_since is not None)
        assert ticket.voided_at == plain.void_since
        assert (ticket.holder_id, ticket.blocked) == (plain.holder, plain.blocked)
        assert (ticket.inside, ticket.admissions) == (plain.inside, plain.admissions)
        assert [*ticket.old_secrets, ticket.secret] == list(plain.secrets)


def as_terms(plain: PlainType) -> Terms:
    price, quantity, least, most, opens, closes, reentry = astuple(plain)
    return Terms("A type", price, quantity, opens, closes, least, most, reentry)


class BoxOfficeInMemory(BoxOffice):
    """The store is a dictionary; what is kept there has only ever seen replayed facts."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[UUID, Aggregate] = {}

    def run(self, decide: Decide, context: Context, arguments: dict[str, Any]) -> Told:
        loaded: dict[UUID, Aggregate] = {}

        def fetch(aggregate_id: UUID) -> Aggregate | None:
            if aggregate_id in self.kept and aggregate_id not in loaded:
                loaded[aggregate_id] = copy.deepcopy(self.kept[aggregate_id])
            return loaded.get(aggregate_id)

        work = Work(context, fetch, prefetch=lambda _: None)
        try:
            result = decide(work, **arguments)
        except DomainError as refusal:
            return type(refusal).__name__, []
        for fact in work.facts:
            replayed = fact.mutate(self.kept.get(fact.originator_id))
            assert replayed is not None
            self.kept[fact.originator_id] = replayed
        for aggregate_id, (decided, _) in work.seen.items():
            assert decided == self.kept[aggregate_id]
        return tell(result, work.facts)

    def aggregate(self, aggregate_id: UUID) -> Aggregate | None:
        return self.kept.get(aggregate_id)

    @invariant()
    def all_agree(self) -> None:
        self.agree()


class BoxOfficeOnFile(BoxOffice):
    """The real store, in one file for each run; compared as it is read from there at the end."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.turnstile = compose(Settings(database_url=url))

    def run(self, decide: Decide, context: Context, arguments: dict[str, Any]) -> Told:
        told: list[Told] = []

        def listen(work: Work, **arguments: Any) -> Any:
            result = decide(work, **arguments)
            told.append(tell(result, work.facts))
            return result

        def doom(work: Work, **arguments: Any) -> Any:
            decide(work, **arguments)
            raise Conflict

        _, outcome = self.turnstile.executor.execute_all(
            [Command(step, arguments, context, lambda _: {"version": 0}) for step in (doom, listen)]
        )
        if told:
            return told[-1]
        assert isinstance(outcome, DomainError)
        return type(outcome).__name__, []

    def aggregate(self, aggregate_id: UUID) -> Aggregate | None:
        with self.turnstile.engine.connect() as connection:
            return load_stream(connection, aggregate_id)

    def teardown(self) -> None:
        self.agree()
        self.turnstile.close()


# Hypothesis may take five minutes to find the shortest run that fails, and must live to tell it.
patiently = pytest.mark.timeout(900)

TestBoxOffice = patiently(BoxOfficeInMemory.TestCase)
TestBoxOffice.settings = settings(max_examples=2 * settings().max_examples)


@pytest.fixture
def new_url(tmp_path: Path) -> Callable[[], str]:
    """Makes the URL of another migrated SQLite file."""
    original = tmp_path / "original.db"
    engine = open_engine(f"sqlite:///{original}")
    migrations.upgrade(engine)
    engine.dispose()
    numbers = itertools.count()
    return lambda: f"sqlite:///{shutil.copy(original, tmp_path / f'{next(numbers)}.db')}"


@patiently
def test_the_real_store_keeps_what_the_plain_box_office_knows(new_url: Callable[[], str]):
    class OnNewFile(BoxOfficeOnFile):
        def __init__(self) -> None:
            super().__init__(new_url())

    run_state_machine_as_test(OnNewFile, settings=settings(max_examples=10, stateful_step_count=40))
