"""The rules of a ticket: issued, transferred, admitted and let out, or voided."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from domain.errors import TicketVoid
from domain.ids import new_secret
from domain.ticket import Ticket
from tests.domain.given import (
    ANNA,
    BORIS,
    CLARA,
    FIRST,
    MOMENT,
    NEW_SECRET,
    NOW,
    OTHER_FESTIVAL,
    SECRET,
    admitted,
    entry,
    issued,
    last,
    scan,
    transfer,
    transferred,
)


def blocked() -> Ticket:
    ticket = issued()
    ticket.block("charge-back", NOW)
    return ticket


def voided() -> Ticket:
    ticket = issued()
    ticket.void("refunded", NOW)
    return ticket


def let_out(*, reentry: bool = True) -> Ticket:
    ticket = admitted(reentry=reentry)
    assert scan(ticket, type="exit") == "ok"
    return ticket


def told_late(ticket: Ticket, at: datetime, secret: str | None = SECRET, **given: Any) -> str:
    """As `scan`, but it happened at another time."""
    return ticket.present(entry(**given), secret, why_not=None, now=at, told_at=at) or "ok"


# Admitted


def test_a_ticket_admits():
    ticket = issued()
    assert scan(ticket) == "ok"
    fact = last(ticket)
    assert isinstance(fact, Ticket.Admitted)
    assert fact.scan == entry()
    assert (ticket.inside, ticket.admissions) == (True, 1)


def test_a_ticket_admits_once():
    ticket = admitted()
    assert scan(ticket) == "already_redeemed"
    assert ticket.admissions == 1


def test_a_ticket_looked_up_by_the_staff_admits_without_secret():
    ticket = issued()
    assert scan(ticket, secret=None) == "ok"
    assert ticket.inside


def test_a_ticket_that_was_let_out_admits_again():
    ticket = let_out()
    assert scan(ticket) == "ok"
    assert (ticket.inside, ticket.admissions) == (True, 2)


def test_without_reentry_a_ticket_that_was_let_out_admits_no_more():
    ticket = let_out(reentry=False)
    assert scan(ticket) == "already_redeemed"
    assert not ticket.inside


def test_only_who_is_inside_is_let_out():
    assert scan(issued(), type="exit") == "invalid"
    assert scan(let_out(), type="exit") == "invalid"
    assert scan(admitted(), type="exit") == "ok"


def test_an_exit_that_is_told_late_or_twice_lets_nobody_else_in():
    ticket = issued()
    went_out = NOW + timedelta(minutes=1)
    assert told_late(ticket, NOW) == "ok"
    assert told_late(ticket, went_out, type="exit") == "ok"
    assert told_late(ticket, NOW + timedelta(minutes=2)) == "ok"
    assert told_late(ticket, went_out, type="exit") == "ok"
    assert ticket.inside
    assert told_late(ticket, NOW + timedelta(minutes=3)) == "already_redeemed"


def test_an_entry_that_is_told_late_keeps_nobody_out_who_has_left():
    ticket = issued()
    assert told_late(ticket, NOW + timedelta(hours=1)) == "ok"
    assert told_late(ticket, NOW + timedelta(hours=2), type="exit") == "ok"
    assert told_late(ticket, NOW) == "already_redeemed", "by somebody else, an hour later"
    assert (ticket.inside, ticket.admissions) == (False, 1)
    assert told_late(ticket, NOW + timedelta(hours=3)) == "ok"


@pytest.mark.parametrize("minutes", [-30, 30, 90, 150, 210])
def test_between_entries_and_exits_that_are_known_nobody_passed(minutes: int):
    ticket = issued()
    for hours, way in enumerate(["entry", "exit", "entry", "exit"]):
        assert told_late(ticket, NOW + timedelta(hours=hours), type=way) == "ok"
    at = NOW + timedelta(minutes=minutes)
    told = (told_late(ticket, at), told_late(ticket, at, type="exit"))
    assert told == (("ok", "ok") if minutes > 180 else ("already_redeemed", "invalid"))


def test_an_exit_that_is_told_late_counts_once_between_two_entries():
    ticket = issued()
    assert told_late(ticket, NOW) == "ok"
    assert told_late(ticket, NOW + timedelta(hours=2), forced=True) == "ok"
    told = [told_late(ticket, NOW + timedelta(hours=1), type="exit") for _ in range(2)]
    assert told == ["ok", "invalid"]
    assert ticket.inside


def test_of_passages_in_doubtful_order_the_way_in_counts():
    ticket = issued()
    assert told_late(ticket, NOW) == "ok"
    assert told_late(ticket, NOW + timedelta(minutes=4), type="exit") == "ok"
    assert told_late(ticket, NOW) == "ok"
    assert ticket.inside


def test_a_refused_scan_is_recorded_and_changes_nothing():
    ticket = admitted()
    scan(ticket, scanner_id="gate 2")
    fact = last(ticket)
    assert isinstance(fact, Ticket.ScanRefused)
    assert (fact.reason, fact.scan.scanner_id) == ("already_redeemed", "gate 2")
    assert (ticket.inside, ticket.admissions) == (True, 1)


def test_a_ticket_of_another_event_is_refused():
    ticket = issued()
    assert scan(ticket, event_id=OTHER_FESTIVAL) == "product"
    fact = last(ticket)
    assert isinstance(fact, Ticket.ScanRefused)
    assert fact.scan.event_id == OTHER_FESTIVAL


def test_what_speaks_against_it_outside_of_the_ticket_refuses_it():
    assert scan(issued(), why_not="invalid_time") == "invalid_time"
    assert scan(admitted(), why_not="invalid_time") == "already_redeemed", "its own reason first"


def test_a_blocked_ticket_admits_only_while_it_is_not_blocked():
    ticket = blocked()
    assert scan(ticket) == "blocked"
    ticket.unblock(NOW)
    assert scan(ticket) == "ok"


def test_a_void_ticket_admits_nobody():
    assert scan(voided()) == "canceled"


def test_a_void_ticket_had_admitted_until_then():
    ticket = issued()
    ticket.void("refunded", NOW + MOMENT)
    assert told_late(ticket, NOW) == "ok"
    assert told_late(ticket, NOW + MOMENT) == "canceled"


def test_a_block_counts_for_as_long_as_it_lasts():
    ticket = issued()
    ticket.block("charge-back", NOW + 2 * MOMENT)
    ticket.unblock(NOW + 4 * MOMENT)
    ticket.block("charge-back", NOW + 6 * MOMENT)
    told = [told_late(ticket, NOW + n * MOMENT) for n in (5, 6, 7, 2, 3)]
    assert told == ["ok", "blocked", "blocked", "blocked", "blocked"]
    assert scan(ticket, type="exit") == "ok"


@pytest.mark.parametrize("moments", [1, 4])
def test_a_ticket_admits_who_came_before_it_was_blocked_and_after(moments: int):
    ticket = issued()
    ticket.block("charge-back", NOW + 2 * MOMENT)
    ticket.unblock(NOW + 4 * MOMENT)
    ticket.block("charge-back", NOW + 5 * MOMENT)
    assert told_late(ticket, NOW + moments * MOMENT) == "ok"


def test_the_end_of_a_block_that_has_not_come_yet_is_none():
    ticket, other = issued(), blocked()
    other.unblock(NOW)
    end = last(other)
    ticket.version = end.originator_version - 1
    end.mutate(ticket)
    assert not ticket.blocked
    assert scan(ticket) == "ok"


def test_the_present_counts_for_whoever_is_at_the_gate_whatever_the_clock_says():
    ticket, later = issued(), NOW + timedelta(seconds=1)  # by the clock of another server
    transfer(ticket, to=BORIS, now=later)
    ticket.block("charge-back", later)
    assert ticket.present(entry(), SECRET, why_not=None, now=NOW) == "revoked"
    assert ticket.present(entry(), NEW_SECRET, why_not=None, now=NOW) == "blocked"
    ticket.void("refunded", later)
    assert ticket.present(entry(), NEW_SECRET, why_not=None, now=NOW) == "canceled"


def test_each_secret_counts_until_the_next():
    ticket = issued()
    transfer(ticket, to=BORIS, now=NOW + 2 * MOMENT)
    assert told_late(ticket, NOW + 2 * MOMENT, SECRET) == "revoked"
    assert told_late(ticket, NOW + MOMENT, SECRET) == "ok"


def test_a_void_ticket_is_void_before_anything_else():
    ticket = blocked()
    ticket.void("refunded", NOW)
    assert scan(ticket) == "canceled"


# Forced by the staff


def test_the_staff_admit_a_ticket_again_by_force():
    ticket = admitted()
    assert scan(ticket, forced=True) == "ok"
    fact = last(ticket)
    assert isinstance(fact, Ticket.Admitted)
    assert fact.scan.forced
    assert ticket.admissions == 2


def test_the_staff_override_a_block_a_used_ticket_and_the_hour():
    assert scan(blocked(), forced=True) == "ok"
    assert scan(let_out(reentry=False), forced=True) == "ok"
    assert scan(issued(), why_not="invalid_time", forced=True) == "ok"


def test_force_does_not_help_what_was_never_good():
    assert scan(voided(), forced=True) == "canceled"
    assert scan(transferred(), forced=True) == "revoked"
    assert scan(issued(), event_id=OTHER_FESTIVAL, forced=True) == "product"
    assert scan(issued(), why_not="canceled", forced=True) == "canceled"
    assert scan(issued(), type="exit", forced=True) == "invalid"


def test_an_overridden_objection_does_not_hide_the_one_behind_it():
    assert scan(blocked(), why_not="canceled", forced=True) == "canceled"
    assert scan(admitted(), why_not="canceled", forced=True) == "canceled"
    assert scan(blocked(), type="exit", forced=True) == "invalid"


# Transferred


def test_a_transfer_gives_the_ticket_a_new_holder_and_a_new_secret():
    ticket = issued()
    assert transfer(ticket, to=BORIS) == "ok"
    fact = last(ticket)
    assert isinstance(fact, Ticket.Transferred)
    assert (fact.from_customer_id, fact.to_customer_id) == (ANNA, BORIS)
    assert (ticket.holder_id, ticket.secret) == (BORIS, NEW_SECRET)


def test_after_a_transfer_the_old_secret_is_revoked_and_the_new_one_admits():
    ticket = transferred()
    assert scan(ticket, SECRET) == "revoked"
    assert scan(ticket, NEW_SECRET) == "ok"


def test_every_old_secret_stays_revoked():
    ticket = transferred()
    transfer(ticket, to=CLARA, secret="the third secret")
    assert [scan(ticket, secret) for secret in (SECRET, NEW_SECRET)] == ["revoked", "revoked"]
    assert scan(ticket, "the third secret") == "ok"


def test_an_old_secret_is_revoked_before_anything_else():
    ticket = transferred()
    ticket.block("charge-back", NOW)
    ticket.void("refunded", NOW)
    assert scan(ticket, SECRET, event_id=OTHER_FESTIVAL) == "revoked"


def test_a_ticket_knows_its_present_and_its_old_secrets_and_no_other():
    ticket = transferred()
    assert ticket.knows(SECRET)
    assert ticket.knows(NEW_SECRET)
    assert not ticket.knows(new_secret(FIRST))


@pytest.mark.parametrize("shown", ["", "schlüssel", "🎟", "\ud800", "\x00"])
def test_anything_at_all_may_be_shown_at_a_gate(shown: str):
    ticket = issued()
    assert not ticket.knows(shown)
    assert scan(ticket, shown) == "revoked"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (voided, "canceled"),
        (blocked, "blocked"),
        (admitted, "already_redeemed"),
        (let_out, "already_redeemed"),
    ],
)
def test_a_refused_transfer_is_recorded_and_changes_nothing(
    given: Callable[[], Ticket], reason: str
):
    ticket = given()
    assert transfer(ticket, to=BORIS) == reason
    fact = last(ticket)
    assert isinstance(fact, Ticket.TransferRefused)
    assert (fact.from_customer_id, fact.to_customer_id, fact.refusal) == (ANNA, BORIS, reason)
    assert (ticket.holder_id, ticket.secret, ticket.old_secrets) == (ANNA, SECRET, [])


def test_a_ticket_is_not_transferred_to_its_holder():
    assert transfer(issued(), to=ANNA) == "same_holder"
    assert transfer(transferred(), to=BORIS) == "same_holder"


def test_a_ticket_may_come_back_to_an_earlier_holder():
    ticket = transferred()
    assert transfer(ticket, to=ANNA, secret="the third secret") == "ok"
    assert ticket.holder_id == ANNA


def test_what_speaks_against_a_transfer_outside_of_the_ticket_refuses_it():
    ticket = issued()
    assert transfer(ticket, why_not="event_over") == "event_over"
    fact = last(ticket)
    assert isinstance(fact, Ticket.TransferRefused)
    assert fact.refusal == "event_over"
    assert transfer(voided(), why_not="event_over") == "canceled", "its own reason first"


# Blocked, voided


def test_blocking_unblocking_and_voiding_again_are_no_events():
    ticket = issued()
    ticket.unblock(NOW)
    ticket.block("charge-back", NOW)
    ticket.block("again", NOW)
    ticket.void("refunded", NOW)
    ticket.void("again", NOW)
    assert ticket.version == 3


def test_whoever_is_inside_may_leave_whatever_became_of_the_ticket():
    refunded, stolen = admitted(), admitted()
    refunded.void("refunded", NOW)
    stolen.block("charge-back", NOW)
    assert [scan(refunded, type="exit"), scan(stolen, type="exit")] == ["ok", "ok"]
    assert [scan(refunded), scan(stolen)] == ["canceled", "blocked"]


def test_a_void_ticket_is_not_blocked():
    with pytest.raises(TicketVoid):
        voided().block("charge-back", NOW)
