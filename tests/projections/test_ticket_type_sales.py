"""Ticket type sales, given what was sold and refunded: the best first."""

from datetime import date

from domain.event import Terms
from projections.ticket_type_sales import top
from tests.domain.given import NOW, details
from tests.projections.conftest import Given
from tests.projections.sales import DAY, draft, kind, on_sale, paid, placed, refund

TODAY = NOW.date()


def ranking(given: Given, limit: int = 5, start: date | None = None, end: date | None = None):
    with given.connection() as connection:
        items = top(connection, limit=limit, start_date=start, end_date=end)["items"]
    return [(item["event_name"], item["name"], item["units_sold"]) for item in items]


def test_a_ticket_type_is_shown_in_the_fields_of_the_interface(given):
    concert = on_sale("Concert", "Adult", "Kid")
    paid(concert, 2, "Kid")
    given(concert, on_sale("Fair"))
    with given.connection() as connection:
        assert top(connection, limit=1) == {
            "items": [
                {
                    "id": kind(concert, "Kid"),
                    "name": "Kid",
                    "units_sold": 2,
                    "event_name": "Concert",
                    "event_id": concert.id,
                }
            ],
            "next": None,
        }


def test_the_best_come_first_then_by_name_and_those_without_sales_last(given):
    concert, fair = on_sale("Concert", "Adult", "Kid", "Box"), on_sale("Fair", "Gate", "Late")
    paid(concert, 1, "Kid")
    paid(concert, 3)
    paid(fair, 1, "Gate")
    given(fair, concert)
    assert ranking(given) == [
        ("Concert", "Adult", 3),
        ("Fair", "Gate", 1),
        ("Concert", "Kid", 1),
        ("Concert", "Box", 0),
        ("Fair", "Late", 0),
    ]
    assert ranking(given, limit=2) == [("Concert", "Adult", 3), ("Fair", "Gate", 1)]


def test_two_events_may_sell_ticket_types_of_the_same_id(given):
    concert, fair = on_sale("Concert"), draft("Fair", "Box")
    fair.add_ticket_type(kind(concert), Terms("Stall", 500), NOW)
    paid(concert, 2)
    given(concert, fair)
    ranks = [("Concert", "Adult", 2), ("Fair", "Box", 0), ("Fair", "Stall", 0)]
    assert ranking(given) == ranking(given, start=TODAY) == ranks


def test_what_is_only_held_is_not_sold(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    placed(concert, 5)
    paid(fair)
    given(concert, fair, draft("Draft"))
    assert ranking(given) == [("Fair", "Adult", 1), ("Concert", "Adult", 0), ("Draft", "Adult", 0)]


def test_refunded_units_are_not_sold(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    refund(concert, paid(concert, 5), count=3)
    refund(fair, paid(fair, 2))
    given(concert, fair)
    assert ranking(given) == [("Concert", "Adult", 2), ("Fair", "Adult", 0)]


def test_events_and_ticket_types_go_by_their_present_names(given):
    concert, fair = on_sale("Concert", "Adult", "Kid"), on_sale("Fair", "Box")
    paid(concert, 2)
    given(concert, fair)
    concert.change(details(title="Big concert"), NOW)
    concert.change_ticket_type(kind(concert), Terms("Grown-up", 1000), NOW)
    given(concert)
    assert ranking(given) == [
        ("Big concert", "Grown-up", 2),
        ("Fair", "Box", 0),
        ("Big concert", "Kid", 0),
    ]


def test_between_two_days_both_count_and_nothing_outside(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    for days in range(4):
        paid(concert, at=NOW + days * DAY)
    paid(fair, 3, at=NOW + 3 * DAY)
    given(concert, fair)
    between = ranking(given, start=TODAY + DAY, end=TODAY + 2 * DAY)
    assert between == [("Concert", "Adult", 2), ("Fair", "Adult", 0)]


def test_either_end_of_the_range_may_be_open(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    paid(concert, 2)
    paid(fair, 1, at=NOW + DAY)
    given(concert, fair)
    assert ranking(given, start=TODAY + DAY) == [("Fair", "Adult", 1), ("Concert", "Adult", 0)]
    assert ranking(given, end=TODAY) == [("Concert", "Adult", 2), ("Fair", "Adult", 0)]


def test_a_refund_counts_against_its_own_day(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    refund(concert, paid(concert, 3), count=2, at=NOW + DAY)
    given(concert, fair)
    assert ranking(given, end=TODAY) == [("Concert", "Adult", 3), ("Fair", "Adult", 0)]
    assert ranking(given, start=TODAY + DAY) == [("Fair", "Adult", 0), ("Concert", "Adult", -2)]
    assert ranking(given) == [("Concert", "Adult", 1), ("Fair", "Adult", 0)]
