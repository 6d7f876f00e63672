"""Gate lists: the latest scans, transfers and invalid attempts of an event."""

import pytest

from domain.gate import Unmatched
from projections.gate_lists import invalid_attempts, scans, transfers
from tests.domain.given import (
    ANNA,
    BORIS,
    DOORS,
    FESTIVAL,
    FIRST,
    NOW,
    OTHER_FESTIVAL,
    SECOND,
    THIRD,
    entry,
)
from tests.projections.making import (
    HOUR,
    asked,
    elsewhere,
    festivals,
    forged,
    scanned,
    secret_of,
    ticket,
    transferred,
)


def listed(given, query, event_id=FESTIVAL, limit=50):
    return asked(given, query, event_id, limit)


OPENED = 5
"""The position where the festivals are ready; what happens at their gates comes behind."""


@pytest.fixture
def given(given):
    given(*festivals())
    return given


def test_a_scan_is_listed_as_the_scanner_reported_it(given):
    given(scanned(ticket(FIRST)), scanned(elsewhere(SECOND)))
    assert listed(given, scans) == [
        {
            "id": OPENED + 2,
            "ticket_id": FIRST,
            "scanner_id": "gate 1",
            "scan_timestamp": DOORS,
            "is_valid": True,
            "location": "north",
        }
    ]


def test_scans_are_listed_by_when_they_were_made_however_late_they_came_in(given):
    given(scanned(ticket(FIRST), DOORS + HOUR), scanned(elsewhere(THIRD), DOORS + HOUR))
    given(scanned(ticket(SECOND), DOORS))
    assert [scan["ticket_id"] for scan in listed(given, scans)] == [FIRST, SECOND]


def test_scans_of_the_same_moment_are_listed_last_recorded_first(given):
    given(scanned(ticket(FIRST)), scanned(elsewhere(THIRD)), scanned(ticket(SECOND)))
    assert [scan["ticket_id"] for scan in listed(given, scans)] == [SECOND, FIRST]


def test_no_more_are_listed_than_asked_for(given):
    given(scanned(scanned(scanned(ticket(FIRST)))), transferred(transferred(ticket(SECOND))))
    assert [scan["id"] for scan in listed(given, scans, limit=2)] == [OPENED + 4, OPENED + 3]
    assert [attempt["id"] for attempt in listed(given, invalid_attempts, limit=1)] == [OPENED + 4]
    assert [transfer["id"] for transfer in listed(given, transfers, limit=1)] == [OPENED + 7]


def test_entries_exits_and_refusals_are_all_scans(given):
    visitor = scanned(scanned(scanned(ticket(FIRST)), type="exit"), type="exit")
    given(visitor, scanned(elsewhere(SECOND)))
    assert [scan["is_valid"] for scan in listed(given, scans)] == [False, True, True]


def test_a_forced_scan_is_valid_and_no_invalid_attempt(given):
    given(scanned(scanned(ticket(FIRST)), forced=True), scanned(scanned(ticket(SECOND))))
    assert [scan["is_valid"] for scan in listed(given, scans)] == [False, True, True, True]
    assert [attempt["ticket_id"] for attempt in listed(given, invalid_attempts)] == [SECOND]


def test_a_scan_at_the_wrong_event_is_listed_where_it_was_made(given):
    given(scanned(ticket(FIRST), event_id=OTHER_FESTIVAL), scanned(ticket(SECOND)))
    assert [scan["ticket_id"] for scan in listed(given, scans, OTHER_FESTIVAL)] == [FIRST]
    (attempt,) = listed(given, invalid_attempts, OTHER_FESTIVAL)
    assert (attempt["ticket_id"], attempt["reason"]) == (FIRST, "product")
    assert listed(given, invalid_attempts) == []


def test_a_secret_of_no_ticket_is_listed_without_a_ticket(given):
    again = forged()
    again.present_again(entry(), "invalid", None, DOORS + HOUR)
    given(again, forged(OTHER_FESTIVAL, shown="another"))
    found = [(scan["id"], scan["ticket_id"], scan["is_valid"]) for scan in listed(given, scans)]
    assert found == [(OPENED + 2, None, False), (OPENED + 1, None, False)]
    assert [attempt["ticket_id"] for attempt in listed(given, invalid_attempts)] == [None, None]


def test_a_ticket_not_issued_yet_is_listed_by_the_id_that_was_looked_up(given):
    given(Unmatched.present(str(FIRST), entry(), "unpaid", FIRST, DOORS), forged())
    unpaid = listed(given, invalid_attempts)[1]
    assert (unpaid["ticket_id"], unpaid["reason"]) == (FIRST, "unpaid")
    assert listed(given, scans)[1]["ticket_id"] == FIRST


def test_a_transfer_is_listed_with_both_holders(given):
    given(transferred(ticket(FIRST)), transferred(elsewhere(SECOND)))
    assert listed(given, transfers) == [
        {
            "id": OPENED + 2,
            "ticket_id": FIRST,
            "from_user_id": ANNA,
            "to_user_id": BORIS,
            "transfer_timestamp": NOW,
            "is_successful": True,
            "transfer_reason": "a present",
        }
    ]


def test_a_refused_transfer_is_listed_and_an_invalid_attempt(given):
    given(transferred(ticket(FIRST), to=ANNA), transferred(ticket(SECOND), at=NOW - HOUR))
    found = [(of["ticket_id"], of["is_successful"]) for of in listed(given, transfers)]
    assert found == [(FIRST, False), (SECOND, True)]
    (attempt,) = listed(given, invalid_attempts)
    assert (attempt["attempt_type"], attempt["reason"]) == ("transfer", "same_holder")


def test_an_invalid_attempt_is_listed_with_the_address_it_came_from(given):
    reused = scanned(transferred(ticket(FIRST)), secret=secret_of(FIRST))
    given(reused, scanned(scanned(elsewhere(SECOND))), metadata='{"ip":"192.0.2.7"}')
    assert listed(given, invalid_attempts) == [
        {
            "id": OPENED + 3,
            "attempt_type": "scan",
            "ticket_id": FIRST,
            "attempt_timestamp": DOORS,
            "reason": "revoked",
            "ip_address": "192.0.2.7",
        }
    ]


def test_an_address_that_is_not_known_is_null(given):
    given(scanned(scanned(ticket(FIRST))), transferred(ticket(SECOND), to=ANNA), forged())
    attempts = listed(given, invalid_attempts)
    assert [attempt["ip_address"] for attempt in attempts] == [None, None, None]


def test_invalid_attempts_of_both_kinds_are_listed_newest_first(given):
    given(scanned(scanned(ticket(FIRST))), transferred(ticket(SECOND), to=ANNA, at=DOORS + HOUR))
    given(forged(at=DOORS - HOUR), scanned(scanned(elsewhere(THIRD))))
    kinds = [(of["attempt_type"], of["ticket_id"]) for of in listed(given, invalid_attempts)]
    assert kinds == [("transfer", SECOND), ("scan", FIRST), ("scan", None)]
