"""Gate statistics: what is counted, for which event, on which day and in which hour."""

from uuid import UUID

from projections.gate_statistics import daily, hourly, totals, totals_of
from tests.domain.given import (
    ADULT,
    ANNA,
    BORIS,
    CAMPER,
    DOORS,
    FESTIVAL,
    FIRST,
    KID,
    NOW,
    OTHER_FESTIVAL,
    SECOND,
    THIRD,
    entry,
    terms,
)
from tests.projections.making import (
    DAY,
    HOUR,
    UNKNOWN,
    asked,
    elsewhere,
    festivals,
    forged,
    scanned,
    secret_of,
    ticket,
    transferred,
)

MIDNIGHT = (DOORS + DAY).replace(hour=0)


def counts(given, event_id: UUID = FESTIVAL) -> tuple[int, int, int, int]:
    """Valid and invalid scans, successful and failed transfers."""
    of = asked(given, totals_of, event_id)
    assert of is not None
    return (
        of["valid_scan_count"],
        of["invalid_scan_count"],
        of["successful_transfer_count"],
        of["failed_transfer_count"],
    )


def last_updated(given):
    of = asked(given, totals_of, FESTIVAL)
    assert of is not None
    return of["last_updated"]


def test_a_drafted_event_has_counted_nothing_yet(given):
    given(*festivals())
    assert asked(given, totals_of, FESTIVAL) == {
        "event_id": str(FESTIVAL),
        "scan_count": 0,
        "transfer_count": 0,
        "invalid_attempt_count": 0,
        "valid_scan_count": 0,
        "invalid_scan_count": 0,
        "successful_transfer_count": 0,
        "failed_transfer_count": 0,
        "last_updated": None,
    }
    assert asked(given, daily, FESTIVAL) == asked(given, hourly, FESTIVAL) == []


def test_an_unknown_event_has_no_statistics(given):
    given(*festivals())
    assert asked(given, totals_of, UNKNOWN) is None


def test_totals_are_keyed_by_event(given):
    given(*festivals(), scanned(ticket(FIRST)))
    every = asked(given, totals)
    assert {key: of["scan_count"] for key, of in every.items()} == {
        str(FESTIVAL): 1,
        str(OTHER_FESTIVAL): 0,
    }
    assert every[str(FESTIVAL)] == asked(given, totals_of, FESTIVAL)


def test_sums_are_made_of_what_is_counted(given):
    given(*festivals())
    given(transferred(scanned(scanned(transferred(ticket(FIRST))))), scanned(elsewhere(SECOND)))
    of = asked(given, totals_of, FESTIVAL)
    assert of is not None
    assert counts(given) == (1, 1, 1, 1)
    assert (of["scan_count"], of["transfer_count"], of["invalid_attempt_count"]) == (2, 2, 2)


def test_a_scan_counts_for_its_event_only(given):
    given(*festivals(), scanned(ticket(FIRST)), scanned(scanned(elsewhere(SECOND))))
    assert counts(given) == (1, 0, 0, 0)
    assert counts(given, OTHER_FESTIVAL) == (1, 1, 0, 0)


def test_a_scan_at_the_wrong_event_counts_where_it_was_made(given):
    given(*festivals(), scanned(ticket(FIRST), event_id=OTHER_FESTIVAL))
    assert counts(given) == (0, 0, 0, 0)
    assert counts(given, OTHER_FESTIVAL) == (0, 1, 0, 0)


def test_an_old_secret_is_an_invalid_scan(given):
    given(*festivals(), scanned(transferred(ticket(FIRST)), secret=secret_of(FIRST)))
    assert counts(given) == (0, 1, 1, 0)
    assert counts(given, OTHER_FESTIVAL) == (0, 0, 0, 0)


def test_a_secret_of_no_ticket_is_an_invalid_scan_each_time(given):
    again = forged()
    again.present_again(entry(), "invalid", None, DOORS)
    given(*festivals(), again, forged(OTHER_FESTIVAL, shown="another"))
    assert counts(given) == (0, 2, 0, 0)
    assert counts(given, OTHER_FESTIVAL) == (0, 1, 0, 0)


def test_exit_and_reentry_are_valid_scans(given):
    visitor = scanned(scanned(scanned(ticket(FIRST)), type="exit"))
    given(*festivals(), visitor, scanned(elsewhere(SECOND)))
    assert counts(given) == (3, 0, 0, 0)


def test_an_exit_of_nobody_inside_is_an_invalid_scan(given):
    given(*festivals(), scanned(ticket(FIRST), type="exit"), scanned(ticket(SECOND)))
    assert counts(given) == (1, 1, 0, 0)


def test_a_forced_scan_is_valid(given):
    inside = scanned(ticket(FIRST))
    given(*festivals(), scanned(inside, forced=True), scanned(ticket(SECOND), why_not="canceled"))
    assert counts(given) == (2, 1, 0, 0)


def test_a_blocked_ticket_is_an_invalid_scan(given):
    blocked = ticket(FIRST)
    blocked.block("charge-back", NOW)
    given(*festivals(), scanned(blocked), scanned(ticket(SECOND)))
    assert counts(given) == (1, 1, 0, 0)


def test_transfers_count_by_outcome(given):
    given(*festivals(), transferred(transferred(ticket(FIRST), BORIS), ANNA))
    given(transferred(elsewhere(SECOND), to=ANNA))
    assert counts(given) == (0, 0, 2, 0)
    assert counts(given, OTHER_FESTIVAL) == (0, 0, 0, 1)


def test_a_scan_that_comes_in_late_does_not_turn_back_the_clock(given):
    given(*festivals(), scanned(ticket(FIRST), DOORS + HOUR))
    given(scanned(ticket(SECOND), DOORS), scanned(elsewhere(THIRD), DOORS + DAY))
    assert last_updated(given) == DOORS + HOUR


def test_last_updated_is_the_latest_of_what_is_counted(given):
    given(*festivals(), scanned(ticket(FIRST)))
    blocked = transferred(ticket(SECOND), at=DOORS + HOUR)
    blocked.block("charge-back", DOORS + DAY)
    given(blocked)
    assert last_updated(given) == DOORS + HOUR


def test_each_day_counts_for_itself(given):
    early = transferred(ticket(FIRST), at=MIDNIGHT - HOUR)
    given(*festivals(), scanned(early, MIDNIGHT), scanned(elsewhere(SECOND), MIDNIGHT + DAY))
    before, after = asked(given, daily, FESTIVAL)
    assert (before["stat_date"], after["stat_date"]) == ((MIDNIGHT - HOUR).date(), MIDNIGHT.date())
    assert (before["transfer_count"], before["scan_count"]) == (1, 0)
    assert (after["transfer_count"], after["scan_count"]) == (0, 1)
    assert (before["last_updated"], after["last_updated"]) == (MIDNIGHT - HOUR, MIDNIGHT)


def test_a_day_holds_the_same_counts_as_the_total(given):
    given(*festivals(), scanned(transferred(ticket(FIRST))), scanned(ticket(SECOND), MIDNIGHT))
    sums = [sum(of["scan_count"] for of in asked(given, daily, FESTIVAL))]
    total = asked(given, totals_of, FESTIVAL)
    assert total is not None
    assert sums == [total["scan_count"]]
    assert [day.keys() - total.keys() for day in asked(given, daily, FESTIVAL)] == [
        {"stat_date"}
    ] * 3


def test_a_scan_that_comes_in_late_counts_on_the_day_it_was_made(given):
    given(*festivals(), scanned(ticket(FIRST), MIDNIGHT))
    given(scanned(ticket(SECOND), MIDNIGHT - HOUR))
    days = [(of["stat_date"], of["scan_count"]) for of in asked(given, daily, FESTIVAL)]
    assert days == [((MIDNIGHT - HOUR).date(), 1), (MIDNIGHT.date(), 1)]


def test_hours_count_admissions_exits_and_refusals_by_ticket_type(given):
    adult = scanned(scanned(scanned(ticket(FIRST)), DOORS + HOUR), DOORS + HOUR, type="exit")
    kid = scanned(ticket(SECOND, ticket_type_id=KID), DOORS + HOUR - HOUR / 60)
    given(*festivals(), adult, kid, scanned(elsewhere(THIRD)))
    assert asked(given, hourly, FESTIVAL) == [
        hour(DOORS, ADULT, "Adult", admissions=1),
        hour(DOORS, KID, "Kid", admissions=1),
        hour(DOORS + HOUR, ADULT, "Adult", exits=1, refused=1),
    ]


def test_what_belongs_to_no_ticket_has_no_ticket_type(given):
    given(*festivals(), forged(at=DOORS + HOUR / 2), forged(OTHER_FESTIVAL, shown="another"))
    assert asked(given, hourly, FESTIVAL) == [hour(DOORS, None, None, refused=1)]


def test_a_ticket_of_another_event_keeps_its_type(given):
    given(*festivals(), scanned(elsewhere(FIRST), event_id=FESTIVAL), scanned(elsewhere(SECOND)))
    assert asked(given, hourly, FESTIVAL) == [hour(DOORS, CAMPER, "Camper", refused=1)]


def test_hours_show_a_ticket_type_by_its_present_name(given):
    midsummer, harvest = festivals()
    midsummer.change_ticket_type(ADULT, terms(name="Grown-up"), NOW)
    given(midsummer, harvest, scanned(ticket(FIRST)), scanned(ticket(SECOND, ticket_type_id=KID)))
    names = [of["ticket_type"] for of in asked(given, hourly, FESTIVAL)]
    assert names == ["Grown-up", "Kid"]


def hour(at, ticket_type_id, ticket_type, admissions=0, exits=0, refused=0):
    return {
        "hour": at,
        "ticket_type_id": ticket_type_id,
        "ticket_type": ticket_type,
        "admissions": admissions,
        "exits": exits,
        "refused": refused,
    }
