"""The rules of an event: its life, what it offers, and how much of it can be sold."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.errors import (
    AlreadyExists,
    BelowCommitted,
    CurrencyFixed,
    DomainError,
    EventCancelled,
    EventOver,
    InvalidEvent,
    InvalidMoney,
    InvalidOrder,
    InvalidTicketType,
    NotFound,
    NothingToSell,
    NotOnSale,
    SoldOut,
    WrongEventStatus,
)
from domain.event import Event
from domain.money import LARGEST_PRICE
from tests.domain.given import (
    ADULT,
    CAMPER,
    DOORS,
    END,
    FESTIVAL,
    KID,
    MOMENT,
    NOW,
    ORDER,
    OTHER_ORDER,
    START,
    details,
    drafted,
    last,
    led_to,
    on_sale,
    terms,
)


def counts(event: Event, ticket_type_id: UUID = ADULT) -> tuple[int, int]:
    ticket_type = event.ticket_type(ticket_type_id)
    return ticket_type.held, ticket_type.sold


def sold(event: Event, quantity: int, order_id: UUID = ORDER) -> None:
    event.hold(order_id, {ADULT: quantity}, NOW)
    event.sell(order_id, {ADULT: quantity}, 5000 * quantity, NOW)


# What can be sold


def test_a_hold_takes_tickets_of_each_type_from_sale():
    event = on_sale()
    event.hold(ORDER, {ADULT: 2, KID: 1}, NOW)
    assert (counts(event, ADULT), counts(event, KID)) == ((2, 0), (1, 0))
    assert isinstance(last(event), Event.TicketsHeld)


def test_overselling_a_ticket_type_is_refused_though_others_are_left():
    event = on_sale(adult=terms(quantity=3))
    event.hold(ORDER, {ADULT: 2}, NOW)
    with pytest.raises(SoldOut, match="1 of Adult are left"):
        event.hold(OTHER_ORDER, {ADULT: 2, KID: 1}, NOW)
    assert (counts(event, ADULT), counts(event, KID)) == ((2, 0), (0, 0))


def test_the_last_ticket_of_a_type_is_sold():
    event = on_sale(adult=terms(quantity=3))
    event.hold(ORDER, {ADULT: 2}, NOW)
    event.hold(OTHER_ORDER, {ADULT: 1}, NOW)
    assert counts(event) == (3, 0)


def test_overselling_the_whole_capacity_is_refused_though_each_type_has_enough():
    event = on_sale(capacity=4)
    event.hold(ORDER, {ADULT: 2, KID: 1}, NOW)
    with pytest.raises(SoldOut, match="1 places are left in all"):
        event.hold(OTHER_ORDER, {ADULT: 1, KID: 1}, NOW)
    event.hold(OTHER_ORDER, {KID: 1}, NOW)
    assert event.committed == 4


def test_sold_tickets_count_as_much_as_held_ones():
    event = on_sale(adult=terms(quantity=3), capacity=5)
    sold(event, 3)
    with pytest.raises(SoldOut):
        event.hold(OTHER_ORDER, {ADULT: 1}, NOW)
    with pytest.raises(SoldOut):
        event.hold(OTHER_ORDER, {KID: 3}, NOW)


def test_without_quantity_and_capacity_there_is_no_limit():
    event = on_sale(adult=terms(quantity=None), capacity=None)
    event.hold(ORDER, {ADULT: 1_000_000}, NOW)
    assert counts(event) == (1_000_000, 0)


def test_a_quantity_of_zero_sells_nothing():
    event = on_sale(adult=terms(quantity=0))
    with pytest.raises(SoldOut):
        event.hold(ORDER, {ADULT: 1}, NOW)


def test_released_tickets_sell_again():
    event = on_sale(adult=terms(quantity=2))
    event.hold(ORDER, {ADULT: 2}, NOW)
    event.release(ORDER, {ADULT: 2}, NOW)
    event.hold(OTHER_ORDER, {ADULT: 2}, NOW)
    assert counts(event) == (2, 0)


def test_a_sale_turns_held_tickets_into_sold_ones():
    event = on_sale()
    event.hold(ORDER, {ADULT: 2}, NOW)
    event.hold(OTHER_ORDER, {ADULT: 3}, NOW)
    event.sell(ORDER, {ADULT: 2}, 10000, NOW)
    assert counts(event) == (3, 2)


def test_returned_tickets_sell_again():
    event = on_sale(adult=terms(quantity=2), capacity=2)
    sold(event, 2)
    event.take_back(ORDER, {ADULT: 1}, 5000, NOW)
    event.hold(OTHER_ORDER, {ADULT: 1}, NOW)
    assert counts(event) == (1, 1)


def test_a_ticket_type_of_another_event_is_not_found():
    with pytest.raises(NotFound):
        on_sale().hold(ORDER, {CAMPER: 1}, NOW)


def test_a_draft_sells_nothing():
    with pytest.raises(NotOnSale):
        drafted().hold(ORDER, {ADULT: 1}, NOW)


def test_an_ongoing_event_sells():
    event = led_to("ongoing")
    event.hold(ORDER, {ADULT: 1}, NOW)
    assert counts(event) == (1, 0)


def test_a_cancelled_event_sells_nothing():
    event = on_sale()
    event.hold(ORDER, {ADULT: 1}, NOW)
    event.cancel("storm", NOW)
    with pytest.raises(EventCancelled):
        event.hold(OTHER_ORDER, {ADULT: 1}, NOW)
    with pytest.raises(EventCancelled):
        event.sell(ORDER, {ADULT: 1}, 5000, NOW)


def test_a_cancelled_event_takes_its_tickets_back():
    event = on_sale()
    sold(event, 2)
    event.hold(OTHER_ORDER, {ADULT: 1}, NOW)
    event.cancel("storm", NOW)
    event.release(OTHER_ORDER, {ADULT: 1}, NOW)
    event.take_back(ORDER, {ADULT: 2}, 10000, NOW)
    assert event.committed == 0


def test_a_completed_event_sells_nothing():
    with pytest.raises(EventOver):
        led_to("completed").hold(ORDER, {ADULT: 1}, NOW)


def test_sales_end_at_the_registration_deadline():
    event = on_sale(registration_deadline=START)
    event.hold(ORDER, {ADULT: 1}, START - MOMENT)
    with pytest.raises(NotOnSale, match="ended"):
        event.hold(OTHER_ORDER, {ADULT: 1}, START)


def test_sales_end_with_the_event_when_there_is_no_deadline():
    event = on_sale()
    event.hold(ORDER, {ADULT: 1}, END - MOMENT)
    with pytest.raises(NotOnSale):
        event.hold(OTHER_ORDER, {ADULT: 1}, END)


def test_a_ticket_type_sells_from_the_start_of_its_window_and_until_its_end():
    opens, closes = NOW + timedelta(days=1), NOW + timedelta(days=2)
    event = on_sale(adult=terms(sale_starts_at=opens, sale_ends_at=closes))
    with pytest.raises(NotOnSale, match="not on sale yet"):
        event.hold(ORDER, {ADULT: 1}, opens - MOMENT)
    event.hold(ORDER, {ADULT: 1}, opens)
    event.hold(ORDER, {ADULT: 1}, closes - MOMENT)
    with pytest.raises(NotOnSale, match="have ended"):
        event.hold(OTHER_ORDER, {ADULT: 1}, closes)


def test_the_window_of_one_ticket_type_says_nothing_about_another():
    event = on_sale(adult=terms(sale_starts_at=START))
    event.hold(ORDER, {KID: 1}, NOW)
    assert counts(event, KID) == (1, 0)


@pytest.mark.parametrize("quantity", [-1, 0, 1, 5])
def test_an_order_outside_the_least_and_the_most_is_refused(quantity: int):
    event = on_sale(adult=terms(min_per_order=2, max_per_order=4))
    with pytest.raises(InvalidOrder):
        event.hold(ORDER, {ADULT: quantity}, NOW)


@pytest.mark.parametrize("quantity", [2, 4])
def test_an_order_of_the_least_or_the_most_is_taken(quantity: int):
    event = on_sale(adult=terms(min_per_order=2, max_per_order=4))
    event.hold(ORDER, {ADULT: quantity}, NOW)
    assert counts(event) == (quantity, 0)


# Its life

LEADS: dict[str, Any] = {
    "publish": lambda event: event.publish(NOW),
    "start": lambda event: event.start(NOW),
    "complete": lambda event: event.complete(NOW),
    "cancel": lambda event: event.cancel("storm", NOW),
}
ALLOWED = {
    ("draft", "publish"): "published",
    ("published", "start"): "ongoing",
    ("ongoing", "complete"): "completed",
    ("draft", "cancel"): "cancelled",
    ("published", "cancel"): "cancelled",
    ("ongoing", "cancel"): "cancelled",
}
DONE = {
    ("published", "publish"),
    ("ongoing", "start"),
    ("completed", "complete"),
    ("cancelled", "cancel"),
}


@pytest.mark.parametrize("step", LEADS)
@pytest.mark.parametrize("status", ["draft", "published", "ongoing", "completed", "cancelled"])
def test_an_event_is_led_through_its_life_in_order(status: str, step: str):
    event = led_to(status)
    before = event.version
    if (status, step) in ALLOWED:
        LEADS[step](event)
        assert (event.status, event.version) == (ALLOWED[status, step], before + 1)
    elif (status, step) in DONE:
        LEADS[step](event)
        assert (event.status, event.version) == (status, before), "once more is no event"
    else:
        with pytest.raises(WrongEventStatus):
            LEADS[step](event)
        assert (event.status, event.version) == (status, before)


def test_an_event_without_ticket_types_is_not_published():
    event = Event.draft(FESTIVAL, details(), NOW)
    with pytest.raises(NothingToSell):
        event.publish(NOW)


def test_an_event_that_is_over_is_not_published():
    with pytest.raises(EventOver):
        drafted().publish(END)


def test_a_cancellation_says_why():
    event = on_sale()
    event.cancel("storm", NOW)
    fact = last(event)
    assert isinstance(fact, Event.Cancelled)
    assert fact.reason == "storm"


# What it is


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"title": " "}, InvalidEvent),
        ({"organizer_name": " "}, InvalidEvent),
        ({"ends_at": START}, InvalidEvent),
        ({"ends_at": START - MOMENT}, InvalidEvent),
        ({"registration_deadline": END + MOMENT}, InvalidEvent),
        ({"doors_open_at": END + MOMENT}, InvalidEvent),
        ({"capacity": 0}, InvalidEvent),
        ({"timezone": "Europe/Atlantis"}, InvalidEvent),
        ({"timezone": ""}, InvalidEvent),
        ({"timezone": "../etc/passwd"}, InvalidEvent),
        ({"timezone": "Europe"}, InvalidEvent),
        ({"timezone": "localtime"}, InvalidEvent),
        ({"timezone": "posix/Europe/London"}, InvalidEvent),
        ({"timezone": "right/Europe/London"}, InvalidEvent),
        ({"timezone": "Factory"}, InvalidEvent),
        ({"currency": "XXX"}, InvalidMoney),
        ({"currency": "gbp"}, InvalidMoney),
    ],
)
def test_details_that_do_not_fit_together_are_refused(
    changes: dict[str, Any], rule: type[DomainError]
):
    event = on_sale()
    with pytest.raises(rule):
        Event.draft(FESTIVAL, details(**changes), NOW)
    with pytest.raises(rule):
        event.change(details(**changes), NOW)


def test_the_deadline_and_the_doors_may_be_at_the_very_end():
    event = on_sale(registration_deadline=END, doors_open_at=END, capacity=1)
    assert event.details.doors_open_at == END


def test_a_change_replaces_the_details():
    event = on_sale()
    event.change(details(title="Midwinter"), NOW)
    assert event.details == details(title="Midwinter")


def test_a_change_to_the_same_is_no_event():
    event = on_sale()
    before = event.version
    event.change(details(), NOW)
    event.change_ticket_type(ADULT, terms(), NOW)
    assert event.version == before


def test_the_capacity_stays_above_what_is_held_and_sold():
    event = on_sale(capacity=10)
    sold(event, 2)
    event.hold(OTHER_ORDER, {KID: 1}, NOW)
    with pytest.raises(BelowCommitted, match="3 tickets"):
        event.change(details(capacity=2), NOW)
    event.change(details(capacity=3), NOW)
    with pytest.raises(SoldOut):
        event.hold(OTHER_ORDER, {KID: 1}, NOW)


def test_the_currency_is_fixed_once_something_has_a_price():
    event = Event.draft(FESTIVAL, details(), NOW)
    event.change(details(currency="EUR"), NOW)
    event.add_ticket_type(ADULT, terms(), NOW)
    with pytest.raises(CurrencyFixed):
        event.change(details(currency="GBP"), NOW)


@pytest.mark.parametrize(
    ("status", "rule"), [("cancelled", EventCancelled), ("completed", EventOver)]
)
def test_an_event_that_has_ended_changes_no_more(status: str, rule: type[DomainError]):
    event = led_to(status)
    with pytest.raises(rule):
        event.change(details(title="Midwinter"), NOW)
    with pytest.raises(rule):
        event.add_ticket_type(CAMPER, terms(), NOW)
    with pytest.raises(rule):
        event.change_ticket_type(ADULT, terms(price=1), NOW)


# Its ticket types


@pytest.mark.parametrize(
    "changes",
    [
        {"name": " "},
        {"price": -1},
        {"price": LARGEST_PRICE + 1},
        {"quantity": -1},
        {"min_per_order": 0},
        {"min_per_order": 3, "max_per_order": 2},
        {"sale_starts_at": NOW, "sale_ends_at": NOW},
    ],
)
def test_terms_that_do_not_fit_together_are_refused(changes: dict[str, Any]):
    event = on_sale()
    with pytest.raises(InvalidTicketType):
        event.add_ticket_type(CAMPER, terms(**changes), NOW)
    with pytest.raises(InvalidTicketType):
        event.change_ticket_type(ADULT, terms(**changes), NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"price": 0},
        {"price": LARGEST_PRICE},
        {"quantity": 0},
        {"min_per_order": 1, "max_per_order": 1},
        {"sale_starts_at": NOW, "sale_ends_at": NOW + MOMENT},
    ],
)
def test_terms_may_be_the_least_and_the_most_there_is(changes: dict[str, Any]):
    event = on_sale()
    event.add_ticket_type(CAMPER, terms(**changes), NOW)
    assert event.ticket_type(CAMPER).terms == terms(**changes)


def test_a_ticket_type_added_while_on_sale_sells():
    event = on_sale()
    event.add_ticket_type(CAMPER, terms(name="Camper", price=0), NOW)
    event.hold(ORDER, {CAMPER: 1}, NOW)
    assert counts(event, CAMPER) == (1, 0)


def test_a_ticket_type_is_added_once():
    with pytest.raises(AlreadyExists):
        on_sale().add_ticket_type(ADULT, terms(), NOW)


def test_an_unknown_ticket_type_is_not_changed():
    with pytest.raises(NotFound):
        on_sale().change_ticket_type(CAMPER, terms(), NOW)


def test_new_terms_keep_what_is_held_and_sold():
    event = on_sale()
    sold(event, 2)
    event.hold(OTHER_ORDER, {ADULT: 1}, NOW)
    event.change_ticket_type(ADULT, terms(price=6000), NOW)
    assert event.ticket_type(ADULT).terms.price == 6000
    assert counts(event) == (1, 2)


def test_the_quantity_stays_above_what_is_held_and_sold():
    event = on_sale()
    sold(event, 2)
    event.hold(OTHER_ORDER, {ADULT: 1, KID: 1}, NOW)
    with pytest.raises(BelowCommitted, match="3 tickets"):
        event.change_ticket_type(ADULT, terms(quantity=2), NOW)
    event.change_ticket_type(ADULT, terms(quantity=3), NOW)
    with pytest.raises(SoldOut):
        event.hold(OTHER_ORDER, {ADULT: 1}, NOW)


# What is paid


def test_what_was_paid_before_an_event_ended_is_taken():
    completed = led_to("ongoing")
    completed.complete(DOORS)
    assert completed.why_no_sale(DOORS - MOMENT) is None
    assert isinstance(completed.why_no_sale(DOORS), EventOver)
    assert led_to("ongoing").why_no_sale(END) is None


def test_an_event_that_was_called_off_takes_no_payment_whenever_it_was_made():
    cancelled = on_sale()
    cancelled.cancel("storm", DOORS)
    for at in (DOORS - MOMENT, DOORS):
        assert isinstance(cancelled.why_no_sale(at), EventCancelled)


# Its gate


@pytest.mark.parametrize(
    ("status", "at", "reason"),
    [
        ("published", DOORS - MOMENT, "invalid_time"),
        ("published", DOORS, None),
        ("ongoing", DOORS, None),
        ("ongoing", END - MOMENT, None),
        ("ongoing", END, "invalid_time"),
        ("draft", DOORS, "invalid_time"),
        ("completed", DOORS, "invalid_time"),
        ("cancelled", DOORS, "canceled"),
        ("cancelled", DOORS - MOMENT, "canceled"),
    ],
)
def test_the_gate_is_open_from_the_doors_to_the_end(status: str, at: datetime, reason: str | None):
    assert led_to(status).why_no_entry(at) == reason


def test_a_gate_was_open_until_the_event_ended():
    completed, cancelled = led_to("ongoing"), led_to("ongoing")
    completed.complete(DOORS + MOMENT)
    cancelled.cancel("storm", DOORS + MOMENT)
    assert completed.why_no_entry(DOORS + MOMENT) == "invalid_time"
    assert cancelled.why_no_entry(DOORS + MOMENT) == "canceled"
    assert completed.why_no_entry(DOORS) is cancelled.why_no_entry(DOORS) is None
    assert completed.why_no_entry(DOORS - MOMENT) == "invalid_time"


def test_without_doors_the_gate_is_open_from_the_first_day():
    assert on_sale(doors_open_at=None).why_no_entry(NOW) is None
