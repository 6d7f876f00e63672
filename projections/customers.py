"""Customers: who they are, and a search by the words of name, e-mail address and phone number."""

from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Column, Connection, Index, Table, Text, Uuid, select

from application.store.tables import UTCDateTime
from domain.aggregate import Fact
from domain.customer import ERASED, Customer, Profile
from projections.engine.read_model import Handler, ReadModel
from projections.engine.rows import Rows
from projections.engine.tables import metadata
from projections.paging import page
from projections.words import found_by, replace_words, word_table

customers = Table(
    "customers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, default=""),
    Column("email", Text, nullable=False, default=""),
    Column("phone", Text, nullable=False, default=""),
    Column("country", Text, nullable=False, default=""),
    Column("role", Text, nullable=False, default=""),
    Column("erased", Boolean, nullable=False, default=False),
    Column("registered_at", UTCDateTime, nullable=False),
    Index("ix_customers_name", "erased", "name", "id"),
    Index("ix_customers_country", "erased", "country", "name", "id"),
)

customer_words = word_table("customer_words")


def registered(rows: Rows, event: Customer.Registered) -> None:
    row = rows.add(
        customers, id=event.originator_id, role=event.role, registered_at=event.occurred_at
    )
    _describe(rows, row, event.profile)


def changed(rows: Rows, event: Customer.Changed) -> None:
    _describe(rows, rows.get(customers, id=event.originator_id), event.profile)


def erased(rows: Rows, event: Customer.Erased) -> None:
    row = rows.get(customers, id=event.originator_id)
    replace_words(rows, customer_words, row.id, _texts(row), ())
    _copy(ERASED, row)
    row.erased = True


def _describe(rows: Rows, row: Any, profile: Profile) -> None:
    replace_words(rows, customer_words, row.id, _texts(row), _texts(profile))
    _copy(profile, row)


def _copy(profile: Profile, row: Any) -> None:
    row.name, row.email = profile.name, profile.email
    row.phone, row.country = profile.phone, profile.country


def _texts(described: Any) -> tuple[str, str, str]:
    return described.name, described.email, described.phone


HANDLERS: dict[type[Fact], Handler] = {
    Customer.Registered: registered,
    Customer.Changed: changed,
    Customer.Erased: erased,
}
CUSTOMERS = ReadModel("customers", tables=(customers, customer_words), handlers=HANDLERS)


def customer(connection: Connection, customer_id: UUID) -> dict[str, Any] | None:
    """One customer's profile; None for an unknown one. No name remains of an erased one."""
    row = connection.execute(select(customers).where(customers.c.id == customer_id)).one_or_none()
    return None if row is None else dict(row._mapping)


def list_customers(
    connection: Connection,
    *,
    q: str | None = None,
    country: str | None = None,
    limit: int = 20,
    after: str | None = None,
) -> dict[str, Any]:
    """A page of customers by name, without those who were erased.

    `q` finds customers by the beginnings of words in their name, e-mail address and phone number;
    an empty `country` finds those whose country is not known.
    """
    query = select(customers).where(customers.c.erased.is_(False))
    if country is not None:
        query = query.where(customers.c.country == country)
    if q:
        query = query.where(found_by(connection, customers.c.id, customer_words, q))
    order = (customers.c.name, customers.c.id)
    return page(connection, query, order=order, limit=limit, after=after)
