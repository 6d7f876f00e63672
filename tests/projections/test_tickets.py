"""Tickets: each as it is now, and the attendees of an event."""

from uuid import UUID

import pytest

from domain.customer import Profile
from projections.tickets import attendees
from projections.tickets import ticket as shown_ticket
from tests.domain.given import (
    ADULT,
    ANNA,
    BORIS,
    DOORS,
    FESTIVAL,
    FIRST,
    KID,
    NOW,
    ORDER,
    OTHER_FESTIVAL,
    SECOND,
    THIRD,
    details,
    terms,
)
from tests.projections.making import (
    DAY,
    HOUR,
    UNKNOWN,
    anna,
    asked,
    boris,
    elsewhere,
    festivals,
    scanned,
    secret_of,
    ticket,
    transferred,
)


@pytest.fixture
def given(given):
    given(*festivals(), anna(), boris())
    return given


def shown(given, ticket_id=FIRST):
    of = asked(given, shown_ticket, ticket_id)
    assert of is not None
    return of


def found(given, event_id=FESTIVAL, **filters):
    items = asked(given, attendees, event_id, **filters)["items"]
    return [item["ticket_id"] for item in items]


def test_a_ticket_is_shown_with_the_names_of_what_it_belongs_to(given):
    given(ticket(FIRST), elsewhere(SECOND, holder_id=BORIS))
    assert asked(given, shown_ticket, FIRST) == {
        "id": FIRST,
        "event_id": FESTIVAL,
        "event_name": "Midsummer",
        "ticket_type_id": ADULT,
        "ticket_type": "Adult",
        "order_id": ORDER,
        "holder_id": ANNA,
        "holder_name": "Anna Lind",
        "status": "issued",
        "blocked": False,
        "inside": False,
        "admissions": 0,
        "first_admitted_at": None,
        "issued_at": NOW,
        "transfers": 0,
        "voided_at": None,
        "secret": secret_of(FIRST),
    }


def test_a_ticket_that_was_not_issued_is_none(given):
    given(ticket(FIRST))
    assert asked(given, shown_ticket, UNKNOWN) is None


def test_names_are_those_of_today(given):
    midsummer, harvest = festivals()
    given(ticket(FIRST), elsewhere(SECOND))
    midsummer.change(details(title="Midwinter"), NOW)
    midsummer.change_ticket_type(ADULT, terms(name="Grown-up"), NOW)
    given(*midsummer.pending_events[-2:])
    assert (shown(given)["event_name"], shown(given)["ticket_type"]) == ("Midwinter", "Grown-up")
    assert (shown(given, SECOND)["event_name"], shown(given, SECOND)["ticket_type"]) == (
        harvest.details.title,
        "Camper",
    )


def test_a_transfer_replaces_holder_and_secret(given):
    given(transferred(ticket(FIRST)), ticket(SECOND))
    of = shown(given)
    assert (of["holder_id"], of["holder_name"], of["transfers"]) == (BORIS, "Boris Ek", 1)
    assert of["secret"] != secret_of(FIRST)
    assert (shown(given, SECOND)["holder_id"], shown(given, SECOND)["transfers"]) == (ANNA, 0)


def test_a_refused_transfer_changes_nothing(given):
    given(transferred(ticket(FIRST), to=ANNA), ticket(SECOND))
    of = shown(given)
    assert (of["holder_id"], of["transfers"], of["secret"]) == (ANNA, 0, secret_of(FIRST))


def test_a_visitor_is_inside_until_let_out(given):
    visitor = scanned(ticket(FIRST), DOORS)
    given(visitor, ticket(SECOND))
    assert (shown(given)["inside"], shown(given, SECOND)["inside"]) == (True, False)
    given(scanned(visitor, DOORS + HOUR, type="exit"))
    assert (shown(given)["inside"], shown(given)["admissions"]) == (False, 1)


def test_reentry_counts_another_admission(given):
    visitor = scanned(scanned(ticket(FIRST), DOORS), DOORS + HOUR, type="exit")
    given(scanned(visitor, DOORS + DAY), ticket(SECOND))
    of = shown(given)
    assert (of["inside"], of["admissions"], of["first_admitted_at"]) == (True, 2, DOORS)
    assert shown(given, SECOND)["admissions"] == 0


def test_an_admission_that_comes_in_late_may_be_the_first(given):
    visitor = scanned(scanned(ticket(FIRST), DOORS + DAY), DOORS + DAY, type="exit")
    given(visitor, scanned(ticket(SECOND), DOORS + DAY))
    given(scanned(visitor, DOORS))
    assert shown(given)["first_admitted_at"] == DOORS
    assert shown(given, SECOND)["first_admitted_at"] == DOORS + DAY


def test_the_latest_passage_tells_who_is_inside(given):
    visitor = scanned(scanned(ticket(FIRST), DOORS), DOORS + HOUR, type="exit")
    visitor = scanned(visitor, DOORS + DAY)
    given(visitor, scanned(ticket(SECOND), DOORS + DAY))
    given(scanned(visitor, DOORS + HOUR, type="exit"))
    assert shown(given)["inside"]
    given(scanned(visitor, DOORS + DAY + HOUR, type="exit"))
    assert not shown(given)["inside"]


def test_a_refused_scan_changes_nothing(given):
    given(scanned(ticket(FIRST), event_id=OTHER_FESTIVAL), scanned(ticket(SECOND)))
    assert (shown(given)["inside"], shown(given)["admissions"]) == (False, 0)


def test_a_blocked_ticket_says_so_until_it_is_unblocked(given):
    stopped = ticket(FIRST)
    stopped.block("charge-back", NOW)
    given(stopped, ticket(SECOND))
    assert (shown(given)["blocked"], shown(given, SECOND)["blocked"]) == (True, False)
    stopped.unblock(NOW)
    given(stopped)
    assert shown(given)["blocked"] is False


def test_a_refund_voids_a_ticket(given):
    refunded = ticket(FIRST)
    refunded.void("refunded", NOW + DAY)
    given(refunded, ticket(SECOND))
    assert (shown(given)["status"], shown(given)["voided_at"]) == ("voided", NOW + DAY)
    assert (shown(given, SECOND)["status"], shown(given, SECOND)["voided_at"]) == ("issued", None)


def test_an_attendee_is_shown_without_the_secret(given):
    given(ticket(FIRST), elsewhere(SECOND))
    assert asked(given, attendees, FESTIVAL) == {
        "items": [
            {
                "ticket_id": FIRST,
                "ticket_type_id": ADULT,
                "ticket_type": "Adult",
                "holder_id": ANNA,
                "name": "Anna Lind",
                "email": "anna@example.org",
                "order_id": ORDER,
                "status": "issued",
                "blocked": False,
                "inside": False,
                "admissions": 0,
                "first_admitted_at": None,
                "issued_at": NOW,
            }
        ],
        "next": None,
    }


def test_attendees_are_listed_in_the_order_of_their_tickets(given):
    given(ticket(FIRST, at=NOW + HOUR), ticket(SECOND), elsewhere(THIRD))
    assert found(given) == [SECOND, FIRST]


def test_attendees_are_listed_by_status(given):
    refunded = ticket(FIRST)
    refunded.void("refunded", NOW + DAY)
    given(refunded, ticket(SECOND), elsewhere(THIRD))
    assert found(given) == [FIRST, SECOND]
    assert (found(given, status="voided"), found(given, status="issued")) == ([FIRST], [SECOND])


def test_a_search_finds_attendees_by_their_present_holder(given):
    given(transferred(ticket(FIRST)), ticket(SECOND), elsewhere(THIRD, holder_id=BORIS))
    searches = ("boris", "EK", "ek bor", "boris@example.com")
    assert [found(given, q=q) for q in searches] == [[FIRST]] * len(searches)


def test_a_search_takes_no_wildcards(given):
    given(transferred(ticket(FIRST)), ticket(SECOND))
    searches = ("%", "_", "oris", "b%s")
    assert [found(given, q=q) for q in searches] == [[]] * len(searches)


def test_attendees_go_by_their_present_name(given):
    renamed = boris()
    renamed.change(Profile("Boris Berg", "berg@example.net"), NOW)
    given(renamed.pending_events[-1], transferred(ticket(FIRST)), ticket(SECOND))
    assert (found(given, q="berg"), found(given, q="ek")) == ([FIRST], [])
    assert shown(given)["holder_name"] == "Boris Berg"


def test_an_erased_attendee_has_no_name(given):
    gone = boris()
    gone.erase(NOW + DAY)
    given(transferred(ticket(FIRST)), ticket(SECOND))
    given(gone.pending_events[-1])
    items = asked(given, attendees, FESTIVAL)["items"]
    assert [(item["name"], item["email"]) for item in items] == [
        ("erased", ""),
        ("Anna Lind", "anna@example.org"),
    ]
    assert found(given, q="boris") == found(given, q="erased") == []
    assert shown(given)["holder_name"] == "erased"


def test_pages_go_through_all_attendees_once(given):
    ids = [UUID(int=200 + number) for number in range(5)]
    given(*(ticket(ticket_id, ticket_type_id=KID) for ticket_id in ids), elsewhere(THIRD))
    seen, after = [], None
    while True:
        answer = asked(given, attendees, FESTIVAL, limit=2, after=after)
        seen += [item["ticket_id"] for item in answer["items"]]
        after = answer["next"]
        if after is None:
            break
    assert seen == ids
