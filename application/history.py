"""The log as its readers see it: histories, states as of some moment, and the feed.

Secrets are bearer credentials: they are shown to a ticket's holder and nowhere else.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from application.presenting import show
from application.store import log
from application.store.log import Entry
from application.store.mapper import Undecodable, to_fact
from application.store.snapshots import load_stream
from domain.aggregate import Aggregate
from domain.customer import Customer
from domain.errors import Invalid, NotFound
from domain.event import Event
from domain.order import Order
from domain.ticket import Ticket

KINDS: dict[str, type[Aggregate]] = {
    "event": Event,
    "order": Order,
    "ticket": Ticket,
    "customer": Customer,
}
REDACTED = "redacted"
_decode = msgspec.json.Decoder(dict[str, Any]).decode
Clock = Literal["occurred", "recorded"]
CLOCKS: tuple[Clock, ...] = get_args(Clock)
BEGINNINGS = {
    fact.TOPIC
    for fact in (
        Event.Drafted,
        Event.TicketTypeAdded,
        Order.Placed,
        Ticket.Issued,
        Customer.Registered,
    )
}
"""Facts on which all later ones of the same thing rest."""


def history(
    connection: Connection, kind: str, aggregate_id: UUID, *, after: int = 0, limit: int = 200
) -> dict[str, Any]:
    """What was recorded of it, by version; `next` is the `after` of the following page, or None.

    Raises `NotFound`. Amounts in `data` are minor units, as recorded.
    """
    require_kind(connection, kind, aggregate_id)
    entries = log.read_stream(connection, aggregate_id, after=after, limit=limit + 1)
    more = len(entries) > limit
    return {
        "items": [recorded(entry) for entry in entries[:limit]],
        "next": entries[limit - 1].version if more else None,
    }


def as_of(
    connection: Connection,
    kind: str,
    aggregate_id: UUID,
    *,
    version: int | None = None,
    at: datetime | None = None,
    by: Clock = "occurred",
) -> dict[str, Any]:
    """Its state then, rebuilt from the log: up to a `version`, or as it stood `at` a time.

    `by` tells whether to go by when things happened or by when they were recorded. Raises
    `NotFound` when it did not exist then, `Invalid` unless one of version and time is given.
    """
    if (version is None) == (at is None):
        raise Invalid("Say either at which time or at which version.")
    require_kind(connection, kind, aggregate_id)
    if at is None:
        aggregate = load_stream(connection, aggregate_id, until=version)
    else:
        aggregate = replay_some(come_by(log.each_of_stream(connection, aggregate_id), at, by))
    if aggregate is None:
        raise NotFound(f"There was no {kind} {aggregate_id} then.")
    if version is not None and aggregate.version < version:
        raise NotFound(f"Its latest version is {aggregate.version}.")
    return {**show(aggregate), "as_of": aggregate.modified_on}


def feed(
    connection: Connection, *, after: int = 0, limit: int = 100, topics: Sequence[str] = ()
) -> dict[str, Any]:
    """Every recorded event in order of position, for other systems to follow.

    `next` is where to go on from, also when nothing new is there yet; `head` the log's end.
    """
    head = log.read_head(connection)
    entries = log.read(connection, after=after, until=head, limit=limit, topics=topics)
    reached = entries[-1].position if len(entries) == limit else max(after, head)
    items = [{**recorded(entry), "stream_id": entry.stream_id} for entry in entries]
    return {"items": items, "next": reached, "head": head}


def recorded(entry: Entry) -> dict[str, Any]:
    """One recorded event: where it stands, what it is, who caused it, and its data.

    Raises `Undecodable` for one that is damaged.
    """
    try:
        metadata, data = _decode(entry.metadata), _decode(entry.payload)
    except msgspec.DecodeError as error:
        raise Undecodable(entry, error) from error
    data.pop("v", None)
    return {
        "position": entry.position,
        "version": entry.version,
        "what": entry.topic,
        "who": metadata.get("actor"),
        "occurred_at": entry.occurred_at,
        "recorded_at": entry.recorded_at,
        "data": {key: REDACTED if key == "secret" else value for key, value in data.items()},
        "metadata": metadata,
    }


def require_kind(connection: Connection, kind: str, aggregate_id: UUID) -> None:
    """Raise `NotFound` unless there is such an aggregate of that kind."""
    first = log.read_stream(connection, aggregate_id, limit=1)
    if not first or not is_of(kind, first[0]):
        raise NotFound(f"There is no {kind} {aggregate_id}.")


def is_of(kind: str, entry: Entry) -> bool:
    """Whether the entry is of an aggregate of that kind."""
    return entry.topic.split(".")[0] == KINDS[kind].TOPIC


def come_by(entries: Iterable[Entry], at: datetime, by: Clock) -> Iterator[Entry]:
    """What of `entries`, in the order of the log, had happened (or was recorded) by then.

    A scanner that was offline reports late, so by when things happened there may be gaps, and
    something may even have happened before that on which it rests: a ticket's scan before its
    issue. A beginning counts as come when anything after it has, so that whatever is replayed
    stands on what it stood on when it was recorded.
    """
    begun: list[Entry] = []
    for entry in entries:
        if time_of(entry, by) <= at:
            yield from begun
            begun.clear()
            yield entry
        elif entry.topic in BEGINNINGS:
            begun.append(entry)


def time_of(entry: Entry, by: Clock) -> datetime:
    """When it happened, or when it was recorded."""
    return entry.occurred_at if by == "occurred" else entry.recorded_at


def replay_some(entries: Iterable[Entry]) -> Aggregate | None:
    """The aggregate after these entries of its stream, among whose versions may be gaps."""
    aggregate: Aggregate | None = None
    for entry in entries:
        aggregate = replay_one(aggregate, entry)
    return aggregate


def replay_one(aggregate: Aggregate | None, entry: Entry) -> Aggregate | None:
    """The aggregate after that entry as well, whichever version it was at before."""
    if aggregate is not None:
        aggregate.version = entry.version - 1
    return to_fact(entry).mutate(aggregate)
