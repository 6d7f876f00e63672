"""Sales by day, given orders that were placed, paid, refunded, cancelled and left to expire."""

from datetime import timedelta

from domain.event import Event, Terms
from domain.ids import uuid7
from projections.sales_by_day import sales
from tests.domain.given import NOW
from tests.projections.conftest import Given
from tests.projections.sales import DAY, kind, on_sale, paid, placed, refund

TODAY = NOW.date()  # a Monday
NOTHING = {"placed": 0, "paid": 0, "refunded": 0, "cancelled": 0, "expired": 0}


def sold(given: Given, event: Event, *group_by: str, **between):
    with given.connection() as connection:
        found = sales(connection, event.id, group_by=group_by, **between)
    assert found is not None
    return found


def net(given: Given, event: Event, *group_by: str, **between):
    """Net units by the dimensions asked for."""
    rows = sold(given, event, *group_by, **between)["tickets"]
    return [(*(row[name] for name in group_by), row["net_units"]) for row in rows]


def test_the_tickets_of_a_day_are_counted_and_priced(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    order, other = paid(concert, 3), paid(fair)
    refund(concert, order, count=1)
    given(concert, fair, order, other)
    figures = {
        "units_sold": 3,
        "units_refunded": 1,
        "net_units": 2,
        "amount_sold": "30.00",
        "amount_refunded": "10.00",
        "net_amount": "20.00",
    }
    found = sold(given, concert, "day")
    assert (found["event_id"], found["currency"]) == (concert.id, "GBP")
    assert found["tickets"] == [{"day": TODAY} | figures]
    assert found["totals"]["tickets"] == figures


def test_orders_count_by_what_became_of_them(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    orders = [placed(concert), paid(concert), paid(concert), placed(concert), paid(concert, 2)]
    refund(concert, orders[2])
    orders[3].cancel("changed my mind", NOW)
    refund(concert, orders[4], count=1)
    orders[0].expire(NOW + timedelta(minutes=30))
    given(concert, fair, *orders, paid(fair))
    counts = {"placed": 5, "paid": 3, "refunded": 1, "cancelled": 1, "expired": 1}
    found = sold(given, concert, "day")
    assert found["orders"] == [{"day": TODAY} | counts]
    assert found["totals"]["orders"] == counts | {"standing": 2}


def test_an_order_refunded_bit_by_bit_counts_as_refunded_once(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    order = paid(concert, 3)
    refund(concert, order, count=2)
    refund(concert, order, at=NOW + DAY)
    given(concert, fair, order, paid(fair))
    found = sold(given, concert, "day")
    assert [row["refunded"] for row in found["orders"]] == [0, 1]
    assert [row["units_refunded"] for row in found["tickets"]] == [2, 1]
    assert found["totals"]["tickets"]["net_amount"] == "0.00"


def test_each_day_has_its_own_figures_and_weeks_begin_on_monday(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    orders = [paid(concert, n, at=NOW + days * DAY) for days, n in ((0, 1), (6, 2), (7, 3))]
    given(concert, fair, *orders, paid(fair))
    days = [(TODAY, 1), (TODAY + 6 * DAY, 2), (TODAY + 7 * DAY, 3)]
    assert net(given, concert, "day") == days
    assert net(given, concert, "week") == [(TODAY, 3), (TODAY + 7 * DAY, 3)]


def test_a_range_counts_both_of_its_days_and_the_totals_keep_to_it(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    orders = [paid(concert, at=NOW + days * DAY) for days in range(4)]
    given(concert, fair, *orders, paid(fair, at=NOW + DAY))
    found = sold(given, concert, "week", start=TODAY + DAY, end=TODAY + 2 * DAY)
    assert [row["units_sold"] for row in found["tickets"]] == [2]
    assert found["totals"]["tickets"]["net_units"] == 2
    assert found["totals"]["orders"]["placed"] == 2


def test_ticket_types_are_shown_by_name_and_their_orders_all_together(given):
    concert, fair = on_sale("Concert", "Kid", "Adult"), on_sale("Fair")
    orders = [paid(concert, 2, "Kid"), paid(concert, 1, "Adult")]
    given(concert, fair, *orders, paid(fair, 3))
    found = sold(given, concert, "ticket_type")
    shown = [
        (row["ticket_type_id"], row["ticket_type"], row["net_units"]) for row in found["tickets"]
    ]
    assert shown == [(kind(concert, "Adult"), "Adult", 1), (kind(concert, "Kid"), "Kid", 2)]
    assert found["orders"] == [NOTHING | {"placed": 2, "paid": 2}]


def test_a_renamed_ticket_type_is_renamed_in_the_past_too(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    given(concert, fair, paid(concert, 2), paid(fair))
    concert.change_ticket_type(kind(concert), Terms("Grown-up", 1000), NOW)
    given(concert)
    assert net(given, concert, "ticket_type") == [("Grown-up", 2)]
    assert net(given, fair, "ticket_type") == [("Adult", 1)]


def test_two_events_may_sell_ticket_types_of_the_same_id(given):
    concert, fair = on_sale("Concert"), on_sale("Fair", "Box")
    fair.add_ticket_type(kind(concert), Terms("Stall", 500), NOW)
    orders = [paid(concert, 2), paid(fair, 3, "Stall")]
    given(concert, fair, *orders)
    assert net(given, concert, "ticket_type") == [("Adult", 2)]
    assert net(given, fair, "ticket_type") == [("Stall", 3)]


def test_sales_by_several_dimensions_at_once(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    orders = [
        paid(concert, 1, country="DE"),
        paid(concert, 2, country="GB", method="cash"),
        paid(concert, 3, country="GB"),
        paid(fair, 4, country="DE"),
    ]
    given(concert, fair, *orders)
    assert net(given, concert, "country", "payment_method") == [
        ("DE", "card", 1),
        ("GB", "card", 3),
        ("GB", "cash", 2),
    ]
    by_method = sold(given, concert, "payment_method")["orders"]
    assert [(row["payment_method"], row["paid"]) for row in by_method] == [("card", 2), ("cash", 1)]


def test_a_sale_counts_by_the_method_it_was_paid_with(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    order = placed(concert, method="bank_transfer")
    order.pay("cash", "receipt", None, NOW)
    given(concert, fair, order, paid(fair))
    found = sold(given, concert, "payment_method")
    assert found["orders"] == [
        {"payment_method": "bank_transfer"} | NOTHING | {"placed": 1},
        {"payment_method": "cash"} | NOTHING | {"paid": 1},
    ]
    assert net(given, concert, "payment_method") == [("cash", 1)]


def test_a_refused_payment_is_no_sale(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    order = placed(concert)
    order.pay("card", "receipt", 1, NOW)
    given(concert, fair, order, paid(fair))
    assert net(given, concert, "day") == []
    assert sold(given, concert)["totals"]["orders"] == NOTHING | {"placed": 1, "standing": 0}


def test_every_event_is_priced_in_its_own_currency(given):
    concert, fair = on_sale("Concert", currency="JPY"), on_sale("Fair", currency="BHD")
    given(concert, fair, paid(concert, 2), paid(fair, 2))
    assert sold(given, concert)["totals"]["tickets"]["amount_sold"] == "2000"
    assert sold(given, fair)["totals"]["tickets"]["amount_sold"] == "2.000"


def test_an_event_without_sales_has_empty_figures(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    given(concert, fair, paid(fair))
    found = sold(given, concert, "day")
    assert (found["tickets"], found["orders"]) == ([], [])
    assert found["totals"]["tickets"]["net_amount"] == "0.00"


def test_an_unknown_event_has_no_sales(given):
    fair = on_sale("Fair")
    given(fair, paid(fair))
    with given.connection() as connection:
        assert sales(connection, uuid7()) is None
