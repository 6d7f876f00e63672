"""Gate lists: the latest scans, transfers and invalid attempts of an event, one by one.

The id of each is the position in the log where it stands.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    CompoundSelect,
    Connection,
    Index,
    Table,
    Text,
    Uuid,
    select,
    union_all,
)

from application.store.tables import UTCDateTime
from domain.aggregate import Fact
from domain.gate import Unmatched
from domain.ticket import Ticket
from projections.engine.read_model import Handler, ReadModel
from projections.engine.rows import Rows
from projections.engine.tables import metadata

gate_scans = Table(
    "gate_scans",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Uuid, nullable=False),
    Column("ticket_id", Uuid),
    Column("scanner_id", Text, nullable=False),
    Column("scan_timestamp", UTCDateTime, nullable=False),
    Column("is_valid", Boolean, nullable=False),
    Column("location", Text, nullable=False),
    Index("ix_gate_scans_event_id", "event_id", "scan_timestamp", "id"),
)

gate_transfers = Table(
    "gate_transfers",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Uuid, nullable=False),
    Column("ticket_id", Uuid, nullable=False),
    Column("from_user_id", Uuid, nullable=False),
    Column("to_user_id", Uuid, nullable=False),
    Column("transfer_timestamp", UTCDateTime, nullable=False),
    Column("is_successful", Boolean, nullable=False),
    Column("transfer_reason", Text, nullable=False),
    Index("ix_gate_transfers_event_id", "event_id", "transfer_timestamp", "id"),
    Index("ix_gate_transfers_to_user_id", "to_user_id"),
)

gate_invalid_attempts = Table(
    "gate_invalid_attempts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Uuid, nullable=False),
    Column("attempt_type", Text, nullable=False),
    Column("ticket_id", Uuid),
    Column("attempt_timestamp", UTCDateTime, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ip_address", Text),
    Index("ix_gate_invalid_attempts_event_id", "event_id", "attempt_timestamp", "id"),
)

UnmatchedScan = Unmatched.Presented | Unmatched.PresentedAgain
Pass = Ticket.Admitted | Ticket.LetOut
Transfer = Ticket.Transferred | Ticket.TransferRefused


def passed(rows: Rows, event: Pass) -> None:
    _add_scan(rows, event, event.originator_id, is_valid=True)


def refused(rows: Rows, event: Ticket.ScanRefused) -> None:
    _add_scan(rows, event, event.originator_id, is_valid=False)
    _add_refused_scan(rows, event, event.originator_id)


def unmatched(rows: Rows, event: UnmatchedScan) -> None:
    _add_scan(rows, event, event.ticket_id, is_valid=False)
    _add_refused_scan(rows, event, event.ticket_id)


def transferred(rows: Rows, event: Ticket.Transferred) -> None:
    _add_transfer(rows, event, is_successful=True)


def transfer_refused(rows: Rows, event: Ticket.TransferRefused) -> None:
    _add_transfer(rows, event, is_successful=False)
    rows.add(
        gate_invalid_attempts,
        id=event.position,
        event_id=event.event_id,
        attempt_type="transfer",
        ticket_id=event.originator_id,
        attempt_timestamp=event.occurred_at,
        reason=event.refusal,
        ip_address=event.about.get("ip"),
    )


def _add_scan(
    rows: Rows,
    event: Pass | Ticket.ScanRefused | UnmatchedScan,
    ticket_id: UUID | None,
    is_valid: bool,
) -> None:
    rows.add(
        gate_scans,
        id=event.position,
        event_id=event.scan.event_id,
        ticket_id=ticket_id,
        scanner_id=event.scan.scanner_id,
        scan_timestamp=event.occurred_at,
        is_valid=is_valid,
        location=event.scan.location,
    )


def _add_transfer(rows: Rows, event: Transfer, is_successful: bool) -> None:
    rows.add(
        gate_transfers,
        id=event.position,
        event_id=event.event_id,
        ticket_id=event.originator_id,
        from_user_id=event.from_customer_id,
        to_user_id=event.to_customer_id,
        transfer_timestamp=event.occurred_at,
        is_successful=is_successful,
        transfer_reason=event.reason,
    )


def _add_refused_scan(
    rows: Rows, event: Ticket.ScanRefused | UnmatchedScan, ticket_id: UUID | None
) -> None:
    rows.add(
        gate_invalid_attempts,
        id=event.position,
        event_id=event.scan.event_id,
        attempt_type="scan",
        ticket_id=ticket_id,
        attempt_timestamp=event.occurred_at,
        reason=event.reason,
        ip_address=event.about.get("ip"),
    )


HANDLERS: dict[type[Fact], Handler] = {
    Ticket.Admitted: passed,
    Ticket.LetOut: passed,
    Ticket.ScanRefused: refused,
    Unmatched.Presented: unmatched,
    Unmatched.PresentedAgain: unmatched,
    Ticket.Transferred: transferred,
    Ticket.TransferRefused: transfer_refused,
}
GATE_LISTS = ReadModel(
    "gate_lists", tables=(gate_scans, gate_transfers, gate_invalid_attempts), handlers=HANDLERS
)

_ONCE_EACH = (gate_scans, gate_transfers)
"""An invalid attempt stands in one of these as well."""


def scans(connection: Connection, event_id: UUID, limit: int = 50) -> list[dict[str, Any]]:
    """The latest scans at the event's gates, entries and exits, the newest first.

    `ticket_id` is null for a secret that belongs to no ticket.
    """
    return _latest(connection, gate_scans, gate_scans.c.scan_timestamp, event_id, limit)


def transfers(connection: Connection, event_id: UUID, limit: int = 50) -> list[dict[str, Any]]:
    """The latest transfers of the event's tickets, refused ones too, the newest first."""
    timestamp = gate_transfers.c.transfer_timestamp
    return _latest(connection, gate_transfers, timestamp, event_id, limit)


def invalid_attempts(
    connection: Connection, event_id: UUID, limit: int = 50
) -> list[dict[str, Any]]:
    """The latest refused scans and transfers at the event, the newest first."""
    timestamp = gate_invalid_attempts.c.attempt_timestamp
    return _latest(connection, gate_invalid_attempts, timestamp, event_id, limit)


def positions_of(event_id: UUID) -> CompoundSelect[Any]:
    """A query for where in the log every scan and transfer of the event stands."""
    return union_all(
        *(select(table.c.id).where(table.c.event_id == event_id) for table in _ONCE_EACH)
    )


def _latest(
    connection: Connection, table: Table, timestamp: Column[Any], event_id: UUID, limit: int
) -> list[dict[str, Any]]:
    query = (
        select(*(column for column in table.c if column is not table.c.event_id))
        .where(table.c.event_id == event_id)
        .order_by(timestamp.desc(), table.c.id.desc())
        .limit(limit)
    )
    return [dict(row._mapping) for row in connection.execute(query)]
