"""How every read model is doing: what an operator looks at first."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from application.store import log
from application.store.tables import events, tracking
from projections.engine import leases
from projections.engine.parking import NONE, parked_counts
from projections.engine.shadow import SUFFIX, lease_of
from projections.registry import READ_MODELS


def status(connection: Connection) -> list[dict[str, Any]]:
    """Each read model's position, lag in events and seconds, parked events and holder.

    `lag_seconds` is the age of the oldest event not taken yet, by when it was recorded;
    `rebuild_position` is null unless a rebuild runs.
    """
    at = {row.name: row.position for row in connection.execute(select(tracking))}
    head = log.read_head(connection)  # after the positions, so that nothing is ahead of it
    held = leases.holders(connection)
    waiting = parked_counts(connection)
    return [
        {
            "name": model.name,
            "position": at.get(model.name, 0),
            "head": head,
            "lag_events": head - at.get(model.name, 0),
            "lag_seconds": _lag_seconds(connection, at.get(model.name, 0), head),
            "parked_streams": waiting.get(model.name, NONE)[0],
            "parked_events": waiting.get(model.name, NONE)[1],
            "holder": held.get(model.name),
            "rebuild_position": at.get(model.name + SUFFIX) if lease_of(model) in held else None,
        }
        for model in READ_MODELS
    ]


def _lag_seconds(connection: Connection, position: int, head: int) -> float:
    if position >= head:
        return 0.0
    following = select(events.c.recorded_at).where(events.c.position > position)
    following = following.order_by(events.c.position).limit(1)
    recorded_at: datetime | None = connection.execute(following).scalar()
    if recorded_at is None:  # it was deleted, which `verify` is there to find
        return 0.0
    return round(max(0.0, (datetime.now(UTC) - recorded_at).total_seconds()), 3)
