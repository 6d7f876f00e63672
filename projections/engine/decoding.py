"""From recorded events to facts for handlers; one that cannot be read holds up no other."""

from collections.abc import Sequence

from application.store.log import Entry
from application.store.mapper import Undecodable, to_fact
from domain.aggregate import Fact


class Undecoded(Fact):
    """Stands where an event is that cannot be read, and refuses to be handled.

    `event_topic` is the event's own.
    """

    event_topic: str
    reason: Undecodable


def facts_of(entries: Sequence[Entry]) -> list[Fact]:
    """What was recorded, in order, with an `Undecoded` for each that cannot be read."""
    try:
        return [to_fact(entry) for entry in entries]
    except Undecodable:
        return [_fact_or_stand_in(entry) for entry in entries]


def _fact_or_stand_in(entry: Entry) -> Fact:
    try:
        return to_fact(entry)
    except Undecodable as reason:
        stand_in = object.__new__(Undecoded)
        attributes = {
            "originator_id": entry.stream_id,
            "originator_version": entry.version,
            "timestamp": entry.occurred_at,
            "position": entry.position,
            "event_topic": entry.topic,
            "reason": reason,
        }
        object.__setattr__(stand_in, "__dict__", attributes)
        return stand_in
