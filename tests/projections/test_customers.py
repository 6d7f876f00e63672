"""Customers: their profiles, lists and the search by words."""

import random
from dataclasses import replace
from uuid import UUID

import pytest

from domain.customer import Customer, Profile
from projections import words
from projections.customers import customer, list_customers
from projections.paging import BadCursor
from tests.domain.given import ANNA, BORIS, NOW
from tests.projections.making import DAY, UNKNOWN, anna, asked, boris

CHANGED = Profile("Anna Berg", "berg@example.net", "+44 161", "IE")


def found(given, q, **filters):
    return [item["id"] for item in asked(given, list_customers, q=q, **filters)["items"]]


def test_a_customer_is_shown_with_the_profile(given):
    given(anna(), boris())
    assert asked(given, customer, ANNA) == {
        "id": ANNA,
        "name": "Anna Lind",
        "email": "anna@example.org",
        "phone": "+44 20 7946",
        "country": "GB",
        "role": "attendee",
        "erased": False,
        "registered_at": NOW,
    }


def test_an_unknown_customer_is_none(given):
    given(anna())
    assert asked(given, customer, UNKNOWN) is None


def test_a_change_replaces_the_profile(given):
    changed = anna()
    changed.change(CHANGED, NOW + DAY)
    given(changed, boris())
    shown = asked(given, customer, ANNA)
    assert shown is not None
    assert (shown["name"], shown["email"]) == ("Anna Berg", "berg@example.net")
    assert (shown["phone"], shown["country"], shown["registered_at"]) == ("+44 161", "IE", NOW)


def test_of_an_erased_customer_no_trace_remains(given):
    gone = anna()
    given(gone, boris())
    gone.erase(NOW + DAY)
    given(gone)
    shown = asked(given, customer, ANNA)
    assert shown is not None
    assert shown["erased"]
    assert [shown[name] for name in ("name", "email", "phone", "country")] == ["erased", "", "", ""]
    assert [found(given, q) for q in ("anna", "lind", "7946", "erased")] == [[], [], [], []]


def test_erased_customers_are_not_listed(given):
    gone = anna()
    gone.erase(NOW)
    given(gone, boris())
    assert found(given, None) == [BORIS]


def test_customers_are_listed_by_name(given):
    given(anna(name="Zara Lind"), boris())
    assert found(given, None) == [BORIS, ANNA]


def test_customers_are_listed_by_country(given):
    given(anna(), boris())
    assert found(given, None, country="SE") == [BORIS]
    assert found(given, "anna", country="SE") == []


def test_customers_are_listed_of_whom_no_country_is_known(given):
    nowhere = anna()
    nowhere.change(replace(CHANGED, country=""), NOW)
    given(nowhere, boris())
    assert found(given, None, country="") == [ANNA]


def test_a_search_finds_customers_by_the_beginnings_of_words(given):
    given(anna(), boris())
    searches = (
        "anna",
        "LIND",
        "lin",
        "anna@example.org",
        "anna@ex",
        "@example.org",
        "an li",
        "+44 20 7946",
    )
    assert [found(given, q) for q in searches] == [[ANNA]] * len(searches)


def test_a_search_takes_no_wildcards_and_wants_every_word(given):
    given(anna(), boris())
    searches = ("%", "_", "nna", "anna boris", "na@example.org", "an%d", "'", "\\")
    assert [found(given, q) for q in searches] == [[]] * len(searches)


def test_a_search_overlooks_accents(given):
    given(anna(name="Zoë Müller"), boris())
    assert found(given, "zoe") == found(given, "MÜLLER") == found(given, "mull") == [ANNA]


def test_a_search_finds_letters_of_other_shapes(given):
    given(anna(name="𝓐𝓭𝓪 ℌans"), boris())
    assert found(given, "ada") == found(given, "hans") == found(given, "𝓪𝓭𝓪") == [ANNA]


def test_a_search_finds_customers_by_their_present_name_only(given):
    changed = anna()
    given(changed, boris())
    changed.change(CHANGED, NOW + DAY)
    given(changed)
    searches = {"lind": [], "anna lind": [], "berg": [ANNA], "anna": [ANNA], "berg anna": [ANNA]}
    assert {q: found(given, q) for q in searches} == searches


@pytest.mark.parametrize("few", [0, 500])
@pytest.mark.parametrize("longest", [0, 300])
def test_every_word_is_wanted_however_many_are_found_and_have_many_words(
    given, monkeypatch, few, longest
):
    monkeypatch.setattr(words, "FEW", few)
    monkeypatch.setattr(words, "LONGEST", longest)
    same = [named(number) for number in range(3)]
    given(anna(), boris(), *same)
    searches = {
        "same nam": [customer.id for customer in same],
        "ann lin": [ANNA],
        "na lind": [],
        "anna boris": [],
        "lind exam anna@": [ANNA],
        "lind anna@example.org boris@": [],
    }
    assert {q: found(given, q) for q in searches} == searches


def test_words_of_any_length_and_script_fit_into_the_index(given):
    ideographs = random.Random(1).sample(range(0x20000, 0x2A000), 600)
    name, phone, local = ("".join(map(chr, ideographs[n::3])) for n in range(3))
    profile = Profile(name, f"{local}@example.org", phone)
    given(Customer.register(ANNA, profile, NOW), boris())
    assert found(given, f"{name[:50]} {phone} {local}@") == [ANNA]


def test_pages_go_through_all_customers_once(given):
    given(*(named(number) for number in range(5)), boris())
    seen, after = [], None
    while True:
        answer = asked(given, list_customers, q="same", limit=2, after=after)
        seen += [item["id"] for item in answer["items"]]
        after = answer["next"]
        if after is None:
            break
    assert seen == [UUID(int=100 + number) for number in range(5)]


def test_a_cursor_of_something_else_is_refused(given):
    given(anna(), boris())
    with pytest.raises(BadCursor):
        asked(given, list_customers, after="bm9uc2Vuc2U")


def named(number: int) -> Customer:
    return Customer.register(UUID(int=100 + number), Profile("Same Name", ""), NOW)
