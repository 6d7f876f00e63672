"""A read model's own copies of names, each beside its id: of customers, events, ticket types."""

from typing import Any

from sqlalchemy import Column, Table, Text, Uuid

from domain.aggregate import Fact
from domain.customer import ERASED, Customer, Profile
from domain.event import Event
from projections.engine.read_model import Handler
from projections.engine.rows import Rows
from projections.engine.tables import metadata
from projections.words import replace_words, word_table


class CopiedNames:
    """The tables, under the names that the read model gives them, and what keeps them current."""

    def __init__(self, *, customers: str, words: str, events: str, ticket_types: str) -> None:
        self.customers = Table(
            customers,
            metadata,
            Column("customer_id", Uuid, primary_key=True),
            Column("name", Text, nullable=False, default=""),
            Column("email", Text, nullable=False, default=""),
        )
        self.words = word_table(words)
        self.events = Table(
            events,
            metadata,
            Column("event_id", Uuid, primary_key=True),
            Column("title", Text, nullable=False, default=""),
        )
        self.ticket_types = Table(
            ticket_types,
            metadata,
            Column("ticket_type_id", Uuid, primary_key=True),
            Column("name", Text, nullable=False, default=""),
        )
        self.tables = (self.customers, self.words, self.events, self.ticket_types)
        self.handlers: dict[type[Fact], Handler] = {
            Event.Drafted: self._event_named,
            Event.Changed: self._event_named,
            Event.TicketTypeAdded: self._ticket_type_named,
            Event.TicketTypeChanged: self._ticket_type_named,
            Customer.Registered: self._customer_registered,
            Customer.Changed: self._customer_changed,
            Customer.Erased: self._customer_erased,
        }

    def _event_named(self, rows: Rows, event: Event.Drafted | Event.Changed) -> None:
        rows.of(self.events, event_id=event.originator_id).title = event.details.title

    def _ticket_type_named(
        self, rows: Rows, event: Event.TicketTypeAdded | Event.TicketTypeChanged
    ) -> None:
        row = rows.of(self.ticket_types, ticket_type_id=event.ticket_type_id)
        row.name = event.terms.name

    def _customer_registered(self, rows: Rows, event: Customer.Registered) -> None:
        self._name(rows, rows.add(self.customers, customer_id=event.originator_id), event.profile)

    def _customer_changed(self, rows: Rows, event: Customer.Changed) -> None:
        self._name(rows, rows.get(self.customers, customer_id=event.originator_id), event.profile)

    def _customer_erased(self, rows: Rows, event: Customer.Erased) -> None:
        row = rows.get(self.customers, customer_id=event.originator_id)
        replace_words(rows, self.words, row.customer_id, (row.name, row.email), ())
        row.name, row.email = ERASED.name, ERASED.email

    def _name(self, rows: Rows, row: Any, profile: Profile) -> None:
        known, new = (row.name, row.email), (profile.name, profile.email)
        replace_words(rows, self.words, row.customer_id, known, new)
        row.name, row.email = new
