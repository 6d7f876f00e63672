"""What changed of an aggregate between two moments of its life, and which events changed it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from application.history import Clock, come_by, replay_one, replay_some, require_kind
from application.presenting import show
from application.store import log
from application.store.log import Entry
from domain.aggregate import Aggregate
from domain.errors import Invalid, NotFound

Moment = int | datetime
"""A version (0: before the first), or a time."""

Leaves = dict[str, Any]
"""The plain values of a state, each by where it is (a JSON Pointer, RFC 6901)."""


def difference(
    connection: Connection,
    kind: str,
    aggregate_id: UUID,
    start: Moment,
    end: Moment,
    *,
    by: Clock = "occurred",
) -> dict[str, Any]:
    """The parts of its state that differ between `start` and `end`, by path.

    Each change has the value `before` and `after` (None where there was none), and the
    `positions` of the events that made it. `start` may lie before it existed; times are
    those of `by`. Raises `NotFound` when it did not exist at `end`, `Invalid` unless both are
    versions or both times, in order.
    """
    _require_order(start, end)
    require_kind(connection, kind, aggregate_id)
    entries = log.read_stream(connection, aggregate_id)
    if isinstance(end, int) and end > len(entries):
        raise NotFound(f"Its latest version is {len(entries)}.")
    first, last = (_until(entries, moment, by) for moment in (start, end))
    if not last:
        raise NotFound(f"There was no {kind} {aggregate_id} then.")
    before, after = replay_some(first), replay_some(last)
    return {
        "id": aggregate_id,
        "from": _stand(before),
        "to": _stand(after),
        "changes": _changes(_leaves_of(before), _leaves_of(after), _makers(first, last)),
    }


def _require_order(start: Moment, end: Moment) -> None:
    if type(start) is not type(end):
        raise Invalid("Give two versions or two times.")
    if start > end:  # type: ignore[operator]
        raise Invalid("The first moment lies after the second.")


def _until(entries: Sequence[Entry], moment: Moment, by: Clock) -> list[Entry]:
    if isinstance(moment, datetime):
        return list(come_by(entries, moment, by))
    return [entry for entry in entries if entry.version <= moment]


def _stand(aggregate: Aggregate | None) -> dict[str, Any]:
    if aggregate is None:
        return {"version": 0, "as_of": None}
    return {"version": aggregate.version, "as_of": aggregate.modified_on}


def _changes(before: Leaves, after: Leaves, makers: dict[str, list[int]]) -> list[dict[str, Any]]:
    return [
        {
            "path": path,
            "before": before.get(path),
            "after": after.get(path),
            "positions": makers.get(path, []),
        }
        for path in _changed(before, after)
    ]


def _makers(first: Sequence[Entry], last: Sequence[Entry]) -> dict[str, list[int]]:
    """The positions of the events among `last`, but not `first`, that changed each path."""
    already = {entry.position for entry in first}
    shared = list(takewhile(lambda entry: entry.position in already, last))
    makers: dict[str, list[int]] = {}
    aggregate = replay_some(shared)
    before = _leaves_of(aggregate)
    for entry in last[len(shared) :]:
        aggregate = replay_one(aggregate, entry)
        after = _leaves_of(aggregate)
        if entry.position not in already:
            for path in _changed(before, after):
                makers.setdefault(path, []).append(entry.position)
        before = after
    return makers


def _changed(before: Leaves, after: Leaves) -> list[str]:
    """The paths whose values differ, in the order of the state."""
    return [path for path in after | before if before.get(path) != after.get(path)]


def _leaves_of(aggregate: Aggregate | None) -> Leaves:
    """What is shown of it, by path, without the version, which every event changes."""
    if aggregate is None:
        return {}
    return {path: value for path, value in _leaves(show(aggregate), "") if path != "/version"}


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}/{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}/{index}")
    else:
        yield path, value
