"""The rules of a customer: registered, changed, erased."""

from dataclasses import replace

import pytest

from domain.customer import Customer
from domain.errors import CustomerErased
from tests.domain.given import ANNA, NOW, last, registered


def test_a_customer_is_an_attendee_unless_told_otherwise():
    customer = registered()
    assert (customer.id, customer.role, customer.erased) == (ANNA, "attendee", False)
    boss = Customer.register(ANNA, customer.profile, NOW, role="organizer")
    assert boss.role == "organizer"


def test_a_change_replaces_the_profile():
    customer = registered()
    moved = replace(customer.profile, country="FR")
    customer.change(moved, NOW)
    assert customer.profile == moved


def test_a_change_to_the_same_is_no_event():
    customer = registered()
    customer.change(replace(customer.profile), NOW)
    assert customer.version == 1


def test_an_erased_customer_has_no_name_and_no_address():
    customer = registered()
    customer.erase(NOW)
    assert customer.erased
    assert vars(customer.profile) == {"name": "erased", "email": "", "phone": "", "country": ""}
    assert isinstance(last(customer), Customer.Erased)


def test_an_erased_customer_neither_changes_nor_buys():
    customer = registered()
    profile = customer.profile
    customer.require_not_erased()
    customer.erase(NOW)
    with pytest.raises(CustomerErased):
        customer.change(profile, NOW)
    with pytest.raises(CustomerErased):
        customer.require_not_erased()


def test_erasing_again_is_no_event():
    customer = registered()
    customer.erase(NOW)
    customer.erase(NOW)
    assert customer.version == 2
