"""Everything that is held about one customer, for them to have; and who has long been gone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Select, and_, exists, func, select

from application.access import accounts
from application.access.identity import ATTENDEE
from application.history import recorded
from application.store import log
from application.store.log import Entry
from application.store.mapper import to_fact
from application.store.tables import events
from domain.ticket import Ticket
from projections.catalogue import CATALOGUE, catalogue
from projections.customer_statistics import CUSTOMER_STATISTICS, statistics
from projections.customers import CUSTOMERS, customer, customers
from projections.engine.tables import parked
from projections.gate_lists import GATE_LISTS, gate_transfers
from projections.orders import ORDERS, order, order_refunds, order_tickets, orders
from projections.tickets import TICKETS, ticket, tickets

MODELS = (CUSTOMERS, CUSTOMER_STATISTICS, ORDERS, TICKETS, GATE_LISTS)
RETENTION_MODELS = (CUSTOMERS, ORDERS, TICKETS, GATE_LISTS, CATALOGUE)
SLICE = 100
"""Orders, tickets or recorded events that are in memory at a time."""

Item = dict[str, Any]


def held_about(connection: Connection, customer_id: UUID) -> Item | None:
    """The customer's profile, accounts, statistics, orders, tickets and recorded history.

    None for an unknown one. Orders, tickets and history, of which there may be very many, are
    iterators, each with a connection of its own while it reads the next few. The tickets are all
    that they hold or held, without secrets, each with what was recorded of it while it was theirs:
    transfers, scans. Amounts are decimal strings, but minor units in what was recorded.
    """
    profile = customer(connection, customer_id)
    if profile is None:
        return None
    order_ids = connection.execute(_order_ids(customer_id)).scalars().all()
    ticket_ids = connection.execute(_ticket_ids(customer_id)).scalars().all()
    return {
        "customer": profile,
        "accounts": accounts.of_subject(connection, customer_id),
        "statistics": statistics(connection, customer_id),
        "orders": _some_at_a_time(connection.engine, order_ids, _orders),
        "tickets": _some_at_a_time(connection.engine, ticket_ids, partial(_tickets, customer_id)),
        "history": _history(connection.engine, customer_id),
    }


def idle_customers(connection: Connection, since: datetime, limit: int) -> list[UUID]:
    """Customers who registered before `since`, did nothing from then on (no change, no order, no
    transfer), got nothing back, and neither hold a ticket nor have paid for an order of an event
    that ends later than that: they may have to be reached, or given their money back. Not the
    erased.

    Nobody while events wait that one of `RETENTION_MODELS` could not take: it may show too little.
    """
    return list(connection.execute(_idle(since).limit(limit)).scalars())


def count_idle_customers(connection: Connection, since: datetime) -> int:
    """How many they are."""
    query = select(func.count()).select_from(_idle(since).subquery())
    return connection.execute(query).scalar_one()


def _some_at_a_time(
    engine: Engine,
    ids: Sequence[UUID],
    read: Callable[[Connection, Sequence[UUID]], Iterator[Item]],
) -> Iterator[Item]:
    """In slices, so that a reader who takes them slowly holds no connection meanwhile."""
    for start in range(0, len(ids), SLICE):
        with engine.connect() as connection:
            items = list(read(connection, ids[start : start + SLICE]))
        yield from items


def _history(engine: Engine, customer_id: UUID) -> Iterator[Item]:
    reached: int | None = 0
    while reached is not None:
        with engine.connect() as connection:
            entries = log.read_stream(connection, customer_id, after=reached, limit=SLICE)
        yield from map(_told, entries)
        reached = entries[-1].version if entries else None


def _orders(connection: Connection, order_ids: Sequence[UUID]) -> Iterator[Item]:
    recorded_of = _streams(connection, order_ids)
    for order_id in order_ids:
        shown = order(connection, order_id)
        if shown is not None:
            yield {**shown, "history": [_told(entry) for entry in recorded_of[order_id]]}


def _tickets(
    customer_id: UUID, connection: Connection, ticket_ids: Sequence[UUID]
) -> Iterator[Item]:
    recorded_of = _streams(connection, ticket_ids)
    for ticket_id in ticket_ids:
        shown = ticket(connection, ticket_id)
        if shown is not None:
            yield _as_of_holder(shown, customer_id, recorded_of[ticket_id])


def _streams(connection: Connection, stream_ids: Sequence[UUID]) -> dict[UUID, list[Entry]]:
    streams: dict[UUID, list[Entry]] = {stream_id: [] for stream_id in stream_ids}
    for entry in log.read_streams(connection, stream_ids):
        streams[entry.stream_id].append(entry)
    return streams


def _order_ids(customer_id: UUID) -> Select[Any]:
    query = select(orders.c.id).where(orders.c.customer_id == customer_id)
    return query.order_by(orders.c.placed_at, orders.c.id)


def _ticket_ids(customer_id: UUID) -> Any:
    """Of the customer's own orders, and of whatever was transferred to them."""
    ordered = (
        select(order_tickets.c.ticket_id)
        .join_from(orders, order_tickets, order_tickets.c.order_id == orders.c.id)
        .where(orders.c.customer_id == customer_id)
    )
    given = select(gate_transfers.c.ticket_id).where(
        gate_transfers.c.to_user_id == customer_id, gate_transfers.c.is_successful
    )
    return ordered.union(given)


def _told(entry: Entry, was_theirs: bool = True) -> Item:
    """The recorded event; if somebody else caused it, only their role, without metadata.

    An attendee may act only on what is theirs, so it is the customer who did it, with an account
    that may be gone.
    """
    told = recorded(entry)
    role = str(told["who"]).partition(":")[0]
    return told if was_theirs and role == ATTENDEE else {**told, "who": role, "metadata": {}}


def _as_of_holder(shown: Item, customer_id: UUID, entries: Iterable[Entry]) -> Item:
    """The ticket with what happened to it while it was theirs; nothing of who has it now."""
    about = {name: shown[name] for name in _OF_TICKET}
    own = list(_while_held(customer_id, entries))
    return {**about, "is_holder": shown["holder_id"] == customer_id, "history": own}


def _while_held(customer_id: UUID, entries: Iterable[Entry]) -> Iterator[Item]:
    """What came to pass while the ticket was theirs, and how it came to them and left them."""
    is_theirs = False
    for entry in entries:
        fact, was_theirs = to_fact(entry), is_theirs
        if isinstance(fact, Ticket.Issued):
            # Of an order of their own, which they themselves may have placed.
            was_theirs = is_theirs = fact.holder_id == customer_id
        elif isinstance(fact, Ticket.Transferred):
            is_theirs = fact.to_customer_id == customer_id
        if was_theirs or is_theirs:
            yield _told(entry, was_theirs)


def _idle(since: datetime) -> Select[Any]:
    c = customers.c
    refunded = and_(orders.c.customer_id == c.id, order_refunds.c.order_id == orders.c.id)
    return (
        select(c.id)
        .where(c.erased.is_(False), c.registered_at < since)
        .where(~exists().where(orders.c.customer_id == c.id, orders.c.placed_at >= since))
        .where(~exists().where(events.c.stream_id == c.id, events.c.occurred_at >= since))
        .where(~exists().where(refunded, order_refunds.c.at >= since))
        .where(c.id.not_in(_transferring(since)), c.id.not_in(_involved(since)))
        .where(~exists().where(parked.c.read_model.in_([model.name for model in RETENTION_MODELS])))
        .order_by(c.registered_at, c.id)
    )


def _transferring(since: datetime) -> Any:
    recent = gate_transfers.c.transfer_timestamp >= since
    return (
        select(gate_transfers.c.from_user_id)
        .where(recent)
        .union(select(gate_transfers.c.to_user_id).where(recent))
    )


def _involved(since: datetime) -> Any:
    """Who comes or came to an event that ends after that, called off or not, or has paid for it."""
    of_late = select(catalogue.c.event_id).where(catalogue.c.ends_at >= since)
    holding = select(tickets.c.holder_id).where(
        tickets.c.status == "issued", tickets.c.event_id.in_(of_late)
    )
    having_paid = select(orders.c.customer_id).where(
        orders.c.paid > orders.c.refunded, orders.c.event_id.in_(of_late)
    )
    return holding.union(having_paid)


_OF_TICKET = (
    "id",
    "event_id",
    "event_name",
    "ticket_type_id",
    "ticket_type",
    "order_id",
    "status",
    "issued_at",
)
