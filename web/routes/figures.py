"""An event's figures as of any moment, and what each of them is made of."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from projections import figures
from projections.gate_lists import GATE_LISTS
from web.blueprint import Blueprint
from web.reading import reads
from web.schemas.figures import Figures, FigureSources, FiguresQuery, SourcesQuery

blueprint = Blueprint("figures", "/api/v1/events", "Figures as of any moment, and their sources")


@blueprint.get("/<uuid:event_id>/figures")
@reads(GATE_LISTS)
@blueprint.asks(FiguresQuery)
@blueprint.shows(Figures)
def get_figures(connection: Connection, query: dict[str, Any], event_id: UUID) -> Any:
    """Show an event's figures of sales and gates, now or as they stood at a time"""
    return figures.figures(connection, event_id, **query)


@blueprint.get("/<uuid:event_id>/figures/<name>/sources")
@reads(GATE_LISTS)
@blueprint.asks(SourcesQuery)
@blueprint.shows(FigureSources)
def list_figure_sources(
    connection: Connection, query: dict[str, Any], event_id: UUID, name: str
) -> Any:
    """List the recorded events that make up one of an event's figures

    Figures are named as `figures` shows them; for a ticket type, `units_sold.` and its id.
    """
    return figures.sources(connection, event_id, name, **query)
