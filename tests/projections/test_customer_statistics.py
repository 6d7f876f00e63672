"""Customer statistics, given orders of two customers."""

from domain.ids import uuid7
from projections.customer_statistics import statistics
from tests.domain.given import ANNA, BORIS, NOW, details
from tests.projections.conftest import Given
from tests.projections.sales import on_sale, paid, placed, refund, registered


def figures(given: Given, customer=ANNA):
    with given.connection() as connection:
        found = statistics(connection, customer)
    assert found is not None
    return found


def test_a_customer_is_summed_up_in_the_fields_of_the_interface(given):
    concert, fair = on_sale("Concert"), on_sale("Fair", price=700)
    orders = [paid(concert, 2), paid(fair), placed(concert), paid(fair, 5, customer=BORIS)]
    given(concert, fair, registered(), registered(BORIS), *orders)
    assert figures(given) == {
        "customer_id": ANNA,
        "total_orders_placed": 3,
        "total_amount_spent": "27.00",
        "currency": "GBP",
        "amounts_by_currency": [{"currency": "GBP", "amount": "27.00"}],
        "most_purchased_event_id": concert.id,
        "most_purchased_event_name": "Concert",
    }
    assert figures(given, BORIS)["most_purchased_event_name"] == "Fair"


def test_a_customer_without_orders_has_no_event_and_no_currency(given):
    concert = on_sale("Concert")
    given(concert, registered(), registered(BORIS), paid(concert, customer=BORIS))
    assert figures(given) == {
        "customer_id": ANNA,
        "total_orders_placed": 0,
        "total_amount_spent": "0.00",
        "currency": None,
        "amounts_by_currency": [],
        "most_purchased_event_id": None,
        "most_purchased_event_name": None,
    }


def test_an_unknown_customer_has_no_statistics(given):
    given(registered())
    with given.connection() as connection:
        assert statistics(connection, uuid7()) is None


def test_refunds_are_not_spent(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    partly, wholly, other = paid(concert, 3), paid(fair, 2), paid(fair, customer=BORIS)
    refund(concert, partly, count=2)
    refund(fair, wholly)
    given(concert, fair, registered(), registered(BORIS), partly, wholly, other)
    assert figures(given)["total_orders_placed"] == 2
    assert figures(given)["total_amount_spent"] == "10.00"
    assert figures(given, BORIS)["total_amount_spent"] == "10.00"


def test_the_event_most_purchased_has_most_tickets_paid_for_and_kept(given):
    concert, fair, gala = on_sale("Concert"), on_sale("Fair"), on_sale("Gala")
    orders = [paid(concert, 2), paid(fair, 5), placed(gala, 9)]
    refund(fair, orders[1], count=4)
    others = [paid(gala, customer=BORIS)]
    given(concert, fair, gala, registered(), registered(BORIS), *orders, *others)
    assert figures(given)["most_purchased_event_name"] == "Concert"


def test_without_a_payment_the_event_most_ordered_counts(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    orders = [placed(concert, 1), placed(fair, 2), paid(concert, 3, customer=BORIS)]
    given(concert, fair, registered(), registered(BORIS), *orders)
    assert figures(given)["most_purchased_event_name"] == "Fair"
    assert figures(given)["total_amount_spent"] == "0.00"


def test_currencies_are_never_added_up(given):
    concert, fair = on_sale("Concert", currency="EUR"), on_sale("Fair", currency="GBP")
    orders = [paid(concert, 1), paid(fair, 2), paid(concert, 7, customer=BORIS)]
    given(concert, fair, registered(), registered(BORIS), *orders)
    assert (figures(given)["total_amount_spent"], figures(given)["currency"]) == ("20.00", "GBP")
    assert figures(given)["amounts_by_currency"] == [
        {"currency": "GBP", "amount": "20.00"},
        {"currency": "EUR", "amount": "10.00"},
    ]


def test_the_event_goes_by_its_present_title(given):
    concert, fair = on_sale("Concert"), on_sale("Fair")
    given(concert, fair, registered(), paid(concert, 2), paid(fair))
    concert.change(details(title="Big concert"), NOW)
    given(concert)
    assert figures(given)["most_purchased_event_name"] == "Big concert"


def test_the_statistics_of_an_erased_customer_remain(given):
    concert, anna = on_sale("Concert"), registered()
    anna.erase(NOW)
    given(concert, anna, registered(BORIS), paid(concert, 2), paid(concert, customer=BORIS))
    assert figures(given)["total_amount_spent"] == "20.00"
