"""What changed of an aggregate between two moments of its life, and which events changed it."""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from application.history import Clock, come_by, replay_one, require_kind
from application.presenting import show
from application.store import log
from application.store.log import Entry
from application.store.snapshots import load_stream
from domain.aggregate import Aggregate
from domain.errors import Invalid, NotFound

Moment = int | datetime
"""A version (0: before the first), or a time."""

Step = tuple[Entry, bool]
"""An event up to the end, and whether it came after the start."""

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
    (newest,) = log.read_stream(connection, aggregate_id, limit=1, descending=True)
    stream = partial(log.each_of_stream, connection, aggregate_id)
    if isinstance(end, datetime):
        now = partial(stream, until=newest.version)  # what comes meanwhile is left out
        known = None
        steps = _marked(come_by(now(), start, by), come_by(now(), end, by))  # type: ignore[arg-type]
    elif end > newest.version:
        raise NotFound(f"Its latest version is {newest.version}.")
    else:
        known = load_stream(connection, aggregate_id, until=start)  # type: ignore[arg-type]
        steps = ((entry, True) for entry in stream(after=start, until=end))  # type: ignore[arg-type]
    before, after, makers = _replay(known, steps)
    if after is None:
        raise NotFound(f"There was no {kind} {aggregate_id} then.")
    return {
        "id": aggregate_id,
        "from": _stand(before),
        "to": _stand(after),
        "changes": _changes(_leaves_of(before), _leaves_of(after), makers),
    }


def _require_order(start: Moment, end: Moment) -> None:
    if type(start) is not type(end):
        raise Invalid("Give two versions or two times.")
    if start > end:  # type: ignore[operator]
        raise Invalid("The first moment lies after the second.")


def _marked(first: Iterator[Entry], last: Iterable[Entry]) -> Iterator[Step]:
    """The events of `last`; those of `first` are among them, in the same order."""
    known = next(first, None)
    for entry in last:
        is_new = known is None or entry.position != known.position
        yield entry, is_new
        if not is_new:
            known = next(first, None)


def _replay(
    known: Aggregate | None, steps: Iterable[Step]
) -> tuple[Aggregate | None, Aggregate | None, dict[str, list[int]]]:
    """The aggregate after the events up to the start, and after all of them; and the positions of
    the new ones that changed each path."""
    before = after = known
    makers: dict[str, list[int]] = {}
    leaves: Leaves | None = None
    for entry, is_new in steps:
        if is_new and leaves is None:  # here they part
            before, leaves = deepcopy(after), _leaves_of(after)
        after = replay_one(after, entry)
        if leaves is None:
            before = after
            continue
        if not is_new:
            before = replay_one(before, entry)
        left, leaves = leaves, _leaves_of(after)
        if is_new:
            for path in _changed(left, leaves):
                makers.setdefault(path, []).append(entry.position)
    return before, after, makers


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
