"""Orders: the list that a box office works with, and each in full."""

from uuid import UUID

import pytest
from sqlalchemy import delete, insert, select

from application.store.database import writing
from domain.customer import Profile
from domain.order import Line
from projections.orders import list_orders, order_of_ticket, order_payments, order_refunds
from projections.orders import order as shown_order
from tests.domain.given import (
    ADULT,
    ANNA,
    BORIS,
    FESTIVAL,
    FIRST,
    HOLD_ENDS,
    KID,
    NOW,
    ORDER,
    OTHER_FESTIVAL,
    OTHER_ORDER,
    SECOND,
    STRANGE,
    THIRD,
)
from tests.projections.making import (
    DAY,
    HOUR,
    UNKNOWN,
    adults,
    anna,
    asked,
    boris,
    festivals,
    order,
    paid,
)


@pytest.fixture
def given(given):
    given(*festivals(), anna(), boris())
    return given


def family():
    """Two adults and a kid: 110.00 GBP."""
    return order(ORDER, adults(FIRST, SECOND), Line(KID, 1000, [THIRD]))


def other(**sale):
    """An order of Boris's, placed an hour later."""
    of = {"customer_id": BORIS, "country": "SE", **sale}
    return order(OTHER_ORDER, adults(STRANGE), at=NOW + HOUR, **of)


def shown(given, order_id=ORDER):
    of = asked(given, shown_order, order_id)
    assert of is not None
    return of


def found(given, **filters):
    return [item["id"] for item in asked(given, list_orders, **filters)["items"]]


SUMMARY = {
    "id": ORDER,
    "event_id": FESTIVAL,
    "event_name": "Midsummer",
    "customer_id": ANNA,
    "customer_name": "Anna Lind",
    "customer_email": "anna@example.org",
    "country": "GB",
    "payment_method": "card",
    "status": "placed",
    "currency": "GBP",
    "total": "110.00",
    "paid": "0.00",
    "refunded": "0.00",
    "ticket_count": 3,
    "placed_at": NOW,
    "expires_at": HOLD_ENDS,
    "paid_at": None,
    "ended_at": None,
}


def test_a_placed_order_is_shown_with_its_lines(given):
    given(family(), other())
    assert asked(given, shown_order, ORDER) == {
        **SUMMARY,
        "ticket_ids": [FIRST, SECOND, THIRD],
        "lines": [
            {
                "ticket_type_id": ADULT,
                "ticket_type": "Adult",
                "unit_price": "50.00",
                "quantity": 2,
                "refunded_quantity": 0,
                "ticket_ids": [FIRST, SECOND],
            },
            {
                "ticket_type_id": KID,
                "ticket_type": "Kid",
                "unit_price": "10.00",
                "quantity": 1,
                "refunded_quantity": 0,
                "ticket_ids": [THIRD],
            },
        ],
        "payments": [],
        "refunds": [],
    }


def test_an_unknown_order_is_none(given):
    given(family())
    assert asked(given, shown_order, UNKNOWN) is None


def test_a_paid_order_shows_its_payment(given):
    given(paid(family(), "ch_1", NOW + HOUR / 4), other())
    of = shown(given)
    assert (of["status"], of["paid"], of["paid_at"]) == ("paid", "110.00", NOW + HOUR / 4)
    (payment,) = of["payments"]
    assert (payment["method"], payment["reference"]) == ("card", "ch_1")
    assert payment["amount"] == "110.00"
    assert (payment["at"], payment["refusal"]) == (NOW + HOUR / 4, None)
    assert (shown(given, OTHER_ORDER)["paid"], shown(given, OTHER_ORDER)["payments"]) == (
        "0.00",
        [],
    )


def test_an_order_goes_by_the_method_it_was_paid_with(given):
    bought = family()
    bought.pay("bank transfer", "", None, NOW)
    given(bought, other())
    assert shown(given)["payment_method"] == "bank transfer"
    assert shown(given, OTHER_ORDER)["payment_method"] == "card"
    assert found(given, payment_method="card") == [OTHER_ORDER]


def test_a_refused_payment_is_shown_and_pays_nothing(given):
    bought = family()
    bought.pay("voucher", "v_1", 1, NOW)
    given(bought, paid(other(), at=NOW + HOUR))
    of = shown(given)
    (refused,) = of["payments"]
    assert (refused["refusal"], refused["amount"]) == ("amount-mismatch", "0.01")
    assert (of["status"], of["paid"], of["payment_method"]) == ("placed", "0.00", "card")


def test_payments_are_shown_in_the_order_in_which_they_were_tried(given):
    bought = family()
    bought.pay("voucher", "v_2", 1, NOW)
    bought.pay("voucher", "v_1", 2, NOW)
    given(paid(bought, "ch_1"), paid(other()))
    assert [payment["reference"] for payment in shown(given)["payments"]] == ["v_2", "v_1", "ch_1"]


def test_payments_and_refunds_are_in_order_wherever_a_database_keeps_them(given):
    bought = family()
    bought.pay("voucher", "v_2", 1, NOW)
    bought.pay("voucher", "v_1", 2, NOW)
    given(paid(bought, "ch_1"), paid(other()))
    for ticket_id in (SECOND, FIRST, THIRD):
        bought.refund([ticket_id], "ill", NOW + DAY)
    given(bought)
    before = shown(given)
    for table in (order_payments, order_refunds):
        turn_over(given, table)
    assert shown(given) == before
    assert [payment["reference"] for payment in before["payments"]] == ["v_2", "v_1", "ch_1"]
    assert [refund["ticket_ids"] for refund in before["refunds"]] == [[SECOND], [FIRST], [THIRD]]


def turn_over(given, table):
    """Write the rows of a table again, the last one first."""
    with writing(given.turnstile.engine) as connection:
        rows = connection.execute(select(table).order_by(table.c.id.desc())).mappings().all()
        connection.execute(delete(table))
        for row in rows:
            connection.execute(insert(table).values(**row))


def test_a_partly_refunded_order_shows_what_went_back(given):
    bought = paid(family())
    bought.refund([SECOND], "ill", NOW + DAY)
    given(bought, paid(other(), at=NOW + HOUR))
    of = shown(given)
    assert (of["status"], of["refunded"], of["paid"]) == ("partly_refunded", "50.00", "110.00")
    assert [line["refunded_quantity"] for line in of["lines"]] == [1, 0]
    (refund,) = of["refunds"]
    assert (refund["amount"], refund["reason"]) == ("50.00", "ill")
    assert (refund["at"], refund["ticket_ids"]) == (NOW + DAY, [SECOND])


def test_the_last_refund_makes_an_order_wholly_refunded(given):
    bought = paid(family())
    bought.refund([SECOND], "ill", NOW + DAY)
    given(bought, paid(other(), at=NOW + HOUR))
    bought.refund([], "storm", NOW + DAY)
    given(bought)
    of = shown(given)
    assert (of["status"], of["refunded"]) == ("refunded", "110.00")
    assert [refund["ticket_ids"] for refund in of["refunds"]] == [[SECOND], [FIRST, THIRD]]
    assert (shown(given, OTHER_ORDER)["refunded"], shown(given, OTHER_ORDER)["refunds"]) == (
        "0.00",
        [],
    )


def test_cancelled_and_expired_orders_say_when_they_ended(given):
    cancelled, expired = family(), other()
    cancelled.cancel("changed my mind", NOW)
    expired.expire(NOW + DAY)
    given(cancelled, expired)
    assert (shown(given)["status"], shown(given)["ended_at"]) == ("cancelled", NOW)
    last = shown(given, OTHER_ORDER)
    assert (last["status"], last["ended_at"]) == ("expired", NOW + DAY)


def test_yen_have_no_decimals(given):
    given(family(), other(currency="JPY"))
    assert (shown(given)["total"], shown(given, OTHER_ORDER)["total"]) == ("110.00", "5000")


def test_the_order_of_a_ticket_is_known_before_it_is_paid(given):
    given(family(), other())
    assert asked(given, order_of_ticket, SECOND) == ORDER
    assert asked(given, order_of_ticket, STRANGE) == OTHER_ORDER
    assert asked(given, order_of_ticket, UNKNOWN) is None


def test_an_order_is_listed_without_its_lines(given):
    given(family())
    assert asked(given, list_orders) == {"items": [SUMMARY], "next": None}


def test_orders_are_listed_newest_first_or_oldest_first(given):
    given(other(), family())
    assert found(given) == [OTHER_ORDER, ORDER]
    assert found(given, order="placed_at") == [ORDER, OTHER_ORDER]


def test_orders_are_listed_by_event_customer_status_and_payment_method(given):
    given(family(), paid(other(event_id=OTHER_FESTIVAL), at=NOW + HOUR))
    assert found(given, event_id=FESTIVAL) == found(given, customer_id=ANNA) == [ORDER]
    assert found(given, status="paid") == found(given, event_id=OTHER_FESTIVAL) == [OTHER_ORDER]
    assert found(given, payment_method="card", status="placed", customer_id=ANNA) == [ORDER]
    assert found(given, event_id=FESTIVAL, customer_id=BORIS) == []


def test_a_search_finds_orders_by_customer_reference_and_id(given):
    given(paid(family(), "ch_1"), paid(other(), "ch_2", NOW + HOUR))
    searches = ("anna", "LIND", "anna@example.org", "li an", "ch_1", str(ORDER))
    assert [found(given, q=q) for q in searches] == [[ORDER]] * len(searches)


def test_a_reference_may_look_like_an_id_or_a_name(given):
    looks_like_an_id = str(UNKNOWN)
    given(paid(family(), looks_like_an_id), paid(other(), "Lind", NOW + HOUR))
    assert found(given, q=looks_like_an_id) == [ORDER]
    assert found(given, q="Lind") == [OTHER_ORDER, ORDER]
    assert found(given, q="Lind", customer_id=ANNA) == [ORDER]


def test_a_reference_of_many_orders_finds_them_all(given, monkeypatch):
    monkeypatch.setattr("projections.orders.FEW", 1)
    given(paid(family(), "bank"), paid(other(), "bank", NOW + HOUR))
    assert found(given, q="bank") == [OTHER_ORDER, ORDER]
    assert found(given, q="bank", customer_id=ANNA) == [ORDER]


def test_a_search_takes_no_wildcards(given):
    given(paid(family(), "ch_1"), paid(other(), "ch_2", NOW + HOUR))
    searches = ("%", "_", "ch__", "ch_%", "nna", str(UNKNOWN))
    assert [found(given, q=q) for q in searches] == [[]] * len(searches)


def test_a_search_keeps_to_the_filters(given):
    given(family(), other(customer_id=ANNA, event_id=OTHER_FESTIVAL))
    assert found(given, q="anna", event_id=FESTIVAL) == [ORDER]


def test_names_are_those_of_today(given):
    given(family(), other())
    renamed = anna()
    renamed.change(Profile("Anna Berg", "berg@example.net"), NOW)
    given(renamed.pending_events[-1])
    assert shown(given)["customer_name"] == "Anna Berg"
    assert (found(given, q="berg"), found(given, q="lind")) == ([ORDER], [])
    assert shown(given, OTHER_ORDER)["customer_name"] == "Boris Ek"


def test_orders_of_an_erased_customer_have_no_name(given):
    given(family(), other())
    gone = anna()
    gone.erase(NOW + DAY)
    given(gone.pending_events[-1])
    of = shown(given)
    assert (of["customer_name"], of["customer_email"]) == ("erased", "")
    assert found(given, q="anna") == found(given, q="erased") == []


def test_pages_go_through_all_orders_once(given):
    ids = [UUID(int=300 + number) for number in range(5)]
    given(*(order(order_id, adults(UUID(int=400 + order_id.int))) for order_id in ids), other())
    seen, after = [], None
    while True:
        answer = asked(given, list_orders, customer_id=ANNA, limit=2, after=after)
        seen += [item["id"] for item in answer["items"]]
        after = answer["next"]
        if after is None:
            break
    assert seen == ids[::-1]
