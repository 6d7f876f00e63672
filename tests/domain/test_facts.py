"""What holds for every aggregate and every event class: topics, replay, JSON, snapshots."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from eventsourcing.utils import resolve_topic

from application.store import mapper
from application.store.log import Entry
from application.store.mapper import (
    Undecodable,
    from_snapshot,
    take_snapshot,
    to_fact,
    to_new_entry,
)
from domain.aggregate import Aggregate, Fact
from domain.customer import Customer, Profile
from domain.event import Event
from domain.gate import Unmatched
from domain.order import Order
from domain.ticket import Ticket
from tests.domain.given import (
    ADULT,
    CAMPER,
    DOORS,
    END,
    HOLD_ENDS,
    KID,
    NOW,
    ORDER,
    OTHER_ORDER,
    SECOND,
    START,
    STRANGE,
    details,
    drafted,
    entry,
    issued,
    paid,
    placed,
    registered,
    scan,
    terms,
    transfer,
)

ODD_SCAN = entry(
    device_info='Zebra "TC52" — № 7',
    forced=True,
    additional_metadata={"battery": 0.5, "tags": ["🎟", None, {"deep": [True, 1]}]},
)


def life_of_an_event() -> Event:
    event = drafted(description="Three days", capacity=9, registration_deadline=START)
    window = {"sale_starts_at": NOW, "sale_ends_at": END, "max_per_order": 4}
    event.add_ticket_type(CAMPER, terms(name="Camper", quantity=None, **window), NOW)
    event.change(details(title="Midsommar – Ålesund", timezone="Europe/Oslo", online=True), NOW)
    event.change_ticket_type(ADULT, terms(price=6000, reentry=False), NOW)
    event.publish(NOW)
    event.hold(ORDER, {ADULT: 2, KID: 1}, NOW)
    event.sell(ORDER, {ADULT: 2, KID: 1}, 13000, NOW)
    event.hold(OTHER_ORDER, {CAMPER: 1}, NOW)
    event.release(OTHER_ORDER, {CAMPER: 1}, HOLD_ENDS)
    event.start(START)
    event.take_back(ORDER, {KID: 1}, 1000, START)
    event.complete(END)
    return event


def a_cancelled_event() -> Event:
    event = drafted()
    event.cancel("storm", NOW)
    return event


def a_refunded_order() -> Order:
    order = placed()
    order.pay("cash", "", 1, NOW)
    order.pay("card", "ch_1", 11000, NOW)
    order.refund([SECOND], "ill", NOW)
    order.refund([], "", DOORS)
    return order


def a_cancelled_order() -> Order:
    order = placed()
    order.cancel("changed my mind", NOW)
    return order


def an_expired_order() -> Order:
    order = placed()
    order.expire(HOLD_ENDS)
    return order


def life_of_a_ticket() -> Ticket:
    ticket = issued()
    transfer(ticket)
    transfer(ticket)
    ticket.block("charge-back", NOW)
    scan(ticket, None)
    ticket.unblock(NOW)
    ticket.present(ODD_SCAN, None, why_not=None, now=DOORS)
    scan(ticket, None, type="exit")
    ticket.void("refunded", END)
    return ticket


def life_of_a_customer() -> Customer:
    customer = registered()
    customer.change(Profile("Zoë 'Z' O’Neil", "zoe@example.org"), NOW)
    customer.erase(NOW + timedelta(microseconds=1))
    return customer


def a_forgery() -> Unmatched:
    forged = Unmatched.present("a secret of nobody", ODD_SCAN, "invalid", None, DOORS)
    forged.present_again(entry(), "unpaid", STRANGE, END)
    return forged


LIVES = (
    life_of_an_event,
    a_cancelled_event,
    paid,
    a_refunded_order,
    a_cancelled_order,
    an_expired_order,
    life_of_a_ticket,
    life_of_a_customer,
    a_forgery,
)

TOPICS = """
Customer.Changed Customer.Erased Customer.Registered
Event.Cancelled Event.Changed Event.Completed Event.Drafted Event.HoldReleased Event.Published
Event.Started Event.TicketTypeAdded Event.TicketTypeChanged Event.TicketsHeld
Event.TicketsReturned Event.TicketsSold
Order.Cancelled Order.Expired Order.Paid Order.PaymentRefused Order.Placed Order.Refunded
Ticket.Admitted Ticket.Blocked Ticket.Issued Ticket.LetOut Ticket.ScanRefused
Ticket.TransferRefused Ticket.Transferred Ticket.Unblocked Ticket.Voided
Unmatched.Presented Unmatched.PresentedAgain
"""


def aggregate_classes() -> list[type[Aggregate]]:
    return [cls for cls in Aggregate.__subclasses__() if cls.__module__.startswith("domain.")]


def fact_classes() -> Iterator[type[Fact]]:
    for aggregate_class in aggregate_classes():
        for name, member in vars(aggregate_class).items():
            if isinstance(member, type) and issubclass(member, Fact) and name != "Event":
                yield member


def samples() -> dict[type[Fact], Fact]:
    """A fact of every class that happens in one of the lives."""
    lives = [life() for life in LIVES]
    return {type(fact): fact for aggregate in lives for fact in facts_of(aggregate)}


def facts_of(aggregate: Aggregate) -> list[Fact]:
    return [fact for fact in aggregate.collect_events() if isinstance(fact, Fact)]


def replay(facts: Iterable[Fact]) -> Iterator[Aggregate]:
    """The aggregate after each fact."""
    aggregate: Aggregate | None = None
    for fact in facts:
        aggregate = fact.mutate(aggregate)
        assert aggregate is not None
        yield aggregate


def recorded(fact: Fact) -> Entry:
    new = to_new_entry(fact, '{"actor":"box office"}')
    return Entry(7, *new, recorded_at=datetime(2026, 6, 2, tzinfo=UTC))


SAMPLES = samples()
every_class = pytest.mark.parametrize("cls", list(fact_classes()), ids=lambda cls: cls.__qualname__)
every_life = pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)


@every_class
def test_a_fact_pins_its_topic(cls: type[Fact]):
    topic = getattr(cls, "TOPIC", "missing")
    owner = next(owner for owner in aggregate_classes() if cls in vars(owner).values())
    assert resolve_topic(topic) is cls
    assert topic.partition(".")[0] == getattr(owner, "TOPIC", None), "its aggregate comes first"


def test_topics_that_the_log_may_hold_keep_their_names():
    assert {getattr(cls, "TOPIC", cls) for cls in fact_classes()} == set(TOPICS.split())


@pytest.mark.parametrize("cls", aggregate_classes(), ids=lambda cls: cls.__name__)
def test_an_aggregate_pins_its_topic_and_the_version_of_its_state(cls: type[Aggregate]):
    assert vars(cls)["TOPIC"] == cls.__name__
    assert resolve_topic(cls.__name__) is cls
    assert isinstance(cls.class_version, int)


@every_class
def test_a_fact_comes_back_from_its_json(cls: type[Fact]):
    assert cls in SAMPLES, f"Let {cls.__qualname__} happen in one of the LIVES."
    fact = SAMPLES[cls]
    back = to_fact(recorded(fact))
    assert type(back) is cls
    assert back == fact
    assert vars(back).keys() >= vars(fact).keys()


@every_class
def test_a_fact_that_came_back_is_written_the_same(cls: type[Fact]):
    entry = recorded(SAMPLES[cls])
    assert recorded(to_fact(entry)) == entry
    assert json.loads(entry.payload)["v"] == cls.class_version


@every_class
def test_a_fact_that_came_back_knows_its_place_in_the_log(cls: type[Fact]):
    entry = recorded(SAMPLES[cls])
    back = to_fact(entry)
    assert (back.position, back.recorded_at) == (7, entry.recorded_at)
    assert (back.occurred_at, back.about) == (SAMPLES[cls].occurred_at, {"actor": "box office"})


def test_a_fact_that_is_not_recorded_has_no_place_in_the_log():
    fact = SAMPLES[Ticket.Admitted]
    assert (fact.position, fact.recorded_at, fact.about) == (0, None, {})


@every_life
def test_replaying_what_happened_gives_an_equal_aggregate(life):
    aggregate = life()
    facts = facts_of(aggregate)
    assert [fact.originator_version for fact in facts] == list(range(1, len(facts) + 1))
    *_, replayed = replay(facts)
    assert replayed == aggregate


@every_life
def test_replaying_what_came_back_from_json_gives_an_equal_aggregate(life):
    aggregate = life()
    *_, replayed = replay([to_fact(recorded(fact)) for fact in facts_of(aggregate)])
    assert replayed == aggregate


@every_life
def test_a_snapshot_at_any_version_holds_the_whole_state(life):
    for aggregate in replay(facts_of(life())):
        restored = from_snapshot(
            type(aggregate), aggregate.id, aggregate.version, take_snapshot(aggregate)
        )
        assert restored == aggregate


@every_life
def test_life_goes_on_from_a_snapshot(life):
    facts = facts_of(life())
    (*_, whole), half = replay(facts), facts[: len(facts) // 2 + 1]
    (*_, young) = replay(half)
    aged = from_snapshot(type(young), young.id, young.version, take_snapshot(young))
    for fact in facts[len(half) :]:
        aged = fact.mutate(aged)
    assert aged == whole


def test_a_snapshot_of_another_shape_is_not_used(monkeypatch: pytest.MonkeyPatch):
    order = paid()
    snapshot = take_snapshot(order)
    monkeypatch.setattr(Order, "class_version", Order.class_version + 1)
    assert from_snapshot(Order, order.id, order.version, snapshot) is None


def test_a_payment_refused_by_a_version_that_did_not_record_its_amount_is_read():
    fact = SAMPLES[Order.PaymentRefused]
    entry = recorded(fact)
    assert isinstance(fact, Order.PaymentRefused)
    payload = entry.payload.replace('"v":2', '"v":1').replace(f'"amount":{fact.amount},', "")
    assert payload != entry.payload
    assert vars(to_fact(entry._replace(payload=payload))) == vars(to_fact(entry)) | {"amount": None}


def test_a_fact_of_an_earlier_version_is_read_as_it_would_be_written_now(
    monkeypatch: pytest.MonkeyPatch, changed_classes: None
):
    fact = SAMPLES[Ticket.Transferred]
    entry = recorded(fact)
    earlier = entry._replace(payload=entry.payload.replace('"reason"', '"because"'))
    assert earlier != entry

    def rename(content: dict[str, Any]) -> None:
        content["reason"] = content.pop("because")

    monkeypatch.setattr(Ticket.Transferred, "class_version", 2)
    monkeypatch.setattr(Ticket.Transferred, "upcast_v1_v2", rename, raising=False)
    mapper._codec.cache_clear()
    assert to_fact(earlier) == fact


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ('{"v":2,"reason":""}', "it is of version 2, and this program knows 1"),
        ('{"v":1,"reason":""}', "missing required field"),
        ('{"v":0,"reason":""}', "upcast_v0_v1"),
        ('{"reason":""}', "'v'"),
        ("[]", "integer"),
        ("{", "truncated"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(payload: str, why: str):
    entry = recorded(SAMPLES[Ticket.Transferred])._replace(payload=payload)
    place = "Ticket.Transferred at position 7 cannot be read: "
    with pytest.raises(Undecodable, match=f"^{place}.*{why}"):
        to_fact(entry)


def test_a_topic_that_is_not_known_cannot_be_read():
    entry = recorded(SAMPLES[Ticket.Transferred])._replace(topic="Ticket.Frozen")
    with pytest.raises(Undecodable, match=r"^Ticket\.Frozen at position 7 cannot be read: "):
        to_fact(entry)
