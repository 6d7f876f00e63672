"""What every aggregate and every event of the box office has in common."""

import json
from dataclasses import field
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from eventsourcing.domain import AggregateCreated, AggregateEvent, BaseAggregate


class Fact(AggregateEvent):
    """Something that happened, once and for ever.

    `timestamp` is when it happened; the log adds `position`, `recorded_at` and `metadata`
    to the facts it hands out, so that a reader needs no second object beside the event.
    """

    TOPIC: ClassVar[str]
    class_version: ClassVar[int] = 1
    position: int = field(default=0, init=False, repr=False, compare=False)
    recorded_at: datetime | None = field(default=None, init=False, repr=False, compare=False)
    metadata: str = field(default="{}", init=False, repr=False, compare=False)

    @property
    def occurred_at(self) -> datetime:
        """When it happened (UTC)."""
        return self.timestamp

    @property
    def about(self) -> dict[str, str]:
        """Who caused it, by which request; empty for a fact that is not recorded yet."""
        about: dict[str, str] = json.loads(self.metadata)
        return about


class FirstFact(AggregateCreated, Fact):
    """The first fact of an aggregate's life."""


class Aggregate(BaseAggregate[UUID]):
    """Base of the aggregates; each pins a `TOPIC`, since file names must not become data.

    Not the library's `Aggregate`, whose inherited `Created` event would need a topic in
    every aggregate that never uses it.
    """

    TOPIC: ClassVar[str]
    class_version: ClassVar[int] = 1

    class Event(Fact):
        """Base of an aggregate's events."""
