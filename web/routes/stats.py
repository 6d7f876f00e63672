"""What happens at the gates, as dashboards ask for it."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from projections import gate_lists, gate_statistics
from projections.catalogue import CATALOGUE
from projections.gate_lists import GATE_LISTS
from projections.gate_statistics import GATE_STATISTICS
from web.blueprint import Blueprint
from web.kept import kept_while_still
from web.problems import BadRequest
from web.reading import reads
from web.schemas.stats import (
    DailyGateCounts,
    EventStatsQuery,
    GateCounts,
    GateListQuery,
    GateScans,
    GateTransfers,
    HourlyGateCounts,
    InvalidAttempts,
    StatsQuery,
)

blueprint = Blueprint("stats", "/stats", "What happens at the gates")

BY_EVENT = {
    "type": "object",
    "additionalProperties": {"$ref": "#/components/schemas/GateCounts"},
}
ONE_OR_ALL = {"oneOf": [GateCounts, BY_EVENT]}


@blueprint.get("")
@reads(GATE_STATISTICS, CATALOGUE)
@blueprint.asks(StatsQuery, 400)
@blueprint.shows(ONE_OR_ALL, description="Of one event, or of all by their ids")
def get_stats(connection: Connection, query: dict[str, Any]) -> Any:
    """Count scans and transfers of one event, or of all"""
    if "event_id" in query:
        return _known(connection, query["event_id"])
    whose = query.get("organizer_id")
    return kept_while_still(("stats", whose), lambda: gate_statistics.totals(connection, whose))


@blueprint.get("/daily")
@reads(GATE_STATISTICS)
@blueprint.asks(EventStatsQuery, 400)
@blueprint.shows(DailyGateCounts(many=True))
def get_daily_stats(connection: Connection, query: dict[str, Any]) -> Any:
    """Count an event's scans and transfers by day (UTC)"""
    _known(connection, query["event_id"])
    return gate_statistics.daily(connection, query["event_id"])


@blueprint.get("/hourly")
@reads(GATE_STATISTICS)
@blueprint.asks(EventStatsQuery, 400)
@blueprint.shows(HourlyGateCounts(many=True))
def get_hourly_stats(connection: Connection, query: dict[str, Any]) -> Any:
    """Count an event's admissions, exits and refused scans by hour (UTC) and ticket type"""
    _known(connection, query["event_id"])
    return gate_statistics.hourly(connection, query["event_id"])


@blueprint.get("/scans")
@reads(GATE_STATISTICS, GATE_LISTS)
@blueprint.asks(GateListQuery, 400)
@blueprint.shows(GateScans)
def list_scans(connection: Connection, query: dict[str, Any]) -> Any:
    """List an event's latest scans"""
    _known(connection, query["event_id"])
    return _listed("scans", query["event_id"], gate_lists.scans(connection, **query))


@blueprint.get("/transfers")
@reads(GATE_STATISTICS, GATE_LISTS)
@blueprint.asks(GateListQuery, 400)
@blueprint.shows(GateTransfers)
def list_transfers(connection: Connection, query: dict[str, Any]) -> Any:
    """List an event's latest transfers, refused ones too"""
    _known(connection, query["event_id"])
    return _listed("transfers", query["event_id"], gate_lists.transfers(connection, **query))


@blueprint.get("/invalid-attempts")
@reads(GATE_STATISTICS, GATE_LISTS)
@blueprint.asks(GateListQuery, 400)
@blueprint.shows(InvalidAttempts)
def list_invalid_attempts(connection: Connection, query: dict[str, Any]) -> Any:
    """List an event's latest refused scans and transfers"""
    _known(connection, query["event_id"])
    return _listed("attempts", query["event_id"], gate_lists.invalid_attempts(connection, **query))


def _known(connection: Connection, event_id: UUID) -> dict[str, Any]:
    totals = gate_statistics.totals_of(connection, event_id)
    if totals is None:
        raise BadRequest(f"There is no event {event_id}.")
    return totals


def _listed(name: str, event_id: UUID, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"event_id": event_id, name: items, "count": len(items)}
