"""Texts and counts have bounds, so that every index and column can hold them."""

import pytest

from domain.customer import Customer, Profile
from domain.errors import InvalidCustomer, InvalidEvent, InvalidOrder, InvalidTicketType
from domain.event import Event
from domain.ids import uuid7
from domain.limits import LARGEST_COUNT, LONG, SHORT
from tests.domain.given import NOW, details, placed, terms


@pytest.mark.parametrize("what", ["title", "organizer_name", "category", "venue"])
def test_an_events_texts_are_short(what: str):
    Event.draft(uuid7(), details(**{what: "x" * SHORT}), NOW)
    with pytest.raises(InvalidEvent, match="200 characters"):
        Event.draft(uuid7(), details(**{what: "x" * (SHORT + 1)}), NOW)


def test_an_events_description_is_longer_and_bounded_as_well():
    Event.draft(uuid7(), details(description="x" * LONG), NOW)
    with pytest.raises(InvalidEvent, match="20,000 characters"):
        Event.draft(uuid7(), details(description="x" * (LONG + 1)), NOW)


@pytest.mark.parametrize("capacity", [0, LARGEST_COUNT + 1])
def test_a_capacity_fits_a_column(capacity: int):
    with pytest.raises(InvalidEvent, match="The capacity is from 1 to"):
        Event.draft(uuid7(), details(capacity=capacity), NOW)


@pytest.mark.parametrize("wrong", [{"quantity": -1}, {"quantity": 2**31}, {"name": "x" * 201}])
def test_a_ticket_types_terms_are_bounded(wrong: dict[str, object]):
    event = Event.draft(uuid7(), details(), NOW)
    with pytest.raises(InvalidTicketType):
        event.add_ticket_type(uuid7(), terms(**wrong), NOW)


@pytest.mark.parametrize(
    "profile",
    [
        Profile("", "a@b.c"),
        Profile("x" * 201, ""),
        Profile("Ada", "a" * 255),
        Profile("A", "", "", "x" * 201),
    ],
)
def test_a_profile_is_bounded(profile: Profile):
    with pytest.raises(InvalidCustomer):
        Customer.register(uuid7(), profile, NOW)
    customer = Customer.register(uuid7(), Profile("Ada", "ada@example.org"), NOW)
    with pytest.raises(InvalidCustomer):
        customer.change(profile, NOW)


def test_a_payment_method_is_short():
    with pytest.raises(InvalidOrder, match="payment method"):
        placed().pay("x" * (SHORT + 1), "", None, NOW)
