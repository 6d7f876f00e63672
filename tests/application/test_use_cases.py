"""The use cases through the real executor: all on SQLite, and what leans on the store on both."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

import migrations
from application.composition import Turnstile, compose
from application.customers import change_customer, register_customer
from application.events import (
    cancel_event,
    change_event,
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
from application.presenting import show, show_check_in
from application.settings import Settings
from application.store import log
from application.store.mapper import to_fact
from application.store.snapshots import load_stream
from application.store.work import Answer, Command, Context, Outcome, Work
from domain.aggregate import Aggregate, Fact
from domain.customer import Customer, Profile
from domain.errors import (
    AlreadyExists,
    AmountMismatch,
    CustomerErased,
    EventCancelled,
    EventOver,
    HoldExpired,
    HoldStillRuns,
    InvalidOrder,
    NotFound,
    SoldOut,
    Stale,
    TransferRefused,
)
from domain.event import Details, Event, Terms
from domain.gate import Unmatched
from domain.ids import new_secret, ticket_id_in
from domain.order import Order
from domain.ticket import Scan, Ticket

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOLD = timedelta(minutes=30)
LATER = NOW + HOLD
FESTIVAL, CONCERT = UUID(int=1), UUID(int=2)
ADULT, FREE = UUID(int=11), UUID(int=12)
ANNA, BORIS, NOBODY = UUID(int=31), UUID(int=32), UUID(int=39)
ORDER, OTHER_ORDER = UUID(int=21), UUID(int=22)
FIRST, SECOND, THIRD = UUID(int=41), UUID(int=42), UUID(int=43)

EVERYTHING = 2**62
"""A position of the log up to which a read model knows all there is."""


class Desk:
    """One process's box office, at whatever time the test says it is."""

    def __init__(self, turnstile: Turnstile) -> None:
        self.turnstile = turnstile
        self.now = NOW

    def do(self, decide: Callable[..., Any], **arguments: Any) -> Answer:
        return self.turnstile.executor.execute(self.command(decide, **arguments))

    def do_at_once(self, *commands: Command) -> list[Outcome]:
        return self.turnstile.executor.execute_all(commands)

    def command(
        self,
        decide: Callable[..., Any],
        target: UUID | None = None,
        expected_version: int | None = None,
        **arguments: Any,
    ) -> Command:
        context = Context(actor="box office", request_id="r1", at=self.now)
        present = show_check_in if decide is check_in else show
        return Command(
            decide,
            arguments,
            context,
            present,
            target=target,
            expected_version=expected_version,
        )

    def place(self, *tickets: UUID, **of: Any) -> Answer:
        return self.turnstile.executor.execute(self.placing(*tickets, **of))

    def placing(
        self, *tickets: UUID, order: UUID = ORDER, quantity: int | None = None, of: UUID = ADULT
    ) -> Command:
        return self.command(
            place_order,
            order_id=order,
            event_id=FESTIVAL,
            customer_id=ANNA,
            wishes=[Wish(of, quantity or len(tickets), list(tickets))],
            payment_method="card",
            hold=HOLD,
        )

    def pay(self, order: UUID = ORDER, amount: int | None = None) -> Answer:
        return self.do(pay_order, order_id=order, method="card", reference="ch_1", amount=amount)

    def scan(
        self,
        secret: str | None,
        ticket: UUID | None = None,
        order_of: Callable[[UUID], UUID | None] = lambda _: None,
        **of: Any,
    ) -> Any:
        """The reason of a refusal, None when it passes."""
        answer = self.do(
            check_in,
            scan=Scan(FESTIVAL, **of),
            event_id=FESTIVAL,
            ticket_id=ticket if secret is None else ticket_id_in(secret),
            secret=secret,
            order_of=lambda looked_up: (order_of(looked_up), EVERYTHING),
        )
        return answer.body["reason"]

    def facts(self, *of: UUID) -> list[Fact]:
        """What the log holds, of all streams or of those, in its order."""
        with self.turnstile.engine.connect() as connection:
            entries = log.read(connection, limit=1000)
        return [to_fact(entry) for entry in entries if not of or entry.stream_id in of]

    def kinds(self, *of: UUID) -> list[str]:
        return [type(fact).__qualname__ for fact in self.facts(*of)]

    def stored(self, aggregate_id: UUID) -> Aggregate | None:
        """As another process would read it."""
        with self.turnstile.engine.connect() as connection:
            return load_stream(connection, aggregate_id)

    def ticket(self, ticket_id: UUID = FIRST) -> Ticket:
        ticket = self.stored(ticket_id)
        assert isinstance(ticket, Ticket)
        return ticket

    def counts(self, of: UUID = ADULT) -> tuple[int, int]:
        event = self.stored(FESTIVAL)
        assert isinstance(event, Event)
        return event.ticket_type(of).held, event.ticket_type(of).sold


@pytest.fixture
def unlogged() -> Iterator[None]:
    """A failed batch is logged with every local variable, which takes longer than the test."""
    with capture_logs():
        yield


on_both_databases = pytest.mark.parametrize(
    "settings", ["sqlite_url", "postgres_url"], indirect=True
)


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings(database_url=request.getfixturevalue(getattr(request, "param", "sqlite_url")))


@pytest.fixture
def desk(settings: Settings) -> Iterator[Desk]:
    """A festival on sale with two adults' tickets and free ones; Anna and Boris are known."""
    turnstile = compose(settings)
    migrations.upgrade(turnstile.engine)
    desk = Desk(turnstile)
    types = [(ADULT, Terms("Adult", 5000, 2)), (FREE, Terms("Helper", 0))]
    for event_id in (FESTIVAL, CONCERT):
        desk.do(create_event, event_id=event_id, details=details(), ticket_types=types)
        desk.do(publish_event, event_id=event_id)
    for customer_id in (ANNA, BORIS):
        profile = Profile("Somebody", "somebody@example.org", country="GB")
        desk.do(register_customer, customer_id=customer_id, profile=profile)
    yield desk
    turnstile.close()


def erase(work: Work, customer_id: UUID) -> Customer:
    customer = work.load(Customer, customer_id)
    customer.erase(work.now)
    work.save(customer)
    return customer


def details() -> Details:
    ends_at = NOW + timedelta(days=3)
    return Details("Midsummer", NOBODY, "Anna's barn", NOW, ends_at, "GBP", capacity=10)


# Orders


def test_a_placed_order_holds_its_tickets(desk: Desk):
    answer = desk.place(FIRST, SECOND)
    assert answer.body["status"] == "placed"
    assert answer.body["total"] == "100.00"
    assert answer.body["expires_at"] == NOW + HOLD
    assert desk.counts() == (2, 0)
    assert desk.kinds(ORDER, FIRST) == ["Order.Placed"], "tickets are issued when paid"


@on_both_databases
def test_a_paid_order_issues_its_tickets(desk: Desk):
    desk.place(FIRST, SECOND)
    answer = desk.pay(amount=10000)
    assert (answer.body["status"], answer.version) == ("paid", 2)
    assert desk.counts() == (0, 2)
    ticket = desk.ticket(SECOND)
    assert (ticket.holder_id, ticket.order_id, ticket.event_id) == (ANNA, ORDER, FESTIVAL)
    assert ticket_id_in(ticket.secret) == SECOND


@on_both_databases
def test_an_order_and_its_event_and_tickets_are_recorded_together(desk: Desk):
    desk.place(FIRST, SECOND)
    answer = desk.pay()
    *_, paid, sold, first, second = desk.facts()
    assert isinstance(paid, Order.Paid)
    assert isinstance(sold, Event.TicketsSold)
    assert isinstance(first, Ticket.Issued)
    assert [first.originator_id, second.originator_id] == [FIRST, SECOND]
    assert second.position == answer.position


@on_both_databases
def test_every_fact_knows_who_caused_it_and_when_it_happened(desk: Desk):
    desk.now = NOW - timedelta(days=1)
    desk.place(FIRST)
    facts = desk.facts(ORDER)
    assert facts
    for fact in facts:
        assert fact.about == {"actor": "box office", "request_id": "r1"}
        assert fact.occurred_at == desk.now
        assert fact.recorded_at is not None
        assert fact.recorded_at > fact.occurred_at


def test_ids_of_tickets_are_made_when_none_are_given(desk: Desk):
    answer = desk.place(quantity=2)
    (line,) = answer.body["lines"]
    assert len(set(line["ticket_ids"])) == 2
    desk.pay()
    assert all(desk.ticket(ticket_id) for ticket_id in line["ticket_ids"])


@on_both_databases
def test_a_free_order_is_paid_at_once(desk: Desk):
    answer = desk.place(FIRST, of=FREE)
    assert (answer.body["status"], answer.body["payment_method"]) == ("paid", "free")
    assert desk.counts(FREE) == (0, 1)
    assert desk.ticket(FIRST).holder_id == ANNA


def test_paying_twice_records_nothing_and_answers_the_same(desk: Desk):
    desk.place(FIRST)
    first, again = desk.pay(), desk.pay()
    assert again == first
    assert desk.kinds(ORDER) == ["Order.Placed", "Order.Paid"]


@on_both_databases
def test_a_refused_payment_is_an_error_and_is_recorded(desk: Desk):
    desk.place(FIRST)
    with pytest.raises(AmountMismatch):
        desk.pay(amount=1)
    assert desk.kinds(ORDER) == ["Order.Placed", "Order.PaymentRefused"]
    assert desk.counts() == (1, 0)
    assert desk.pay(amount=5000).body["payment_attempts"] == 2


def test_a_hold_that_lapsed_is_not_paid(desk: Desk):
    desk.place(FIRST)
    desk.now = LATER
    with pytest.raises(HoldExpired):
        desk.pay()
    assert desk.kinds(ORDER, FIRST) == ["Order.Placed", "Order.PaymentRefused"]


@on_both_databases
def test_an_expired_order_lets_its_tickets_go(desk: Desk):
    desk.place(FIRST, SECOND)
    with pytest.raises(HoldStillRuns):
        desk.do(expire_order, order_id=ORDER)
    with pytest.raises(SoldOut):
        desk.place(THIRD, order=OTHER_ORDER)
    desk.now = LATER
    desk.do(expire_order, order_id=ORDER)
    desk.place(THIRD, order=OTHER_ORDER)
    assert desk.counts() == (1, 0)


def test_expiring_or_cancelling_again_lets_nothing_go_twice(desk: Desk):
    desk.place(FIRST)
    desk.place(SECOND, order=OTHER_ORDER)
    desk.now = LATER
    for _ in range(2):
        desk.do(expire_order, order_id=ORDER)
        desk.do(cancel_order, order_id=OTHER_ORDER)
    assert desk.counts() == (0, 0)
    assert desk.kinds(FESTIVAL).count("Event.HoldReleased") == 2


@on_both_databases
def test_a_refund_voids_the_tickets_and_sells_them_again(desk: Desk):
    desk.place(FIRST, SECOND)
    desk.pay()
    answer = desk.do(refund_order, order_id=ORDER, ticket_ids=[SECOND], reason="ill")
    assert answer.body["status"] == "partly_refunded"
    assert answer.body["refunded_tickets"] == [SECOND]
    assert [desk.ticket(of).status for of in (FIRST, SECOND)] == ["issued", "voided"]
    assert desk.counts() == (0, 1)
    desk.place(THIRD, order=OTHER_ORDER)


@pytest.mark.parametrize(("given", "recorded"), [("ill", "ill"), ("", "refunded")])
def test_a_ticket_is_voided_for_the_reason_of_its_refund_or_as_refunded(
    desk: Desk, given: str, recorded: str
):
    desk.place(FIRST)
    desk.pay()
    desk.do(refund_order, order_id=ORDER, reason=given)
    *_, voided = desk.facts()
    assert isinstance(voided, Ticket.Voided)
    assert voided.reason == recorded


@on_both_databases
def test_an_answer_tells_of_its_own_command_only(desk: Desk):
    desk.place(FIRST, SECOND)
    desk.pay()
    first, second = desk.do_at_once(
        desk.command(refund_order, order_id=ORDER, ticket_ids=[FIRST]),
        desk.command(refund_order, order_id=ORDER, ticket_ids=[SECOND]),
    )
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert first.body["refunded_tickets"] == [FIRST]
    assert second.body["refunded_tickets"] == [FIRST, SECOND]
    assert (first.body["status"], second.body["status"]) == ("partly_refunded", "refunded")


def test_an_order_of_a_cancelled_event_is_neither_placed_nor_paid_but_refunded(desk: Desk):
    desk.place(FIRST)
    desk.pay()
    desk.place(SECOND, order=OTHER_ORDER)
    desk.do(cancel_event, event_id=FESTIVAL, reason="storm")
    with pytest.raises(EventCancelled):
        desk.pay(OTHER_ORDER)
    with pytest.raises(EventCancelled):
        desk.pay(OTHER_ORDER, amount=1)
    assert desk.kinds(OTHER_ORDER) == ["Order.Placed", *["Order.PaymentRefused"] * 2]
    with pytest.raises(EventCancelled):
        desk.place(THIRD, order=UUID(int=23))
    assert desk.do(refund_order, order_id=ORDER).body["status"] == "refunded"


def test_an_order_is_not_paid_once_the_event_is_over(desk: Desk):
    desk.place(FIRST)
    desk.place(SECOND, order=OTHER_ORDER)
    desk.do(start_event, event_id=FESTIVAL)
    desk.now += timedelta(minutes=2)
    desk.do(complete_event, event_id=FESTIVAL)
    with pytest.raises(EventOver):
        desk.pay()
    assert desk.kinds(ORDER, FIRST) == ["Order.Placed", "Order.PaymentRefused"]
    desk.now -= timedelta(minutes=1)
    assert desk.pay(OTHER_ORDER).body["status"] == "paid"


def test_each_ticket_type_has_one_line(desk: Desk):
    wishes = [Wish(ADULT, 1), Wish(ADULT, 1)]
    with pytest.raises(InvalidOrder):
        desk.do(
            place_order,
            order_id=ORDER,
            event_id=FESTIVAL,
            customer_id=ANNA,
            wishes=wishes,
            payment_method="card",
            hold=HOLD,
        )


def test_an_erased_customer_buys_nothing(desk: Desk):
    desk.do(erase, customer_id=ANNA)
    with pytest.raises(CustomerErased):
        desk.place(FIRST)
    assert desk.stored(ORDER) is None
    assert desk.counts() == (0, 0)


@pytest.mark.parametrize("decide", [pay_order, cancel_order, expire_order, refund_order])
def test_an_unknown_order_is_not_found(desk: Desk, decide: Callable[..., Any]):
    arguments = {"method": "card"} if decide is pay_order else {}
    with pytest.raises(NotFound, match="no order"):
        desk.do(decide, order_id=OTHER_ORDER, **arguments)


@on_both_databases
def test_a_refused_command_leaves_no_trace(desk: Desk):
    desk.place(FIRST, SECOND)
    before = desk.facts()
    with pytest.raises(SoldOut):
        desk.place(THIRD, order=OTHER_ORDER)
    assert desk.facts() == before
    assert desk.stored(OTHER_ORDER) is None


@on_both_databases
def test_a_command_refused_half_way_harms_none_before_or_after_it(desk: Desk):
    with capture_logs() as logs:
        first, refused, second = desk.do_at_once(
            desk.placing(FIRST),
            desk.placing(THIRD, THIRD, order=UUID(int=23), of=FREE),
            desk.placing(SECOND, order=OTHER_ORDER),
        )
    assert not logs, "the batch went through at once"
    assert isinstance(first, Answer)
    assert isinstance(refused, InvalidOrder), "after the event has held its tickets"
    assert isinstance(second, Answer)
    assert (desk.counts(ADULT), desk.counts(FREE)) == ((2, 0), (0, 0))


def test_what_exists_is_not_made_again(desk: Desk):
    desk.place(FIRST)
    with pytest.raises(AlreadyExists):
        desk.place(SECOND)
    with pytest.raises(AlreadyExists):
        desk.do(register_customer, customer_id=ANNA, profile=Profile("Anna", "a@example.org"))
    with pytest.raises(AlreadyExists):
        desk.do(create_event, event_id=FESTIVAL, details=details(), ticket_types=[])


# Several at once


@on_both_databases
def test_the_last_tickets_are_sold_once_whichever_process_sells_them(
    desk: Desk, settings: Settings
):
    desks = [desk, Desk(compose(settings)), Desk(compose(settings))]
    sold: list[UUID] = []

    def buy(at: Desk, number: int) -> None:
        order_id = UUID(int=1000 + number)
        try:
            at.place(order=order_id, quantity=1)
            at.pay(order_id)
            sold.append(order_id)
        except SoldOut:
            pass

    threads = [threading.Thread(target=buy, args=(desks[n % 3], n)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(sold), desk.counts()) == (2, (0, 2))
    for other in desks[1:]:
        other.turnstile.close()


# Versions


@on_both_databases
def test_who_acted_on_an_old_version_is_told_and_nothing_happens(desk: Desk):
    desk.place(FIRST)
    stale = desk.command(pay_order, order_id=ORDER, method="card", target=ORDER, expected_version=2)
    (refusal,) = desk.do_at_once(stale)
    assert isinstance(refusal, Stale)
    assert desk.kinds(ORDER) == ["Order.Placed"]


def test_who_acted_on_the_present_version_is_served(desk: Desk):
    answer = desk.place(FIRST)
    paid = desk.do(
        pay_order, order_id=ORDER, method="card", target=ORDER, expected_version=answer.version
    )
    assert paid.version == answer.version + 1


def test_of_two_who_acted_on_the_same_version_one_is_served(desk: Desk):
    changes = [
        desk.command(
            change_event,
            event_id=FESTIVAL,
            changes={"title": title},
            target=FESTIVAL,
            expected_version=4,
        )
        for title in ("Midwinter", "Spring")
    ]
    first, second = desk.do_at_once(*changes)
    assert isinstance(first, Answer)
    assert isinstance(second, Stale)
    assert first.body["title"] == "Midwinter"


def test_a_customer_changes_what_they_say_and_keeps_the_rest(desk: Desk):
    answer = desk.do(change_customer, customer_id=ANNA, changes={"country": "FR"})
    assert (answer.body["country"], answer.body["name"]) == ("FR", "Somebody")


# Tickets


def paid_ticket(desk: Desk) -> str:
    """The secret of Anna's ticket."""
    desk.place(FIRST)
    desk.pay()
    return desk.ticket().secret


def transfer(desk: Desk, to: UUID) -> Answer:
    return desk.do(transfer_ticket, ticket_id=FIRST, to_customer_id=to, reason="a present")


@on_both_databases
def test_a_transferred_ticket_admits_its_new_holder_only(desk: Desk):
    old = paid_ticket(desk)
    assert transfer(desk, BORIS).body["holder_id"] == BORIS
    new = desk.ticket().secret
    assert ticket_id_in(new) == FIRST
    assert [desk.scan(old), desk.scan(new), desk.scan(new)] == ["revoked", None, "already_redeemed"]
    assert desk.kinds(FIRST)[2:] == ["Ticket.ScanRefused", "Ticket.Admitted", "Ticket.ScanRefused"]


def test_a_ticket_goes_out_and_in_again(desk: Desk):
    secret = paid_ticket(desk)
    outcomes = [desk.scan(secret, type=type) for type in ("exit", "entry", "exit", "entry")]
    assert outcomes == ["invalid", None, None, None]
    assert desk.ticket().admissions == 2


@on_both_databases
def test_a_transfer_to_nobody_is_not_found_but_recorded(desk: Desk):
    secret = paid_ticket(desk)
    with pytest.raises(NotFound, match="no customer"):
        transfer(desk, NOBODY)
    fact = desk.facts(FIRST)[-1]
    assert isinstance(fact, Ticket.TransferRefused)
    assert (fact.to_customer_id, fact.refusal) == (NOBODY, "unknown_customer")
    assert desk.ticket().secret == secret


def test_a_refused_transfer_says_why_and_is_recorded(desk: Desk):
    desk.scan(paid_ticket(desk))
    with pytest.raises(TransferRefused, match="admitted already"):
        transfer(desk, BORIS)
    assert desk.kinds(FIRST)[-1] == "Ticket.TransferRefused"


@pytest.mark.parametrize(
    ("end", "words"), [("cancelled", "The event is cancelled"), ("erased", "was erased")]
)
def test_what_happened_elsewhere_refuses_a_transfer(desk: Desk, end: str, words: str):
    paid_ticket(desk)
    if end == "cancelled":
        desk.do(cancel_event, event_id=FESTIVAL)
    else:
        desk.do(erase, customer_id=BORIS)
    with pytest.raises(TransferRefused, match=words):
        transfer(desk, BORIS)


def test_nobody_enters_a_cancelled_event_but_everybody_may_leave(desk: Desk):
    secret = paid_ticket(desk)
    desk.scan(secret)
    desk.do(cancel_event, event_id=FESTIVAL)
    assert desk.scan(secret, type="exit") is None
    assert desk.scan(secret) == "canceled"
    assert desk.scan(secret, forced=True) == "canceled"


def test_a_ticket_of_another_event_is_refused_and_its_type_not_told(desk: Desk):
    secret = paid_ticket(desk)
    answer = desk.do(check_in, scan=Scan(CONCERT), event_id=CONCERT, ticket_id=FIRST, secret=secret)
    assert (answer.body["status"], answer.body["reason"]) == ("error", "product")
    assert answer.body["ticket_type"] is None


def test_the_gate_is_told_whom_to_let_in(desk: Desk):
    secret = paid_ticket(desk)
    desk.now = NOW + timedelta(hours=1)
    answer = desk.do(
        check_in, scan=Scan(FESTIVAL), event_id=FESTIVAL, ticket_id=FIRST, secret=secret
    )
    told = {name: answer.body[name] for name in ("status", "reason", "ticket_type", "at")}
    assert told == {"status": "ok", "reason": None, "ticket_type": "Adult", "at": desk.now}


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param("garbage", id="garbage"),
        pytest.param("schlüssel", id="not even ASCII"),
        pytest.param("", id="empty"),
        pytest.param(new_secret(FIRST), id="of a ticket"),
        pytest.param(new_secret(SECOND), id="of no ticket"),
    ],
)
def test_a_forgery_is_refused_and_kept_apart_from_every_ticket(desk: Desk, shown: str):
    paid_ticket(desk)
    assert [desk.scan(shown), desk.scan(shown)] == ["invalid", "invalid"]
    kinds = desk.kinds(Unmatched.id_for(shown))
    assert kinds == ["Unmatched.Presented", "Unmatched.PresentedAgain"]
    assert desk.kinds(FIRST) == ["Ticket.Issued"]


@on_both_databases
def test_a_ticket_looked_up_before_its_order_is_paid_is_unpaid(desk: Desk):
    desk.place(FIRST)
    found = {FIRST: ORDER}.get
    assert desk.scan(None, FIRST, found) == "unpaid"
    desk.pay()
    assert desk.scan(None, FIRST, found) is None


def test_a_ticket_of_an_order_that_was_never_paid_is_canceled(desk: Desk):
    desk.place(FIRST)
    desk.do(cancel_order, order_id=ORDER)
    assert desk.scan(None, FIRST, lambda _: ORDER) == "canceled"


def test_a_ticket_that_its_alleged_order_does_not_know_is_invalid(desk: Desk):
    desk.place(FIRST)
    assert desk.scan(None, SECOND, lambda _: ORDER) == "invalid"
    assert desk.scan(None, SECOND, lambda _: OTHER_ORDER) == "invalid"
    assert desk.scan(None, SECOND) == "invalid"


def test_an_attempt_at_an_unknown_event_is_not_found(desk: Desk):
    with pytest.raises(NotFound, match="no event"):
        desk.do(check_in, scan=Scan(NOBODY), event_id=NOBODY, ticket_id=FIRST)


# Ids that callers choose


def test_a_line_with_more_tickets_than_ids_is_refused(desk: Desk):
    with pytest.raises(InvalidOrder):
        desk.place(FIRST, quantity=2)


@on_both_databases
@pytest.mark.usefixtures("unlogged")
def test_an_id_that_something_else_has_is_refused_and_harms_nobody_else(desk: Desk):
    desk.place(FIRST)
    profile = Profile("Clara", "clara@example.org")
    refused, paid = desk.do_at_once(
        desk.command(register_customer, customer_id=ORDER, profile=profile),
        desk.command(pay_order, order_id=ORDER, method="card"),
    )
    assert isinstance(refused, AlreadyExists)
    assert isinstance(paid, Answer)


@on_both_databases
@pytest.mark.usefixtures("unlogged")
def test_a_ticket_is_not_issued_again_for_another_order_and_harms_nobody_else(desk: Desk):
    paid_ticket(desk)
    desk.place(FIRST, order=OTHER_ORDER)
    refused, started = desk.do_at_once(
        desk.command(pay_order, order_id=OTHER_ORDER, method="card"),
        desk.command(start_event, event_id=FESTIVAL),
    )
    assert isinstance(refused, AlreadyExists)
    assert isinstance(started, Answer)
    assert desk.counts() == (1, 1)
