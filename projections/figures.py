"""An event's figures as they stood at some moment, and the facts that make each of them up.

The read models' own handlers take the event's facts, up to that moment, on rows in memory. So a
figure is defined once, and whatever moved it is known by having moved it.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Table, and_, or_

from application.history import BEGINNINGS, Clock, come_by, recorded, require_kind
from application.store import log
from application.store.log import Entry
from application.store.mapper import to_fact
from application.store.tables import events
from domain.errors import NotFound
from projections import event_summaries, gate_lists, gate_statistics, ticket_type_sales
from projections.engine.positions import positions
from projections.engine.read_model import ReadModel
from projections.event_summaries import EVENT_SUMMARIES
from projections.gate_lists import GATE_LISTS
from projections.gate_statistics import GATE_STATISTICS
from projections.in_memory import RowsInMemory
from projections.paging import Item
from projections.ticket_type_sales import TICKET_TYPE_SALES

Read = Callable[[Any], Any]
MODELS = (EVENT_SUMMARIES, TICKET_TYPE_SALES, GATE_STATISTICS)
OF_EVENTS: tuple[tuple[ReadModel, Table, dict[str, Read]], ...] = (
    (EVENT_SUMMARIES, event_summaries.event_summaries, event_summaries.FIGURES),
    (GATE_STATISTICS, gate_statistics.gate_totals, gate_statistics.FIGURES),
)
OF_TICKET_TYPES = (TICKET_TYPE_SALES, ticket_type_sales.ticket_types, ticket_type_sales.FIGURES)
NAMES = (
    *(name for _, _, figures in OF_EVENTS for name in figures),
    *(f"{name}.{{ticket_type_id}}" for name in OF_TICKET_TYPES[-1]),
)

_HANDLERS = {
    fact: [model.handlers[fact] for model in MODELS if fact in model.handlers]
    for fact in {fact for model in MODELS for fact in model.handlers}
}
_UNBORN = object()


def figures(
    connection: Connection, event_id: UUID, *, at: datetime | None = None, by: Clock = "occurred"
) -> Item:
    """The event's figures of sales and gates, and the units sold of each ticket type.

    With `at`, as they stood then, `by` when things happened or by when they were recorded.
    Raises `NotFound` when there is no such event, or was none then.
    """
    require_kind(connection, "event", event_id)
    rows = RowsInMemory(table for model in MODELS for table in model.tables)
    for entry in _entries(connection, event_id, at, by):
        fact = to_fact(entry)
        for handler in _HANDLERS[type(fact)]:
            handler(rows, fact)
    event = rows.get(event_summaries.event_summaries, event_id=event_id)
    return {
        "event_id": event_id,
        "event_name": event.title,
        "organizer_name": event.organizer_name,
        "currency": event.currency,
        "at": at,
        "by": by,
        **{
            name: read(rows.get(table, event_id=event_id))
            for _, table, figures in OF_EVENTS
            for name, read in figures.items()
        },
        "ticket_types": [
            {"id": row.ticket_type_id, "name": row.name}
            | {name: read(row) for name, read in ticket_type_sales.FIGURES.items()}
            for row in rows.all(ticket_type_sales.ticket_types)
        ],
    }


def sources(
    connection: Connection,
    event_id: UUID,
    name: str,
    *,
    at: datetime | None = None,
    by: Clock = "occurred",
    after: int = 0,
    limit: int = 20,
) -> Item:
    """The recorded events that moved one of the event's figures, in order of position.

    Each tells what the figure was `before` and `after` it, and its `contribution`: those of a
    count or an amount of money add up to the figure; other figures have none. `at` and `by` as
    for `figures`, whose names are `NAMES`; `after` is the `next` of the page before. Raises
    `NotFound`.
    """
    require_kind(connection, "event", event_id)
    figure = _named(event_id, name)
    moves = _moves(figure, _entries(connection, event_id, at, by))
    found = list(islice((move for move in moves if move.entry.position > after), limit + 1))
    return {
        "event_id": event_id,
        "figure": name,
        "at": at,
        "by": by,
        "items": [_shown(move) for move in found[:limit]],
        "next": found[limit - 1].entry.position if len(found) > limit else None,
    }


class _Figure(NamedTuple):
    """Which row of which read model it stands in, and how it is read there."""

    name: str
    model: ReadModel
    table: Table
    key: dict[str, UUID]
    read: Read


class _Move(NamedTuple):
    """An event that moved a figure."""

    entry: Entry
    before: Any
    after: Any


def _named(event_id: UUID, name: str) -> _Figure:
    for model, table, figures in OF_EVENTS:
        if name in figures:
            return _Figure(name, model, table, {"event_id": event_id}, figures[name])
    kind, _, reference = name.partition(".")
    model, table, figures = OF_TICKET_TYPES
    if kind not in figures:
        raise _no_such(name)
    try:
        key = {"event_id": event_id, "ticket_type_id": UUID(reference)}
    except ValueError:
        raise _no_such(name) from None
    return _Figure(name, model, table, key, figures[kind])


def _no_such(name: str) -> NotFound:
    return NotFound(f"There is no figure {name}; there are {', '.join(NAMES)}.")


def _entries(
    connection: Connection, event_id: UUID, at: datetime | None, by: Clock
) -> Iterator[Entry]:
    """What the read models count of the event: from its own stream, and from those of its tickets
    and of what was shown at its gates, as far as the gate lists know them.
    Raises `NotFound` when that is nothing."""
    topics = sorted(set().union(*(model.topics for model in MODELS)))
    known = positions(connection, [GATE_LISTS.name]).get(GATE_LISTS.name, 0)
    counted = and_(events.c.topic.in_(topics), events.c.position <= known)
    if at is not None:
        clock = events.c.occurred_at if by == "occurred" else events.c.recorded_at
        counted = and_(counted, or_(clock <= at, events.c.topic.in_(BEGINNINGS)))
    entries = log.read_where(
        connection,
        and_(counted, events.c.stream_id == event_id),
        and_(counted, events.c.position.in_(gate_lists.positions_of(event_id))),
    )
    if at is not None:
        entries = come_by(entries, at, by)
    first = next(entries, None)
    if first is None:
        said = (
            f"There is no event {event_id}" if at is None else f"There was no event {event_id} then"
        )
        raise NotFound(f"{said}.")
    return chain([first], entries)


def _moves(figure: _Figure, entries: Iterable[Entry]) -> Iterator[_Move]:
    """What moved the figure; that it begins at zero is no move. Raises `NotFound` in the end
    when there never was such a figure, as of a ticket type that the event does not have."""
    rows = RowsInMemory(figure.model.tables)
    before: Any = _UNBORN
    for entry in entries:
        if entry.topic not in figure.model.topics:
            continue
        fact = to_fact(entry)
        figure.model.handlers[type(fact)](rows, fact)
        row = rows.find(figure.table, **figure.key)
        if row is None:
            continue
        after = figure.read(row)
        if before is _UNBORN:
            before = None if _weight(after) else after
        if after != before and _weight(after) != _weight(before):
            yield _Move(entry, before, after)
        before = after
    if before is _UNBORN:
        raise _no_such(figure.name)


def _shown(move: _Move) -> Item:
    return {
        **recorded(move.entry),
        "stream_id": move.entry.stream_id,
        "before": move.before,
        "after": move.after,
        "contribution": _contribution(move.before, move.after),
    }


def _contribution(before: Any, after: Any) -> int | str | None:
    kinds = {type(before), type(after)}
    if int in kinds:
        return (after or 0) - (before or 0)
    if str in kinds:
        return str(Decimal(after or 0) - Decimal(before or 0))
    return None


def _weight(value: Any) -> Any:
    """Money as a number, since "0.00" and "0" are the same."""
    return Decimal(value) if isinstance(value, str) else value
