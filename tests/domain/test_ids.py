"""Identifiers and secrets."""

import multiprocessing
import re
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import derived_id, new_secret, ticket_id_in, uuid7
from tests.domain.given import FIRST


def test_an_id_is_a_uuid_of_version_7_made_now():
    before = time.time_ns() // 1_000_000
    made = uuid7()
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000


def test_ids_sort_by_time(monkeypatch: pytest.MonkeyPatch):
    made = []
    for milliseconds in range(1_700_000_000_000, 1_700_000_000_020):
        monkeypatch.setattr(time, "time_ns", lambda now=milliseconds: now * 1_000_000)
        made.append(uuid7())
    assert made == sorted(made)


def test_no_two_ids_are_the_same():
    assert len({uuid7() for _ in range(10_000)}) == 10_000


def made_here(number: int) -> set[int]:
    """What is random in so many new ids."""
    return {uuid7().int & (1 << 62) - 1 for _ in range(number)}


def test_a_forked_process_makes_ids_of_its_own():
    """Random bytes are drawn ahead; a process that inherited them would make the parent's ids."""
    made_here(1)
    with multiprocessing.get_context("fork").Pool(1) as child:
        there = child.apply(made_here, (600,))
    assert there.isdisjoint(made_here(600))


def test_threads_make_ids_of_their_own():
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(made_here, [2_000] * 8))
    assert len(set.union(*made)) == 16_000


def test_a_derived_id_always_belongs_to_its_parts():
    assert derived_id("emf", "order", "7") == derived_id("emf", "order", "7")
    assert derived_id("emf", "order", "7") != derived_id("emf", "order7")
    assert derived_id("a", "b") == UUID("9aa2a5a9-2784-5e1a-8f2f-6dacce88ebab"), (
        "ids in the log rely on it"
    )


def test_a_secret_is_url_safe_and_new_each_time():
    made = {new_secret(FIRST) for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", secret) for secret in made)


@given(st.uuids())
def test_a_secret_names_its_ticket(ticket_id: UUID):
    assert ticket_id_in(new_secret(ticket_id)) == ticket_id


@pytest.mark.parametrize(
    "shown", ["", "A", "A" * 42, "A" * 44, "A" * 42 + "!", "A" * 42 + " ", "A" * 42 + "é", "\ud800"]
)
def test_what_has_not_our_form_names_no_ticket(shown: str):
    assert ticket_id_in(shown) is None


@given(st.text())
def test_any_text_may_be_read_as_a_secret(shown: str):
    assert ticket_id_in(shown) is None or len(shown) >= 43
