"""Between domain events and what the log keeps of them: exact JSON text.

The library's own transcoder is 27 times slower than msgspec and wraps every id and time in a
dictionary, which would make the log hard to read for anybody else.
"""

import dataclasses
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, TypedDict, get_type_hints
from uuid import UUID

import msgspec
from eventsourcing.domain import CanInitAggregate
from eventsourcing.utils import TopicError, resolve_topic

from application.store.log import Entry, NewEntry
from application.store.sealing import is_sealed
from domain.aggregate import Aggregate, Fact


class Undecodable(Exception):
    """A recorded event that this program cannot read: damaged, or of a later version.

    `event` tells which, without what is in it.
    """

    def __init__(self, entry: Entry, reason: Exception) -> None:
        self.event = f"{entry.topic} at position {entry.position}"
        super().__init__(f"{self.event} cannot be read: {reason}")


_UNREADABLE = (TopicError, ValueError, LookupError, TypeError, AttributeError)
"""What is raised for a topic that is not known, and by decoders and upcasters for content of
another shape than theirs."""
_STILL_SEALED = ValueError("what is sealed in it was altered, or by another key")
_ENVELOPE = {"originator_id", "originator_version", "timestamp", "originator_topic"}
_encode = msgspec.json.Encoder().encode


class _Codec:
    """How one event class is written and read."""

    def __init__(self, cls: type[Fact]) -> None:
        self.cls = cls
        hints = get_type_hints(cls)
        self.fields = [
            field.name
            for field in dataclasses.fields(cls)
            if field.init and field.name not in _ENVELOPE
        ]
        self.shape = _shape(cls.__name__, {name: hints[name] for name in self.fields})
        self.decode: Callable[[str | bytes], dict[str, Any]] = msgspec.json.Decoder(
            self.shape
        ).decode
        self.version_mark = f'{{"v":{cls.class_version}'
        self.constants = (
            {"originator_topic": cls.__dict__.get("TOPIC", cls.TOPIC).split(".")[0]}
            if issubclass(cls, CanInitAggregate)
            else {}
        )

    def payload(self, fact: Fact) -> str:
        attributes = vars(fact)
        content = {"v": self.cls.class_version, **{name: attributes[name] for name in self.fields}}
        return _encode(content).decode()

    def attributes(self, payload: str) -> dict[str, Any]:
        current = payload.startswith(self.version_mark)
        attributes = self.decode(payload if current else self._upcast(payload))
        attributes.update(self.constants)
        return attributes

    def _upcast(self, payload: str) -> bytes:
        content = msgspec.json.decode(payload)
        recorded, current = content.pop("v"), self.cls.class_version
        if recorded > current:
            raise ValueError(f"it is of version {recorded}, and this program knows {current}")
        for version in range(recorded, current):
            getattr(self.cls, f"upcast_v{version}_v{version + 1}")(content)
        return _encode(content)


@cache
def _codec(topic: str) -> _Codec:
    return _Codec(resolve_topic(topic))


def to_new_entry(fact: Fact, metadata: str) -> NewEntry:
    """What the log keeps of `fact`."""
    topic = fact.TOPIC
    return NewEntry(
        fact.originator_id,
        fact.originator_version,
        topic,
        _codec(topic).payload(fact),
        metadata,
        fact.timestamp,
    )


def to_fact(entry: Entry) -> Fact:
    """The domain event of a recorded entry, with its place in the log; raises `Undecodable`."""
    try:
        codec = _codec(entry.topic)
        attributes = codec.attributes(entry.payload)
    except _UNREADABLE as error:
        raise Undecodable(entry, _STILL_SEALED if is_sealed(entry.payload) else error) from error
    attributes["originator_id"] = entry.stream_id
    attributes["originator_version"] = entry.version
    attributes["timestamp"] = entry.occurred_at
    attributes["position"] = entry.position
    attributes["recorded_at"] = entry.recorded_at
    attributes["metadata"] = entry.metadata
    fact = object.__new__(codec.cls)
    object.__setattr__(fact, "__dict__", attributes)
    return fact


class _Snapshot(msgspec.Struct):
    v: int
    created_on: datetime
    modified_on: datetime
    state: msgspec.Raw


@cache
def _state_shape(cls: type[Aggregate]) -> Any:
    hints = get_type_hints(cls)
    fields = {name: hints[name] for name in cls.__annotations__ if name != "TOPIC"}
    return _shape(cls.__name__, fields)


def _shape(name: str, fields: dict[str, Any]) -> Any:
    """A dictionary type that msgspec decodes to."""
    return TypedDict(name, fields)  # type: ignore[operator]


def take_snapshot(aggregate: Aggregate) -> str:
    """The aggregate's state as JSON text."""
    names = _state_shape(type(aggregate)).__annotations__
    state = {name: getattr(aggregate, name) for name in names}
    return _encode(
        _Snapshot(
            v=type(aggregate).class_version,
            created_on=aggregate.created_on,
            modified_on=aggregate.modified_on,
            state=msgspec.Raw(_encode(state)),
        )
    ).decode()


def from_snapshot(
    cls: type[Aggregate], stream_id: UUID, version: int, payload: str
) -> Aggregate | None:
    """The aggregate at that version; None when its class has changed its shape since."""
    snapshot = msgspec.json.decode(payload, type=_Snapshot)
    if snapshot.v != cls.class_version:
        return None
    aggregate = object.__new__(cls)
    aggregate.__base_init__(stream_id, version, snapshot.created_on)
    aggregate.modified_on = snapshot.modified_on
    for name, value in msgspec.json.decode(snapshot.state, type=_state_shape(cls)).items():
        setattr(aggregate, name, value)
    return aggregate
