"""The rules of an order: held, paid, perhaps refunded; or cancelled, or expired."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import pytest

from domain.errors import (
    AlreadyPaid,
    AmountMismatch,
    DomainError,
    HoldExpired,
    HoldStillRuns,
    InvalidOrder,
    NotFound,
    WrongOrderStatus,
)
from domain.order import Line, Order
from tests.domain.given import (
    ADULT,
    FIRST,
    HOLD_ENDS,
    KID,
    MOMENT,
    NOW,
    ORDER,
    SECOND,
    STRANGE,
    THIRD,
    last,
    paid,
    placed,
    sale,
)


def pay(order: Order, amount: int | None = None, now: datetime = NOW) -> DomainError | None:
    return order.pay("cash", "receipt 7", amount, now)


def pay_again(order: Order) -> DomainError | None:
    """The payment of a `paid` order."""
    return order.pay("card", "ch_1", None, NOW)


def refund(order: Order, *ticket_ids: UUID) -> Order.Refunded:
    refunded = order.refund(ticket_ids, "ill", NOW)
    assert refunded is not None
    return refunded


def cancelled() -> Order:
    order = placed()
    order.cancel("changed my mind", NOW)
    return order


def expired() -> Order:
    order = placed()
    order.expire(HOLD_ENDS)
    return order


def refunded() -> Order:
    order = paid()
    refund(order)
    return order


# Placed


def test_an_order_adds_up_its_lines():
    order = placed()
    assert (order.status, order.total) == ("placed", 2 * 5000 + 1000)
    assert order.ticket_ids == [FIRST, SECOND, THIRD]
    assert order.quantities == {ADULT: 2, KID: 1}


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [Line(ADULT, 5000, [FIRST]), Line(KID, 1000, [])],
        [Line(ADULT, 5000, [FIRST]), Line(ADULT, 5000, [SECOND])],
        [Line(ADULT, 5000, [FIRST, FIRST])],
        [Line(ADULT, 5000, [FIRST]), Line(KID, 1000, [FIRST])],
    ],
    ids=["no line", "an empty line", "a type twice", "a ticket twice", "a ticket in two lines"],
)
def test_lines_that_make_no_order_are_refused(lines: list[Line]):
    with pytest.raises(InvalidOrder):
        Order.place(ORDER, sale(), lines, HOLD_ENDS, NOW)


@pytest.mark.parametrize("price", [0, 5000])
def test_a_hold_that_is_over_at_once_is_refused(price: int):
    lines = [Line(ADULT, price, [FIRST])]
    with pytest.raises(InvalidOrder, match="hold"):
        Order.place(ORDER, sale(), lines, NOW, NOW)
    Order.place(ORDER, sale(), lines, NOW + MOMENT, NOW)


# Paid


def test_a_payment_says_what_was_sold_and_for_how_much():
    order = placed()
    assert pay(order, 11000) is None
    fact = last(order)
    assert isinstance(fact, Order.Paid)
    assert (fact.quantities, fact.amounts) == ({ADULT: 2, KID: 1}, {ADULT: 10000, KID: 1000})
    assert (fact.sale.payment_method, fact.reference) == ("cash", "receipt 7")
    assert (order.status, order.sale.payment_method) == ("paid", "cash")


def test_a_payment_without_amount_is_of_the_total():
    order = placed()
    assert pay(order, None) is None
    assert order.status == "paid"


def test_a_free_order_is_paid_with_nothing():
    order = placed(Line(ADULT, 0, [FIRST]))
    assert pay(order, 0) is None
    assert (order.status, order.total) == ("paid", 0)


def test_paying_twice_is_no_event():
    order = paid()
    before = order.version
    assert pay_again(order) is None
    assert (order.version, order.payment_attempts) == (before, 1)


@pytest.mark.parametrize(("tickets", "status"), [([FIRST], "partly_refunded"), ([], "refunded")])
def test_paying_what_is_refunded_is_no_event(tickets: list[UUID], status: str):
    order = paid()
    refund(order, *tickets)
    before = order.version
    assert pay_again(order) is None
    assert (order.version, order.status) == (before, status)


@pytest.mark.parametrize(
    ("method", "reference", "amount"),
    [("card", "ch_2", None), ("cash", "ch_1", None), ("card", "ch_1", 10999)],
)
@pytest.mark.parametrize("refunds", [False, True])
def test_other_money_for_a_paid_order_is_refused_and_recorded(
    method: str, reference: str, amount: int | None, refunds: bool
):
    order = paid()
    if refunds:
        refund(order, FIRST)
    status = order.status
    assert isinstance(order.pay(method, reference, amount, NOW), AlreadyPaid)
    fact = last(order)
    assert isinstance(fact, Order.PaymentRefused)
    assert (fact.refusal, fact.reference) == ("already-paid", reference)
    assert fact.amount == (amount or 11000)
    assert (order.status, order.payment_attempts) == (status, 2)
    assert pay_again(order) is None


def test_no_payment_is_other_money_for_a_free_order():
    order = placed(Line(ADULT, 0, [FIRST]))
    assert order.pay("free", "", None, NOW) is None
    assert order.pay("card", "ch_1", None, NOW) is None
    assert order.payment_attempts == 1
    assert isinstance(order.pay("card", "ch_1", 1, NOW), AlreadyPaid)


@pytest.mark.parametrize("amount", [0, 10999, 11001, -11000])
def test_a_wrong_amount_is_refused_and_recorded(amount: int):
    order = placed()
    assert isinstance(pay(order, amount), AmountMismatch)
    fact = last(order)
    assert isinstance(fact, Order.PaymentRefused)
    assert (fact.refusal, fact.sale.payment_method) == ("amount-mismatch", "cash")
    assert fact.amount == amount
    assert (order.status, order.sale.payment_method) == ("placed", "card")


def test_every_attempt_counts_and_the_right_amount_still_pays():
    order = placed()
    pay(order, 1)
    pay(order, 2)
    assert pay(order, 11000) is None
    assert (order.status, order.payment_attempts) == ("paid", 3)


def test_the_last_moment_of_a_hold_still_pays():
    order = placed()
    assert pay(order, now=HOLD_ENDS - MOMENT) is None


@pytest.mark.parametrize(("lapsed", "status"), [(placed, "placed"), (expired, "expired")])
def test_a_hold_lapses_at_exactly_its_end_whether_it_has_been_ended_yet_or_not(
    lapsed: Callable[[], Order], status: str
):
    order = lapsed()
    assert isinstance(pay(order, now=HOLD_ENDS), HoldExpired)
    fact = last(order)
    assert isinstance(fact, Order.PaymentRefused)
    assert (fact.refusal, order.status) == ("hold-expired", status)


@pytest.mark.parametrize("ended", [cancelled, refunded])
def test_an_order_that_has_ended_cannot_be_paid(ended: Callable[[], Order]):
    order = ended()
    status = order.status
    assert isinstance(pay(order), WrongOrderStatus)
    fact = last(order)
    assert isinstance(fact, Order.PaymentRefused)
    assert (fact.refusal, order.status) == ("wrong-order-status", status)


def test_a_refused_payment_that_is_told_again_is_no_more_money_to_give_back():
    order = cancelled()
    for _ in range(2):
        assert isinstance(order.pay("card", "ch_7", 11000, NOW), WrongOrderStatus)
        assert isinstance(order.pay("card", "ch_7", None, NOW), WrongOrderStatus)
    assert order.payment_attempts == 1
    others: list[tuple[str, str, int | None]] = [("cash", "ch_7", None), ("card", "ch_8", None)]
    for method, reference, amount in [*others, ("card", "ch_7", 1), *others]:
        assert isinstance(order.pay(method, reference, amount, NOW), WrongOrderStatus)
    assert order.payment_attempts == 4


def test_payments_without_a_reference_are_each_another():
    order = cancelled()
    for _ in range(2):
        order.pay("cash", "", None, NOW)
    assert order.payment_attempts == 2


# Cancelled, expired


def test_a_cancelled_order_says_what_it_lets_go():
    order = cancelled()
    fact = last(order)
    assert isinstance(fact, Order.Cancelled)
    assert (fact.quantities, fact.reason) == ({ADULT: 2, KID: 1}, "changed my mind")
    assert order.status == "cancelled"


def test_a_hold_that_has_lapsed_can_be_cancelled_before_it_is_expired():
    order = placed()
    order.cancel("", HOLD_ENDS)
    assert order.status == "cancelled"


def test_an_order_expires_at_exactly_the_end_of_its_hold():
    order = placed()
    with pytest.raises(HoldStillRuns):
        order.expire(HOLD_ENDS - MOMENT)
    order.expire(HOLD_ENDS)
    fact = last(order)
    assert isinstance(fact, Order.Expired)
    assert (fact.quantities, order.status) == ({ADULT: 2, KID: 1}, "expired")


def test_cancelling_or_expiring_again_is_no_event():
    gone, lapsed = cancelled(), expired()
    before = gone.version, lapsed.version
    gone.cancel("again", NOW)
    lapsed.expire(HOLD_ENDS)
    assert (gone.version, lapsed.version) == before


@pytest.mark.parametrize("other", [paid, refunded, expired])
def test_only_an_order_that_waits_for_payment_is_cancelled(other: Callable[[], Order]):
    with pytest.raises(WrongOrderStatus):
        other().cancel("", NOW)


@pytest.mark.parametrize("other", [paid, refunded, cancelled])
def test_only_an_order_that_waits_for_payment_expires(other: Callable[[], Order]):
    with pytest.raises(WrongOrderStatus):
        other().expire(HOLD_ENDS)


# Refunded


def test_a_refund_of_some_tickets_says_which_and_how_much():
    order = paid()
    fact = refund(order, THIRD, FIRST)
    assert fact.ticket_ids == [FIRST, THIRD], "in the order of the lines"
    assert (fact.quantities, fact.amounts) == ({ADULT: 1, KID: 1}, {ADULT: 5000, KID: 1000})
    assert (fact.whole, order.status) == (False, "partly_refunded")
    assert last(order) is fact


def test_a_refund_of_one_type_does_not_mention_the_other():
    fact = refund(paid(), SECOND)
    assert (fact.quantities, fact.amounts) == ({ADULT: 1}, {ADULT: 5000})


def test_a_refund_by_ticket_and_then_of_the_rest_is_whole():
    order = paid()
    refund(order, SECOND)
    rest = refund(order)
    assert (rest.ticket_ids, rest.amounts) == ([FIRST, THIRD], {ADULT: 5000, KID: 1000})
    assert (rest.whole, order.status) == (True, "refunded")
    assert order.refunded_tickets == [SECOND, FIRST, THIRD]


def test_a_refund_of_all_is_whole():
    order = paid()
    fact = refund(order)
    assert (fact.amounts, fact.whole) == ({ADULT: 10000, KID: 1000}, True)
    assert order.status == "refunded"


def test_a_refund_of_every_ticket_by_name_is_whole():
    order = paid()
    refund(order, THIRD, SECOND, FIRST)
    assert order.status == "refunded"


def test_no_ticket_is_refunded_twice():
    order = paid()
    refund(order, FIRST)
    before = order.version
    assert order.refund([FIRST], "again", NOW) is None
    assert order.version == before
    assert refund(order, FIRST, SECOND).ticket_ids == [SECOND]


def test_refunding_a_refunded_order_is_no_event():
    order = refunded()
    before = order.version
    assert order.refund([], "again", NOW) is None
    assert order.version == before


def test_tickets_of_another_order_are_not_refunded():
    order = paid()
    with pytest.raises(NotFound):
        order.refund([FIRST, STRANGE], "ill", NOW)
    assert order.status == "paid"


@pytest.mark.parametrize("other", [placed, cancelled, expired])
def test_only_a_paid_order_is_refunded(other: Callable[[], Order]):
    with pytest.raises(WrongOrderStatus):
        other().refund([], "ill", NOW)


def test_a_list_of_refunded_tickets_that_was_handed_out_stays_as_it_was():
    order = paid()
    refund(order, FIRST)
    shown = order.refunded_tickets
    refund(order, SECOND)
    assert shown == [FIRST]
