"""Use cases of customers: register, change, erase, on request or after inactivity."""

from dataclasses import replace
from uuid import UUID

from application.store.log import Entry, NewEntry
from application.store.work import Work
from domain.customer import Customer, Profile
from domain.errors import AlreadyExists, Conflict
from domain.event import Event

MOST_LOOKED_THROUGH = 2_000
"""Entries, while nobody else can record any."""


class NoLongerIdle(Conflict):
    title = "Something has happened that may concern the customer"


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


def erase_idle_customer(work: Work, customer_id: UUID, seen: int) -> Customer:
    """Erase a customer who was idle as of the position `seen` and has been so since.

    Raises `NoLongerIdle`; also when an event was changed, which may end later now while they hold
    a ticket for it, and when looking through what was recorded since would keep others waiting.
    """
    recorded = work.since(seen, MOST_LOOKED_THROUGH)
    if len(recorded) >= MOST_LOOKED_THROUGH:
        raise NoLongerIdle
    if any(_may_concern(customer_id, entry) for entry in recorded):
        raise NoLongerIdle
    return erase_customer(work, customer_id)


def _may_concern(customer_id: UUID, entry: Entry | NewEntry) -> bool:
    is_named = entry.stream_id == customer_id or str(customer_id) in entry.payload
    return is_named or entry.topic == Event.Changed.TOPIC
