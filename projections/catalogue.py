"""The catalogue: every event as its organizer describes it, and what of it can be bought."""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Select,
    Table,
    Text,
    Uuid,
    false,
    select,
)

from application.store.tables import UTCDateTime
from domain.aggregate import Fact
from domain.event import Details, Event, Terms
from domain.money import to_decimal
from projections.engine.read_model import Handler, ReadModel
from projections.engine.rows import Rows
from projections.engine.tables import metadata
from projections.paging import Item, page
from projections.words import plain

catalogue = Table(
    "catalogue",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("organizer_id", Uuid, nullable=False),
    Column("organizer_name", Text, nullable=False),
    Column("venue", Text, nullable=False),
    Column("online", Boolean, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("starts_at", UTCDateTime, nullable=False),
    Column("ends_at", UTCDateTime, nullable=False),
    Column("doors_open_at", UTCDateTime),
    Column("registration_deadline", UTCDateTime),
    Column("currency", Text, nullable=False),
    Column("capacity", Integer),
    Column("status", Text, nullable=False, default="draft"),
    Column("version", Integer, nullable=False),
    Column("committed", Integer, nullable=False, default=0),
    Column("sort_title", Text, nullable=False),
    Column("search_text", Text, nullable=False),
    Column("published", Boolean, nullable=False, default=False, server_default=false()),
    Index("ix_catalogue_starts_at", "starts_at", "event_id"),
    Index("ix_catalogue_sort_title", "sort_title", "event_id"),
    Index("ix_catalogue_status", "status", "starts_at", "event_id"),
    Index("ix_catalogue_category", "category", "starts_at", "event_id"),
    Index("ix_catalogue_organizer_id", "organizer_id", "starts_at", "event_id"),
)

ticket_types = Table(
    "catalogue_ticket_types",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("ticket_type_id", Uuid, primary_key=True),
    Column("ordinal", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("quantity", Integer),
    Column("sale_starts_at", UTCDateTime),
    Column("sale_ends_at", UTCDateTime),
    Column("min_per_order", Integer, nullable=False),
    Column("max_per_order", Integer),
    Column("reentry", Boolean, nullable=False),
    Column("committed", Integer, nullable=False, default=0),
)

STATUSES = {
    Event.Published: "published",
    Event.Started: "ongoing",
    Event.Completed: "completed",
    Event.Cancelled: "cancelled",
}


def drafted(rows: Rows, event: Event.Drafted) -> None:
    rows.add(catalogue, event_id=event.originator_id)
    described(rows, event)


def described(rows: Rows, event: Event.Drafted | Event.Changed) -> None:
    row = _event(rows, event)
    _copy(event.details, row)
    row.sort_title = row.title.casefold()
    row.search_text = plain("\n".join((row.title, row.organizer_name, row.venue, row.category)))


def ticket_type_added(rows: Rows, event: Event.TicketTypeAdded) -> None:
    key = {"event_id": event.originator_id, "ticket_type_id": event.ticket_type_id}
    _copy(event.terms, rows.add(ticket_types, **key, ordinal=event.originator_version))
    _event(rows, event)


def ticket_type_changed(rows: Rows, event: Event.TicketTypeChanged) -> None:
    key = {"event_id": event.originator_id, "ticket_type_id": event.ticket_type_id}
    _copy(event.terms, rows.get(ticket_types, **key))
    _event(rows, event)


def moved_on(
    rows: Rows, event: Event.Published | Event.Started | Event.Completed | Event.Cancelled
) -> None:
    row = _event(rows, event)
    row.status = STATUSES[type(event)]
    # A draft that is called off was never shown to anybody, and is not now.
    row.published = row.published or isinstance(event, Event.Published)


def committed(rows: Rows, event: Event.TicketsHeld) -> None:
    _commit(rows, event, +1)


def sold(rows: Rows, event: Event.TicketsSold) -> None:
    """What is sold was held before: there are no fewer to buy."""
    _event(rows, event)


def put_back(rows: Rows, event: Event.HoldReleased | Event.TicketsReturned) -> None:
    _commit(rows, event, -1)


def _event(rows: Rows, event: Fact) -> Any:
    row = rows.get(catalogue, event_id=event.originator_id)
    row.version = event.originator_version
    return row


def _commit(
    rows: Rows, event: Event.TicketsHeld | Event.HoldReleased | Event.TicketsReturned, sign: int
) -> None:
    _event(rows, event).committed += sign * sum(event.quantities.values())
    for ticket_type_id, quantity in event.quantities.items():
        key = {"event_id": event.originator_id, "ticket_type_id": ticket_type_id}
        rows.get(ticket_types, **key).committed += sign * quantity


def _copy(source: Details | Terms, row: Any) -> None:
    for name, value in vars(source).items():
        setattr(row, name, value)


HANDLERS: dict[type[Fact], Handler] = {
    Event.Drafted: drafted,
    Event.Changed: described,
    Event.TicketTypeAdded: ticket_type_added,
    Event.TicketTypeChanged: ticket_type_changed,
    Event.Published: moved_on,
    Event.Started: moved_on,
    Event.Completed: moved_on,
    Event.Cancelled: moved_on,
    Event.TicketsHeld: committed,
    Event.HoldReleased: put_back,
    Event.TicketsSold: sold,
    Event.TicketsReturned: put_back,
}
CATALOGUE = ReadModel("catalogue", tables=(catalogue, ticket_types), handlers=HANDLERS)

ORDERS = ("starts_at", "-starts_at", "title")
_UNLISTED = ("draft", "cancelled")
_SHOWN = [
    catalogue.c.event_id.label("id"),
    *(
        column
        for column in catalogue.c
        if column.name not in ("event_id", "committed", "sort_title", "search_text", "published")
    ),
]


def list_events(
    connection: Connection,
    *,
    limit: int = 20,
    after: str | None = None,
    q: str | None = None,
    category: str | None = None,
    status: str | None = None,
    organizer_id: UUID | None = None,
    order: str = "starts_at",
    unpublished: bool = False,
) -> Item:
    """A page of events without their ticket types; drafts and cancelled ones only by `status`,
    and those that never were published only if `unpublished`.

    Each word of `q` is looked for in title, organizer, venue and category. `order` is one of
    `ORDERS`.
    """
    c = catalogue.c
    query = select(*_SHOWN).where(c.status == status if status else c.status.not_in(_UNLISTED))
    if not unpublished:
        query = query.where(c.published)
    if category is not None:
        query = query.where(c.category == category)
    if organizer_id is not None:
        query = query.where(c.organizer_id == organizer_id)
    for word in plain(q or "").split():
        query = query.where(c.search_text.contains(word, autoescape=True))
    by = c.sort_title if order == "title" else c.starts_at
    return page(
        connection,
        query,
        order=(by, c.event_id),
        limit=limit,
        after=after,
        descending=order.startswith("-"),
    )


def event(connection: Connection, event_id: UUID) -> Item | None:
    """All about one event, also whether it ever was `published`; a ticket type's `available` is
    null when nothing limits it."""
    query = select(*_SHOWN, catalogue.c.published, catalogue.c.committed).where(
        catalogue.c.event_id == event_id
    )
    found = connection.execute(query).mappings().one_or_none()
    if found is None:
        return None
    shown = dict(found)
    left = _left(shown["capacity"], shown.pop("committed"))
    of_event = select(ticket_types).where(ticket_types.c.event_id == event_id)
    rows = connection.execute(of_event.order_by(ticket_types.c.ordinal)).mappings()
    shown["ticket_types"] = [_ticket_type(dict(row), shown["currency"], left) for row in rows]
    return shown


def exists(connection: Connection, event_id: UUID) -> bool:
    """Whether there is such an event, be it a draft."""
    query = select(catalogue.c.event_id).where(catalogue.c.event_id == event_id)
    return connection.execute(query).first() is not None


def organizer_of(connection: Connection, event_id: UUID) -> UUID | None:
    """The organizer of an event; None for one that is not known here."""
    query = select(catalogue.c.organizer_id).where(catalogue.c.event_id == event_id)
    return connection.execute(query).scalar_one_or_none()


def events_of(organizer_id: UUID) -> Select[tuple[UUID]]:
    """The ids of an organizer's events, for lists that are narrowed down to them."""
    return select(catalogue.c.event_id).where(catalogue.c.organizer_id == organizer_id)


def _ticket_type(row: Item, currency: str, places_left: int | None) -> Item:
    limits = [places_left, _left(row["quantity"], row["committed"])]
    return {
        "id": row["ticket_type_id"],
        "name": row["name"],
        "price": to_decimal(row["price"], currency),
        "quantity": row["quantity"],
        "available": min((limit for limit in limits if limit is not None), default=None),
        "sale_starts_at": row["sale_starts_at"],
        "sale_ends_at": row["sale_ends_at"],
        "min_per_order": row["min_per_order"],
        "max_per_order": row["max_per_order"],
        "reentry": row["reentry"],
    }


def _left(limit: int | None, committed: int) -> int | None:
    return None if limit is None else max(0, limit - committed)
