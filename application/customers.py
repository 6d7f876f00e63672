"""Use cases of customers: register, change, erase."""

from dataclasses import replace
from uuid import UUID

from application.store.work import Work
from domain.customer import Customer, Profile
from domain.errors import AlreadyExists


def register_customer(work: Work, customer_id: UUID, profile: Profile) -> Customer:
    if work.find(Customer, customer_id) is not None:
        raise AlreadyExists(f"There is a customer {customer_id} already.")
    customer = Customer.register(customer_id, profile, work.now)
    work.save(customer)
    return customer


def change_customer(work: Work, customer_id: UUID, changes: dict[str, str]) -> Customer:
    customer = work.load(Customer, customer_id)
    customer.change(replace(customer.profile, **changes), work.now)
    work.save(customer)
    return customer


def erase_customer(work: Work, customer_id: UUID) -> Customer:
    """Forget who they are, for ever; their orders and tickets stay as they are."""
    customer = work.load(Customer, customer_id)
    customer.erase(work.now)
    work.save(customer)
    return customer
