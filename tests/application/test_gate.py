"""When an attempt at a gate counts as made: what a scanner's clock tells, or the present."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from application.gate import check_in
from application.store.work import Context, Work
from domain.aggregate import Aggregate, Fact
from domain.event import Event
from domain.limits import CLOCKS_DIFFER
from domain.ticket import Ticket
from tests.domain.given import (
    BORIS,
    DOORS,
    END,
    FESTIVAL,
    MOMENT,
    NEW_SECRET,
    NOW,
    SECRET,
    admitted,
    entry,
    issued,
    led_to,
    on_sale,
    scan,
    transfer,
)

HOUR = timedelta(hours=1)
LOST = NOW - CLOCKS_DIFFER - MOMENT
EPOCH = datetime.fromtimestamp(0, NOW.tzinfo)


def told(
    ticket: Ticket | None,
    at: datetime | None,
    secret: str = SECRET,
    event: Event | None = None,
    now: datetime = DOORS + HOUR,
    way: str = "entry",
    forced: bool = False,
) -> tuple[str, datetime]:
    """What comes of an attempt that a scanner tells of `now`, with that time by its clock; and when
    it counts as made."""
    streams: dict[object, Aggregate] = {FESTIVAL: event or on_sale()}
    if ticket is not None:
        streams[ticket.id] = ticket
    work = Work(Context(at=now, told_at=at), streams.get, prefetch=lambda _: None)
    attempt = entry(type=way, forced=forced)
    outcome = check_in(work, attempt, FESTIVAL, ticket.id if ticket else None, secret)
    made: Fact = work.facts[-1]
    return outcome.reason or "ok", made.occurred_at


def reason(ticket: Ticket, at: datetime | None, **given: Any) -> str:
    return told(ticket, at, **given)[0]


def test_an_attempt_that_is_told_late_was_made_when_it_was():
    assert told(issued(), DOORS) == ("ok", DOORS)
    assert told(issued(), None) == ("ok", DOORS + HOUR)


@pytest.mark.parametrize("at", [LOST, EPOCH])
def test_a_clock_that_has_lost_the_time_tells_nothing(at: datetime):
    assert told(issued(), at) == ("ok", DOORS + HOUR)


def test_a_clock_that_is_a_little_slow_is_taken_at_its_word():
    ticket, slow = issued(), NOW - CLOCKS_DIFFER
    ticket.void("refunded", NOW + MOMENT)
    assert told(ticket, slow, event=on_sale(doors_open_at=None)) == ("ok", slow)


def test_nobody_shows_a_secret_before_it_is_there():
    ticket = issued()
    transfer(ticket, to=BORIS, now=NOW + HOUR)
    assert told(ticket, NOW, NEW_SECRET) == ("ok", DOORS + HOUR)


def test_a_lost_clock_does_not_hide_what_has_become_of_a_ticket():
    void, handed_over, blocked = issued(), issued(), issued()
    void.void("refunded", NOW)
    transfer(handed_over, to=BORIS)
    blocked.block("charge-back", NOW)
    assert reason(void, LOST, forced=True) == "canceled"
    assert reason(handed_over, LOST, forced=True) == "revoked"
    assert reason(blocked, LOST) == "blocked"


def test_a_lost_clock_lets_nobody_pass_twice():
    ticket = admitted()
    assert scan(ticket, type="exit") == "ok"
    assert [reason(ticket, EPOCH + n * HOUR) for n in range(2)] == ["ok", "already_redeemed"]
    assert [reason(ticket, EPOCH, way="exit") for _ in range(2)] == ["ok", "invalid"]
    assert reason(ticket, None) == "ok"


def test_a_lost_clock_goes_by_the_gate_of_the_present():
    assert reason(issued(), LOST, event=led_to("completed")) == "invalid_time"
    assert reason(issued(), LOST, event=led_to("cancelled")) == "canceled"
    assert reason(issued(), LOST, now=END) == "invalid_time"
    assert reason(issued(), LOST, now=DOORS - MOMENT) == "invalid_time"
    assert reason(issued(), LOST, now=DOORS) == "ok"


def test_nobody_shows_a_forgery_before_there_is_an_event():
    slow = NOW - CLOCKS_DIFFER
    assert told(None, slow, "a secret of nobody") == ("invalid", slow)
    assert told(None, LOST, "a secret of nobody") == ("invalid", DOORS + HOUR)
