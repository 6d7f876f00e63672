"""The plainest of read models: which versions of each customer it took, in the order it did."""

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Column, MetaData, Table, Text, Uuid, select

from application.composition import Turnstile
from application.customers import change_customer, register_customer
from application.presenting import show
from application.store.database import writing
from application.store.work import Command, Context
from domain.aggregate import Fact
from domain.customer import Customer, Profile
from domain.ids import uuid7
from projections.engine.read_model import ReadModel
from projections.engine.rows import Rows

Taken = dict[UUID, list[int]]
Check = Callable[[Fact], Any]
"""What a handler adds to the row for that fact."""

CONTEXT = Context(actor="test")


def nothing_wrong(fact: Fact) -> str:
    return f" {fact.originator_version}"


def raises(fact: Fact) -> str:
    raise RuntimeError("This handler has a bug.")


class Nothing:
    """Makes NULL of the text that it is added to, which only the database refuses."""

    def __radd__(self, other: str) -> None:
        return None


def writes_null(fact: Fact) -> Nothing:
    return Nothing()


class Slowly:
    """Takes its time for each fact, so that others want to write meanwhile, until it is told to
    `hurry`; `begun` is set when it has the first."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self._seconds = 0.15

    def __call__(self, fact: Fact) -> str:
        self.begun.set()
        time.sleep(self._seconds)
        return nothing_wrong(fact)

    def hurry(self) -> None:
        self._seconds = 0.0


class Tally:
    """A read model of that name on tables of its own, whose handler may be told to fail."""

    def __init__(self, turnstile: Turnstile, name: str, check: Check = nothing_wrong) -> None:
        self._turnstile = turnstile
        self.check = check
        self.table = Table(
            name,
            MetaData(),
            Column("customer_id", Uuid, primary_key=True),
            Column("versions", Text, nullable=False, default=""),
        )
        self.model = ReadModel(
            name, (self.table,), {Customer.Registered: self._note, Customer.Changed: self._note}
        )
        self.create()

    def create(self) -> None:
        with writing(self._turnstile.engine) as connection:
            self.table.create(connection)

    def drop(self) -> None:
        with writing(self._turnstile.engine) as connection:
            self.table.drop(connection)

    def taken(self) -> Taken:
        """The versions taken of each customer, in order."""
        with self._turnstile.engine.connect() as connection:
            return {
                row.customer_id: [int(version) for version in row.versions.split()]
                for row in connection.execute(select(self.table))
            }

    def _note(self, rows: Rows, event: Fact) -> None:
        row = rows.of(self.table, customer_id=event.originator_id)
        row.versions += self.check(event)


def register(turnstile: Turnstile, customers: int = 1, changes: int = 0) -> list[UUID]:
    """Register so many customers and change each so many times, in turns; their ids."""
    ids = [uuid7() for _ in range(customers)]
    commands = [
        Command(
            register_customer,
            {"customer_id": customer_id, "profile": Profile("Anna", "anna@example.org")},
            CONTEXT,
            show,
        )
        for customer_id in ids
    ]
    commands += [_change(customer_id) for _ in range(changes) for customer_id in ids]
    for outcome in turnstile.executor.execute_all(commands):
        assert not isinstance(outcome, Exception), outcome
    return ids


def change(turnstile: Turnstile, customer_id: UUID) -> int:
    """Change that customer once more; the position."""
    return turnstile.executor.execute(_change(customer_id)).position


def _change(customer_id: UUID) -> Command:
    arguments = {"customer_id": customer_id, "changes": {"phone": str(uuid7())}}
    return Command(change_customer, arguments, CONTEXT, show)
