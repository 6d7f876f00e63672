"""Group commit: many threads and processes, one log, each command on its own feet."""

import ctypes
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection
from sqlalchemy import event as engine_event

from application.customers import change_customer, register_customer
from application.events import cancel_event, change_ticket_type
from application.gate import transfer_ticket
from application.orders import Wish, cancel_order
from application.store import answers, group_commit, log
from application.store.group_commit import BATCHES, MISSED
from application.store.log import Head
from application.store.mapper import Undecodable
from application.store.work import Answer, Outcome, Work
from domain.customer import Customer, Profile
from domain.errors import AlreadyExists, EventCancelled, Forbidden, SoldOut, TransferRefused
from domain.event import Event
from domain.ids import uuid7
from domain.ticket import Ticket
from tests.application.store.conftest import OpenDesk
from tests.application.store.desk import Desk, command, counted, placing
from tests.domain.given import (
    ADULT,
    ANNA,
    BORIS,
    CLARA,
    FESTIVAL,
    FIRST,
    KID,
    SECOND,
    THIRD,
    issued,
)
from tests.later_version import from_a_later_version, know_the_later_version
from tests.statements import hearing

THREADS = 16
BORIS_AS = Profile("Boris", "boris@example.com")


# Many threads


def test_each_command_of_16_threads_is_acknowledged_once(desk: Desk):
    before = counted(BATCHES)
    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(lambda _: desk.place(), range(THREADS * 30)))
    placed = desk.streams("Order.Placed")
    assert len(placed) == THREADS * 30
    assert {each.body["id"] for each in answers} == set(placed)
    assert desk.stored(FESTIVAL).committed == THREADS * 30
    assert counted(BATCHES) - before < THREADS * 30


def test_an_answer_has_the_position_of_the_last_event_of_its_command(desk: Desk):
    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(lambda _: desk.place(), range(THREADS * 4)))
    with desk.engine.connect() as connection:
        entries = {entry.position: entry for entry in log.read(connection, limit=1000)}
    for placed in answers:
        entry = entries[placed.position]
        assert (entry.stream_id, entry.topic) == (placed.body["id"], "Order.Placed")
    assert len({placed.position for placed in answers}) == len(answers)


def test_the_position_of_a_command_without_events_is_the_end_of_the_log(desk: Desk):
    end = desk.position()
    unchanged = desk.do(change_customer, customer_id=ANNA, changes={"name": "Anna"})
    assert unchanged.position == end == desk.position()


def test_nobody_sleeps_for_ever_however_commands_queue_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(group_commit, "LARGEST_BATCH", 3)
    sizes = [number % 9 + 1 for number in range(THREADS * 5)]
    with ThreadPoolExecutor(THREADS) as threads:
        done = list(threads.map(lambda size: desk.do_all(*(placing() for _ in range(size))), sizes))
    assert [len(outcomes) for outcomes in done] == sizes
    orders = [answer(outcome).body["id"] for outcomes in done for outcome in outcomes]
    assert len(orders) == sum(sizes)
    assert set(orders) == set(desk.streams("Order.Placed"))


def answer(outcome: Outcome) -> Answer:
    """The answer, of a command that must not have failed."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def test_no_commands_have_no_outcomes(desk: Desk):
    assert desk.do_all() == []


def test_an_answer_is_given_after_the_commit(desk: Desk):
    committing, may_commit = threading.Event(), threading.Event()

    def hold_back(_: Connection, sql: str = "COMMIT") -> None:
        if "COMMIT" in sql:
            committing.set()
            assert may_commit.wait(30)

    if desk.engine.name == "sqlite":
        engine_event.listen(desk.engine, "commit", hold_back)
    with hearing(desk.batching, before=hold_back), ThreadPoolExecutor(1) as threads:
        placing_one = threads.submit(desk.place)
        assert committing.wait(30)
        assert not placing_one.done()
        may_commit.set()
        assert placing_one.result().body["status"] == "placed"


# A command that raises


def spoil(work: Work, error: Exception, save: int) -> None:
    """Change the festival and Anna, save the first `save` of them, and raise."""
    event, customer = work.load(Event, FESTIVAL), work.load(Customer, ANNA)
    event.hold(uuid7(), {ADULT: 3}, work.now)
    customer.change(Profile("Eve", "eve@example.com"), work.now)
    work.save(*[event, customer][:save])
    raise error


@pytest.mark.parametrize(
    ("error", "save"), [(ZeroDivisionError(), 0), (Forbidden(), 1), (ZeroDivisionError(), 2)]
)
def test_a_command_that_raises_fails_alone_and_leaves_no_trace(
    desk: Desk, error: Exception, save: int
):
    before = counted(BATCHES)
    first, failed, second = desk.do_all(
        placing(), command(spoil, error=error, save=save), placing(wishes=[Wish(KID, 5)])
    )
    assert failed is error
    assert counted(BATCHES) - before == 1
    answer(first)
    answer(second)
    assert_sold(desk, adults=1, kids=5)
    assert desk.stored(ANNA).profile.name == "Anna"
    assert "Customer.Changed" not in desk.topics()
    desk.place()
    assert_sold(desk, adults=2, kids=5)


def assert_sold(desk: Desk, *, adults: int, kids: int) -> None:
    """In the log, and as the executor has it."""
    for event in (desk.stored(FESTIVAL), desk.cached(FESTIVAL)):
        if event is not None:
            assert event.ticket_types[ADULT].committed == adults
            assert event.ticket_types[KID].committed == kids


def test_a_command_that_raises_takes_nothing_from_those_before_it_nor_from_earlier_batches(
    desk: Desk,
):
    desk.place()
    before = counted(BATCHES)
    first, failed, second = desk.do_all(
        placing(), command(spoil, error=Forbidden(), save=0), placing()
    )
    assert isinstance(failed, Forbidden)
    assert counted(BATCHES) - before == 1
    answer(first)
    answer(second)
    assert_sold(desk, adults=3, kids=0)


def test_what_a_failed_command_has_spoilt_is_loaded_again_once(desk: Desk):
    def hold_twice(work: Work) -> Event:
        for _ in range(2):
            event = work.load(Event, FESTIVAL)
            event.hold(uuid7(), {ADULT: 1}, work.now)
            work.save(event)
        return event

    before = counted(BATCHES)
    failed, held = desk.do_all(command(spoil, error=Forbidden(), save=2), command(hold_twice))
    assert isinstance(failed, Forbidden)
    assert counted(BATCHES) - before == 1
    answer(held)
    assert_sold(desk, adults=2, kids=0)


def test_a_command_that_does_not_save_what_it_changed_fails_alone(desk: Desk):
    def forget_to_save(work: Work) -> Customer:
        event, customer = work.load(Event, FESTIVAL), work.load(Customer, ANNA)
        customer.change(Profile("Eve", "eve@example.com"), work.now)
        event.hold(uuid7(), {ADULT: 3}, work.now)
        work.save(customer)
        return customer

    forgotten, placed = desk.do_all(command(forget_to_save), placing())
    assert isinstance(forgotten, RuntimeError)
    assert "was changed, but not saved" in str(forgotten)
    answer(placed)
    assert_sold(desk, adults=1, kids=0)
    assert desk.stored(ANNA).profile.name == "Anna"


def test_a_command_that_raises_at_the_end_of_a_batch_spares_those_before(desk: Desk):
    placed, failed = desk.do_all(placing(), command(spoil, error=Forbidden("no"), save=2))
    answer(placed)
    assert isinstance(failed, Forbidden)
    desk.place()
    assert_sold(desk, adults=2, kids=0)


def test_a_refusal_that_is_returned_keeps_the_evidence(desk: Desk):
    desk.given(issued())
    refused = command(transfer_ticket, ticket_id=FIRST, to_customer_id=ANNA)
    (outcome,) = desk.do_all(refused)
    assert isinstance(outcome, TransferRefused)
    assert desk.topics()["Ticket.TransferRefused"] == 1


def issue(work: Work, ticket_id: UUID, reason: str = "", fails: bool = False) -> Ticket:
    """Make a ticket without looking whether there is one."""
    ticket = issued_as(ticket_id)
    if reason:
        ticket.block(reason, work.now)
    work.save(ticket)
    if fails:
        raise Forbidden("no")
    return ticket


def issued_as(ticket_id: UUID) -> Ticket:
    shape = issued()
    kept = ("event_id", "ticket_type_id", "order_id", "holder_id", "secret", "reentry")
    of = {name: getattr(shape, name) for name in kept}
    return Ticket.issue(ticket_id, **of, now=shape.created_on)


def look(work: Work, wanted: UUID) -> Event:
    """Say by an error whether there is a ticket; `wanted` is no id that is loaded beforehand."""
    if work.find(Ticket, wanted) is not None:
        raise AlreadyExists("there")
    return work.load(Event, FESTIVAL)


def test_what_a_failed_command_would_have_made_is_not_there_for_the_next(desk: Desk):
    failed, looked = desk.do_all(
        command(issue, ticket_id=FIRST, fails=True), command(look, wanted=FIRST)
    )
    assert isinstance(failed, Forbidden)
    answer(looked)
    made_again, seen = desk.do_all(command(issue, ticket_id=FIRST), command(look, wanted=FIRST))
    answer(made_again)
    assert isinstance(seen, AlreadyExists)


def unseen(decide: Callable[..., Any], ticket_id: UUID) -> Callable[..., Any]:
    """`decide` on an id that is not among the arguments, and so is not loaded beforehand."""

    def on_it(work: Work, **arguments: Any) -> Any:
        return decide(work, ticket_id, **arguments)

    return on_it


def test_what_a_failed_command_made_unseen_does_not_trouble_the_next(desk: Desk):
    failed, looked = desk.do_all(
        command(unseen(issue, FIRST), fails=True), command(unseen(look, FIRST))
    )
    assert isinstance(failed, Forbidden)
    answer(looked)


def test_what_cannot_be_written_fails_alone_and_leaves_no_trace(desk: Desk):
    no_text = "\ud800"
    placed, failed, last = desk.do_all(
        placing(), command(issue, ticket_id=FIRST, reason=no_text), placing()
    )
    answer(placed)
    answer(last)
    assert isinstance(failed, ValueError)
    assert desk.stored(FIRST) is None
    assert desk.topics()["Order.Placed"] == 2


def test_what_exists_already_is_refused_alone_when_nobody_had_looked(desk: Desk):
    desk.given(issued_as(FIRST))
    placed, again, made, twice, last = desk.do_all(
        placing(),
        command(unseen(issue, FIRST)),
        command(unseen(issue, SECOND)),
        command(unseen(issue, SECOND)),
        placing(),
    )
    assert [type(again), type(twice)] == [AlreadyExists, AlreadyExists]
    for accepted in (placed, made, last):
        answer(accepted)
    assert desk.topics()["Order.Placed"] == 2
    assert desk.streams("Ticket.Issued") == [FIRST, SECOND]
    desk.do(unseen(issue, THIRD))


def test_an_id_of_another_kind_is_refused_alone(desk: Desk):
    placed, refused = desk.do_all(
        placing(), command(register_customer, customer_id=FESTIVAL, profile=BORIS_AS)
    )
    answer(placed)
    assert isinstance(refused, AlreadyExists)
    assert desk.stored(FESTIVAL).committed == 1


# Several processes


def test_two_executors_never_oversell_and_agree_with_the_log(desk: Desk, open_desk: OpenDesk):
    desk.do(change_ticket_type, event_id=FESTIVAL, ticket_type_id=ADULT, changes={"quantity": 100})
    desks = [desk, open_desk()]

    def try_to_place(number: int) -> bool:
        try:
            desks[number % 2].place()
        except SoldOut:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as threads:
        placed = sum(threads.map(try_to_place, range(300)))
    assert placed == 100 == desk.topics()["Order.Placed"] == desk.topics()["Event.TicketsHeld"]
    assert desk.stored(FESTIVAL).committed == 100
    for each in desks:
        with pytest.raises(SoldOut):
            each.place()
        shown = each.do(change_ticket_type, event_id=FESTIVAL, ticket_type_id=ADULT, changes={})
        assert [kind["held"] for kind in shown.body["ticket_types"]] == [100, 0]


def test_an_event_that_another_process_cancelled_sells_nothing(desk: Desk, open_desk: OpenDesk):
    other = open_desk()
    desk.place()
    other.do(cancel_event, event_id=FESTIVAL)
    with pytest.raises(EventCancelled):
        desk.place()


def test_what_a_command_only_read_must_be_as_it_read_it(desk: Desk, open_desk: OpenDesk):
    """A transfer writes the ticket and relies on the event, which another process cancels."""
    desk.given(issued())
    desk.do(register_customer, customer_id=BORIS, profile=BORIS_AS)
    desk.do(transfer_ticket, ticket_id=FIRST, to_customer_id=BORIS)
    open_desk().do(cancel_event, event_id=FESTIVAL)
    missed = counted(MISSED)
    with pytest.raises(TransferRefused, match="cancelled"):
        desk.do(transfer_ticket, ticket_id=FIRST, to_customer_id=ANNA)
    assert desk.stored(FIRST).holder_id == BORIS
    assert counted(MISSED) - missed == 1


def test_what_is_read_whole_is_not_caught_up_with_as_well(desk: Desk, open_desk: OpenDesk):
    """What another process has recorded of Boris was missed, and he was not in the map."""
    desk.place()
    other = open_desk()
    other.do(register_customer, customer_id=BORIS, profile=BORIS_AS)
    other.do(change_customer, customer_id=BORIS, changes={"phone": "1"})
    assert desk.do(change_customer, customer_id=BORIS, changes={"phone": "2"}).version == 3


def test_what_was_not_there_when_a_command_looked_must_still_not_be(
    desk: Desk, open_desk: OpenDesk
):
    """The desk knows that there is no Boris, while another process registers him."""
    desk.place()
    looked = threading.Event()

    def register_slowly(work: Work, customer_id: UUID) -> Customer:
        missing = work.find(Customer, customer_id) is None
        looked.set()
        if not missing:
            raise AlreadyExists
        customer = Customer.register(customer_id, BORIS_AS, work.now)
        work.save(customer)
        return customer

    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(desk.do, register_slowly, customer_id=BORIS)
        assert looked.wait(30)
        other = open_desk().do_all(command(register_customer, customer_id=BORIS, profile=BORIS_AS))
        outcomes = [slow.exception(), *other]
    assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 1
    assert desk.streams("Customer.Registered") == [ANNA, BORIS]


def test_a_refusal_is_not_given_on_what_is_out_of_date(desk: Desk, open_desk: OpenDesk):
    kids = {"wishes": [Wish(KID, 5)]}
    placed = desk.place(**kids)
    with pytest.raises(SoldOut):
        desk.place(**kids)
    open_desk().do(cancel_order, order_id=placed.body["id"])
    assert desk.place(**kids).body["status"] == "placed"


def test_a_desk_far_behind_starts_over(
    desk: Desk, open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(group_commit, "MOST_TO_CATCH_UP", 10)
    desk.place()
    open_desk().do_all(*(placing() for _ in range(20)))
    assert desk.place().position == desk.position()
    assert_sold(desk, adults=22, kids=0)


@pytest.mark.parametrize(("most", "missed"), [(4, 4), (3, 0)])
def test_of_too_much_that_was_missed_nothing_is_read_and_nothing_known_is_trusted(
    desk: Desk, open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch, most: int, missed: int
):
    monkeypatch.setattr(group_commit, "MOST_TO_CATCH_UP", most)
    known, before = desk.place().body["id"], counted(MISSED)
    open_desk().do_all(placing(), placing())
    desk.place()
    assert counted(MISSED) - before == missed
    assert (desk.cached(known) is None) == (missed == 0)
    assert_sold(desk, adults=4, kids=0)


def test_what_a_later_version_recorded_troubles_only_who_asks_for_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, changed_classes: None
):
    desk.do(register_customer, customer_id=BORIS, profile=BORIS_AS)
    for customer in (ANNA, BORIS):
        desk.do(change_customer, customer_id=customer, changes={"phone": "1"})
    from_a_later_version(desk.engine, ANNA)

    to_anna = command(change_customer, customer_id=ANNA, changes={"phone": "2"})
    to_boris = command(change_customer, customer_id=BORIS, changes={"phone": "2"})
    assert answer(desk.do_all(to_boris)[0]).version == 3
    for _ in range(2):
        refused, done = desk.do_all(to_anna, to_boris)
        assert isinstance(refused, Undecodable)
        assert isinstance(done, Answer)

    know_the_later_version(monkeypatch)
    assert desk.do(change_customer, customer_id=ANNA, changes={"phone": "3"}).version == 5


def lost_commit(desk: Desk, ahead: int) -> None:
    """Let the desk believe in commits that the log, taken over by a standby, never received."""
    desk.executor._known = Head(desk.position() + ahead, bytes(reversed(range(32))))
    desk.cached(FESTIVAL)._version += 5


@pytest.mark.parametrize("ahead", [5, 0, -1])
def test_a_desk_that_knows_another_log_starts_over(desk: Desk, ahead: int):
    """The log it finds is shorter, as long, or has gone on in another way."""
    desk.place()
    lost_commit(desk, ahead)
    assert desk.place().body["status"] == "placed"
    assert_sold(desk, adults=2, kids=0)


def test_what_a_desk_looked_up_in_another_log_is_looked_up_again(desk: Desk, open_desk: OpenDesk):
    open_desk().do(register_customer, customer_id=BORIS, profile=BORIS_AS)
    desk.place()
    lost_commit(desk, -1)
    assert desk.do(change_customer, customer_id=BORIS, changes={"phone": "1"}).version == 2


def test_who_comes_while_a_broken_batch_is_decided_one_by_one_waits_for_the_next(desk: Desk):
    """Each gets their own answer."""
    desk.given(issued_as(FIRST))
    deciding, go_on = threading.Event(), threading.Event()

    def decide_slowly(work: Work) -> Customer:
        deciding.set()
        assert go_on.wait(30)
        return work.load(Customer, ANNA)

    with ThreadPoolExecutor(2) as threads:
        broken = threads.submit(desk.do_all, command(decide_slowly), command(unseen(issue, FIRST)))
        assert deciding.wait(30)
        late = threads.submit(desk.do, register_customer, customer_id=CLARA, profile=BORIS_AS)
        while not desk.executor._queue:
            time.sleep(0.01)
        go_on.set()
        looked, refused = broken.result()
        assert late.result().body["id"] == CLARA
    assert answer(looked).body["id"] == ANNA
    assert isinstance(refused, AlreadyExists)


def test_an_interrupted_batch_leaves_nothing_to_be_trusted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    """Dramatiq interrupts a job by an exception that is no `Exception`, wherever it is."""
    desk.place()

    class Interrupted(BaseException):
        pass

    def interrupt(*_: Any) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(answers, "keep", interrupt)
        with pytest.raises(Interrupted):
            desk.place()
    assert desk.place().body["status"] == "placed"
    assert_sold(desk, adults=2, kids=0)


def test_who_is_interrupted_in_the_queue_leaves_the_lead_to_others(desk: Desk):
    """Dramatiq's exception comes to a thread that waits when it wakes up: to lead."""

    class Interrupted(BaseException):
        pass

    deciding, go_on = threading.Event(), threading.Event()

    def decide_slowly(work: Work) -> Customer:
        deciding.set()
        assert go_on.wait(10)
        return work.load(Customer, ANNA)

    def wait_in_vain() -> None:
        with pytest.raises(Interrupted):
            desk.place()

    leader = threading.Thread(target=desk.do, args=(decide_slowly,))
    waiting = threading.Thread(target=wait_in_vain)
    leader.start()
    assert deciding.wait(10)
    waiting.start()
    while not desk.executor._queue:
        time.sleep(0.01)
    time.sleep(0.1)  # it waits for its turn by then
    assert waiting.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(waiting.ident), ctypes.py_object(Interrupted)
    )
    go_on.set()
    for thread in (leader, waiting):
        thread.join(10)
    later = threading.Thread(target=desk.place, daemon=True)
    later.start()
    later.join(10)
    assert not later.is_alive()
    assert_sold(desk, adults=1, kids=0)


def test_the_cache_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(group_commit, "CACHED_AGGREGATES", 5)
    for _ in range(4):
        desk.do_all(*(placing() for _ in range(10)))
        assert len(desk.executor._aggregates) <= 5
    assert_sold(desk, adults=40, kids=0)


def test_what_was_used_last_stays_in_the_cache(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(group_commit, "CACHED_AGGREGATES", 5)
    first = desk.place().body["id"]
    for _ in range(3):
        desk.place()
    assert desk.cached(first) is None
    assert desk.cached(FESTIVAL) == desk.stored(FESTIVAL)


def test_clara_can_be_registered_once(desk: Desk):
    outcomes = desk.do_all(
        *(command(register_customer, customer_id=CLARA, profile=BORIS_AS) for _ in range(3))
    )
    assert [type(outcome) for outcome in outcomes] == [Answer, AlreadyExists, AlreadyExists]
