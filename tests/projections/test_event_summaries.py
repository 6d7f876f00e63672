"""Event summaries, given what was sold: what is on, and what is nearly full."""

import pytest

from domain.ids import uuid7
from projections.event_summaries import low_capacity, upcoming
from tests.domain.given import END, NOW, details
from tests.projections.conftest import Given
from tests.projections.sales import DAY, draft, let_go, on_sale, paid, placed, refund


def summaries(given: Given, now=NOW):
    with given.connection() as connection:
        return {item["event_name"]: item for item in upcoming(connection, now)["items"]}


def low(given: Given, threshold: float = 10):
    with given.connection() as connection:
        items = low_capacity(connection, threshold)["items"]
    return [(item["name"], item["percentage_tickets_remaining"]) for item in items]


def test_an_event_is_summed_up_in_the_fields_of_the_interface(given):
    concert, fair = on_sale("Concert", capacity=10), on_sale("Fair", price=700)
    paid(concert, 2)
    placed(concert, 3)
    paid(fair, 4)
    given(concert, fair)
    assert summaries(given)["Concert"] == {
        "event_id": concert.id,
        "event_name": "Concert",
        "organizer_name": "Anna's barn",
        "total_tickets_sold": 2,
        "total_revenue": "20.00",
        "currency": "GBP",
        "tickets_remaining": 5,
        "tickets_held": 3,
    }


def test_an_event_without_capacity_has_no_number_of_tickets_remaining(given):
    concert, fair = on_sale("Concert"), on_sale("Fair", capacity=10)
    paid(concert, 2)
    given(concert, fair)
    found = summaries(given)
    assert found["Concert"]["tickets_remaining"] is None
    assert found["Fair"]["tickets_remaining"] == 10


def test_every_event_counts_in_its_own_currency(given):
    concert, fair = on_sale("Concert", currency="JPY"), on_sale("Fair", currency="BHD")
    paid(concert, 2)
    paid(fair, 2)
    given(concert, fair)
    revenue = {(item["total_revenue"], item["currency"]) for item in summaries(given).values()}
    assert revenue == {("2000", "JPY"), ("2.000", "BHD")}


def test_a_refund_gives_back_money_and_places(given):
    concert, fair = on_sale("Concert", capacity=10), on_sale("Fair", capacity=10)
    refund(concert, paid(concert, 5), count=2)
    refund(fair, paid(fair, 1))
    given(concert, fair)
    found = summaries(given)
    assert found["Concert"]["total_tickets_sold"] == 3
    assert found["Concert"]["total_revenue"] == "30.00"
    assert found["Concert"]["tickets_remaining"] == 7
    assert (found["Fair"]["total_tickets_sold"], found["Fair"]["total_revenue"]) == (0, "0.00")


def test_a_hold_let_go_leaves_its_places_to_others(given):
    concert, fair = on_sale("Concert", capacity=10), on_sale("Fair", capacity=10)
    let_go(concert, placed(concert, 4))
    placed(fair, 4)
    given(concert, fair)
    found = summaries(given)
    assert (found["Concert"]["tickets_held"], found["Concert"]["tickets_remaining"]) == (0, 10)
    assert (found["Fair"]["tickets_held"], found["Fair"]["tickets_remaining"]) == (4, 6)


def test_a_change_of_title_organizer_and_capacity_shows_at_once(given):
    concert, fair = on_sale("Concert", capacity=10), on_sale("Fair", capacity=10)
    given(concert, fair)
    concert.change(details(title="Big concert", organizer_name="Boris", capacity=40), NOW)
    given(concert)
    found = summaries(given)
    assert set(found) == {"Big concert", "Fair"}
    assert found["Big concert"]["organizer_name"] == "Boris"
    assert found["Big concert"]["tickets_remaining"] == 40


def test_only_what_is_published_or_ongoing_is_upcoming(given):
    started, done, off = on_sale("Started"), on_sale("Done"), on_sale("Off")
    for event in (started, done):
        event.start(NOW)
    done.complete(NOW)
    off.cancel("storm", NOW)
    given(started, done, off, draft("Draft"), on_sale("Published"))
    assert set(summaries(given)) == {"Started", "Published"}


def test_an_event_is_upcoming_until_the_moment_that_it_ends(given):
    given(on_sale("Ending"), on_sale("Later", ends_at=END + DAY))
    assert set(summaries(given, now=END)) == {"Later"}


def test_events_that_end_first_come_first_page_by_page(given):
    given(on_sale("Third", ends_at=END + DAY), *(on_sale(title) for title in ("First", "Second")))
    with given.connection() as connection:
        first = upcoming(connection, NOW, limit=2)
        rest = upcoming(connection, NOW, limit=2, after=first["next"])
    assert [item["event_name"] for item in first["items"]] == ["First", "Second"]
    assert [item["event_name"] for item in rest["items"]] == ["Third"]


def test_low_capacity_counts_what_is_held_or_sold_at_or_under_the_threshold(given):
    at, above, under = (on_sale(t, capacity=10) for t in ("At", "Above", "Under"))
    paid(at, 9)
    placed(above, 8)
    paid(under, 4)
    placed(under, 6)
    given(at, above, under, on_sale("No capacity"))
    assert low(given) == [("Under", 0.0), ("At", 10.0)]
    assert low(given, threshold=20) == [("Under", 0.0), ("At", 10.0), ("Above", 20.0)]


def test_the_percentage_is_rounded_when_shown_but_not_when_compared(given):
    third, half = on_sale("Third", capacity=3), on_sale("Half", capacity=2)
    paid(third, 2)
    paid(half)
    given(third, half)
    assert low(given, threshold=33.33) == []
    assert low(given, threshold=33.34) == [("Third", 33.33)]


def test_an_event_with_places_again_leaves_the_low_ones(given):
    full, refunded, enlarged, freed = events = [on_sale(t, capacity=2) for t in "ABCD"]
    orders = [placed(event, 2) if event is freed else paid(event, 2) for event in events]
    given(*events)
    refund(refunded, orders[1])
    enlarged.change(details(capacity=200), NOW)
    let_go(freed, orders[3])
    given(refunded, enlarged, freed)
    assert low(given) == [(full.details.title, 0.0)]


@pytest.mark.parametrize("ending", ["complete", "cancel"])
def test_events_that_are_over_or_off_are_not_low(given, ending):
    over, on = on_sale("Over", capacity=1), on_sale("On", capacity=1)
    for event in (over, on):
        paid(event)
        event.start(NOW)
    over.complete(NOW) if ending == "complete" else over.cancel("storm", NOW)
    given(over, on)
    assert low(given) == [("On", 0.0)]


def test_a_refund_after_the_cancellation_is_still_counted(given):
    off, on = on_sale("Off", capacity=4), on_sale("On", capacity=4)
    order = paid(off, 3)
    off.cancel("storm", NOW)
    refund(off, order)
    given(off, on)
    assert set(summaries(given)) == {"On"}


def test_low_events_page_by_page(given):
    events = [on_sale(title, capacity=1) for title in "ABC"]
    for event in events:
        event.hold(uuid7(), {next(iter(event.ticket_types)): 1}, NOW)
    given(*events)
    with given.connection() as connection:
        first = low_capacity(connection, 10, limit=2)
        rest = low_capacity(connection, 10, limit=2, after=first["next"])
    assert [item["name"] for item in first["items"] + rest["items"]] == ["A", "B", "C"]
    assert [item["id"] for item in rest["items"]] == [events[2].id]
