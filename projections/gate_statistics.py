"""Gate statistics: scans and transfers of an event, in all, by day and by hour (UTC).

A scan counts for the event at whose gate it was made, whichever event the ticket is for.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Connection, Date, Integer, Select, Table, Text, Uuid, select

from application.store.tables import UTCDateTime, text_of
from domain.aggregate import Fact
from domain.event import Event
from domain.gate import Unmatched
from domain.ticket import Scan, Ticket
from projections.catalogue import events_of
from projections.engine.read_model import Handler, ReadModel
from projections.engine.rows import Rows
from projections.engine.tables import metadata

NO_TICKET_TYPE = UUID(int=0)


def _counts() -> list[Column[Any]]:
    return [
        Column("valid_scan_count", Integer, nullable=False, default=0),
        Column("invalid_scan_count", Integer, nullable=False, default=0),
        Column("successful_transfer_count", Integer, nullable=False, default=0),
        Column("failed_transfer_count", Integer, nullable=False, default=0),
        Column("last_updated", UTCDateTime),
    ]


gate_totals = Table("gate_totals", metadata, Column("event_id", Uuid, primary_key=True), *_counts())

gate_days = Table(
    "gate_days",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("stat_date", Date, primary_key=True),
    *_counts(),
)

gate_hours = Table(
    "gate_hours",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("hour", UTCDateTime, primary_key=True),
    Column("ticket_type_id", Uuid, primary_key=True),
    Column("admissions", Integer, nullable=False, default=0),
    Column("exits", Integer, nullable=False, default=0),
    Column("refused", Integer, nullable=False, default=0),
)

gate_ticket_types = Table(
    "gate_ticket_types",
    metadata,
    Column("ticket_type_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, default=""),
)


def drafted(rows: Rows, event: Event.Drafted) -> None:
    rows.add(gate_totals, event_id=event.originator_id)


def ticket_type_named(rows: Rows, event: Event.TicketTypeAdded | Event.TicketTypeChanged) -> None:
    rows.of(gate_ticket_types, ticket_type_id=event.ticket_type_id).name = event.terms.name


def admitted(rows: Rows, event: Ticket.Admitted) -> None:
    for stats in _stats(rows, event.scan.event_id, event.occurred_at):
        stats.valid_scan_count += 1
    _hour(rows, event.scan, event.occurred_at, event.ticket_type_id).admissions += 1


def let_out(rows: Rows, event: Ticket.LetOut) -> None:
    for stats in _stats(rows, event.scan.event_id, event.occurred_at):
        stats.valid_scan_count += 1
    _hour(rows, event.scan, event.occurred_at, event.ticket_type_id).exits += 1


def refused(rows: Rows, event: Ticket.ScanRefused) -> None:
    for stats in _stats(rows, event.scan.event_id, event.occurred_at):
        stats.invalid_scan_count += 1
    _hour(rows, event.scan, event.occurred_at, event.ticket_type_id).refused += 1


def unmatched(rows: Rows, event: Unmatched.Presented | Unmatched.PresentedAgain) -> None:
    for stats in _stats(rows, event.scan.event_id, event.occurred_at):
        stats.invalid_scan_count += 1
    _hour(rows, event.scan, event.occurred_at, NO_TICKET_TYPE).refused += 1


def transferred(rows: Rows, event: Ticket.Transferred) -> None:
    for stats in _stats(rows, event.event_id, event.occurred_at):
        stats.successful_transfer_count += 1


def transfer_refused(rows: Rows, event: Ticket.TransferRefused) -> None:
    for stats in _stats(rows, event.event_id, event.occurred_at):
        stats.failed_transfer_count += 1


def _stats(rows: Rows, event_id: UUID, at: datetime) -> tuple[Any, Any]:
    """The rows of the event and of the day, both told that something happened `at`."""
    total = rows.get(gate_totals, event_id=event_id)
    day = rows.of(gate_days, event_id=event_id, stat_date=at.date())
    for stats in (total, day):
        stats.last_updated = max(stats.last_updated or at, at)
    return total, day


def _hour(rows: Rows, scan: Scan, at: datetime, ticket_type_id: UUID) -> Any:
    hour = at.replace(minute=0, second=0, microsecond=0)
    return rows.of(gate_hours, event_id=scan.event_id, hour=hour, ticket_type_id=ticket_type_id)


HANDLERS: dict[type[Fact], Handler] = {
    Event.Drafted: drafted,
    Event.TicketTypeAdded: ticket_type_named,
    Event.TicketTypeChanged: ticket_type_named,
    Ticket.Admitted: admitted,
    Ticket.LetOut: let_out,
    Ticket.ScanRefused: refused,
    Unmatched.Presented: unmatched,
    Unmatched.PresentedAgain: unmatched,
    Ticket.Transferred: transferred,
    Ticket.TransferRefused: transfer_refused,
}
GATE_STATISTICS = ReadModel(
    "gate_statistics",
    tables=(gate_totals, gate_days, gate_hours, gate_ticket_types),
    handlers=HANDLERS,
)

FIGURES: dict[str, Callable[[Any], Any]] = {
    "scan_count": lambda row: row.valid_scan_count + row.invalid_scan_count,
    "transfer_count": lambda row: row.successful_transfer_count + row.failed_transfer_count,
    "invalid_attempt_count": lambda row: row.invalid_scan_count + row.failed_transfer_count,
    "valid_scan_count": attrgetter("valid_scan_count"),
    "invalid_scan_count": attrgetter("invalid_scan_count"),
    "successful_transfer_count": attrgetter("successful_transfer_count"),
    "failed_transfer_count": attrgetter("failed_transfer_count"),
    "last_updated": attrgetter("last_updated"),
}
"""How each figure is read off a row of an event, or of one of its days."""


def totals(connection: Connection, organizer_id: UUID | None = None) -> dict[str, dict[str, Any]]:
    """The counts of every event, or of an organizer's, by its id."""
    query = _TOTALS
    if organizer_id is not None:
        query = query.where(gate_totals.c.event_id.in_(events_of(organizer_id)))
    return {counts["event_id"]: counts for counts in _read(connection, query)}


def totals_of(connection: Connection, event_id: UUID) -> dict[str, Any] | None:
    """The counts of one event; None for an event that does not exist.

    Exits count as valid scans. `last_updated` is when the latest of what is counted happened;
    null when nothing did.
    """
    query = _TOTALS.where(gate_totals.c.event_id == event_id)
    return next(_read(connection, query), None)


def daily(connection: Connection, event_id: UUID) -> list[dict[str, Any]]:
    """The counts of each day (UTC) on which there was something to count, in order."""
    query = _DAYS.where(gate_days.c.event_id == event_id).order_by(gate_days.c.stat_date)
    return list(_read(connection, query))


def hourly(connection: Connection, event_id: UUID) -> list[dict[str, Any]]:
    """Admissions, exits and refused scans by the hour (UTC) they began in and ticket type.

    The ticket type is null for secrets that belong to no ticket.
    """
    hours, types = gate_hours.c, gate_ticket_types.c
    query = (
        select(hours.hour, hours.ticket_type_id, types.name.label("ticket_type"))
        .add_columns(hours.admissions, hours.exits, hours.refused)
        .outerjoin_from(gate_hours, gate_ticket_types, types.ticket_type_id == hours.ticket_type_id)
        .where(hours.event_id == event_id)
        .order_by(hours.hour, hours.ticket_type_id)
    )
    return [
        {**row._mapping, "ticket_type_id": _known(row.ticket_type_id)}
        for row in connection.execute(query)
    ]


def _known(ticket_type_id: UUID) -> UUID | None:
    return None if ticket_type_id == NO_TICKET_TYPE else ticket_type_id


def _read(connection: Connection, query: Select[Any]) -> Iterator[dict[str, Any]]:
    found = connection.execute(query)
    names = tuple(found.keys())
    return (dict(zip(names, row, strict=True)) for row in found.all())


def _figures(table: Table) -> Select[Any]:
    """The database reads them off its rows, in a small part of the time that it would take here."""
    figures = (figure(table.c).label(name) for name, figure in FIGURES.items())
    return select(text_of(table.c.event_id).label("event_id"), *figures)


_TOTALS = _figures(gate_totals)
_DAYS = _figures(gate_days).add_columns(gate_days.c.stat_date)
