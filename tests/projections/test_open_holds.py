"""Open holds: which unpaid orders lapse, and when the next one does."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select

from projections import open_holds as read_model
from projections.open_holds import open_holds
from tests.domain.given import (
    FIRST,
    HOLD_ENDS,
    MOMENT,
    NOW,
    ORDER,
    OTHER_ORDER,
    SECOND,
)
from tests.projections.making import DAY, HOUR, adults, asked, order, paid


def lapsed(connection: Connection, now: datetime) -> list[UUID]:
    """All of them, page by page."""
    found, after = [], None
    while True:
        page = read_model.lapsed(connection, now, 1, after)
        found += [item["order_id"] for item in page["items"]]
        after = page["next"]
        if after is None:
            return found


def next_expiry(connection: Connection) -> datetime | None:
    return connection.execute(select(func.min(open_holds.c.expires_at))).scalar()


def early():
    return order(ORDER, adults(FIRST))


def late():
    return order(OTHER_ORDER, adults(SECOND), at=NOW + HOUR)


def test_a_hold_lapses_when_its_time_has_come(given):
    given(late(), early())
    assert asked(given, lapsed, HOLD_ENDS - MOMENT) == []
    assert asked(given, lapsed, HOLD_ENDS) == [ORDER]
    assert asked(given, next_expiry) == HOLD_ENDS


def test_the_oldest_holds_come_first(given):
    given(late(), early())
    assert asked(given, lapsed, NOW + DAY) == [ORDER, OTHER_ORDER]


def test_holds_that_run_out_at_once_are_all_listed(given):
    given(order(ORDER, adults(FIRST)), order(OTHER_ORDER, adults(SECOND)))
    assert set(asked(given, lapsed, HOLD_ENDS)) == {ORDER, OTHER_ORDER}


def test_a_paid_order_holds_nothing(given):
    given(paid(early()), late())
    assert asked(given, lapsed, NOW + DAY) == [OTHER_ORDER]
    assert asked(given, next_expiry) == HOLD_ENDS + HOUR


def test_an_order_may_be_paid_long_after_it_was_taken_in(given):
    bought = early()
    given(bought, late())
    given(paid(bought))
    assert asked(given, lapsed, NOW + DAY) == [OTHER_ORDER]


def test_a_refused_payment_leaves_the_hold(given):
    bought = early()
    bought.pay("card", "ch_1", 1, NOW)
    given(bought, paid(late(), at=NOW + HOUR))
    assert asked(given, lapsed, NOW + DAY) == [ORDER]


def test_cancelled_and_expired_orders_hold_nothing(given):
    cancelled, expired = early(), late()
    cancelled.cancel("changed my mind", NOW)
    expired.expire(NOW + DAY)
    given(cancelled, expired)
    assert asked(given, lapsed, NOW + DAY) == []
    assert asked(given, next_expiry) is None


def test_imported_orders_never_lapse(given):
    given(early(), metadata='{"source":"pretix"}')
    given(late())
    assert asked(given, lapsed, NOW + DAY) == [OTHER_ORDER]
