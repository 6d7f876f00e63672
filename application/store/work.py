"""What one command works on: aggregates by id, and what it decided about them."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import replace

from application.store.log import Entry, NewEntry
from domain.aggregate import Aggregate, Fact
from domain.errors import IdempotencyKeyReused, NotFound, Stale
from domain.ids import derived_id

A = TypeVar("A", bound=Aggregate)

_encode = msgspec.json.Encoder().encode


class Context(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who asks for a command, through which request, and when.

    What follows by itself from a recorded event names its position in the log (`causation_id`), and
    the request that it all began with (`correlation_id`).

    `at` is given for what happened earlier (an import); `source` names the system it was imported
    from, and keeps reactions away. `told_at` is when it happened by the clock of a scanner, whose
    word that is.
    """

    actor: str = ""
    request_id: str = ""
    ip: str = ""
    correlation_id: str = ""
    causation_id: str = ""
    source: str = ""
    at: datetime | None = None
    told_at: datetime | None = None

    @classmethod
    def following(cls, cause: Entry, actor: str) -> "Context":
        """That of a command by `actor` which follows from a recorded event."""
        about = _about(cause.metadata)
        return cls(
            actor=actor,
            correlation_id=about.correlation_id or about.request_id,
            causation_id=str(cause.position),
        )

    def metadata(self) -> str:
        """The JSON text stored beside each event: all but `at`, without what is empty."""
        about = self if self.at is None else replace(self, at=None)
        return _encode(about).decode()


_about = msgspec.json.Decoder(Context).decode


class Key(msgspec.Struct, frozen=True, dict=True):
    """An idempotency key: the same key gets the same answer, whatever happened in between.

    `fingerprint` is a digest of the request; empty where any request with the key is the same.
    `expires_at` is None for a key that is kept as long as the log. Others may come with a key that
    `is_shared`: its answer is for those only who may do the same.
    """

    scope: str
    key: str
    fingerprint: str = ""
    expires_at: datetime | None = None
    is_shared: bool = False

    @cached_property
    def id(self) -> UUID:
        """The one id of this scope and key."""
        return derived_id("idempotency", self.scope, self.key)

    def require_same(self, other: "Key") -> None:
        """Raise `IdempotencyKeyReused` when `other` comes with another request."""
        if other.fingerprint != self.fingerprint:
            raise IdempotencyKeyReused


class Answer(msgspec.Struct, frozen=True):
    """What a command led to: the representation of its aggregate, and the log's position.

    `position` is that of the command's last event, or of the log's end when it had none.
    """

    body: dict[str, Any]
    position: int
    replayed: bool = False

    @property
    def version(self) -> int:
        """The aggregate's version after the command."""
        return int(self.body["version"])


Outcome = Answer | Exception


class Command(msgspec.Struct, frozen=True):
    """A use case with its arguments, ready to be decided.

    `decide` loads, calls a verb, saves, and returns the aggregate to show. An error that it
    raises leaves no trace; an error that it returns is reported as well, but what was saved
    before stays: evidence of the attempt.

    `permit` raises `Forbidden` unless the caller may do this, under the same lock: what it looks
    at cannot change before the command is decided.

    `makes` is an id that was made for this command, and is among its arguments: nothing need be
    looked up under it.
    `expected_version` is the version of `target` that the caller acted on. `present` makes the
    answer's body, at once, because the aggregate lives on in the cache.
    """

    decide: Callable[..., Any]
    arguments: dict[str, Any]
    context: Context
    present: Callable[[Any], dict[str, Any]]
    keys: tuple[Key, ...] = ()
    target: UUID | None = None
    expected_version: int | None = None
    makes: UUID | None = None
    permit: "Callable[[Work], None] | None" = None

    @property
    def name(self) -> str:
        """The use case's name, for logs and metrics."""
        return getattr(self.decide, "__name__", type(self.decide).__name__)

    def ids(self) -> list[UUID]:
        """The ids among the arguments that may exist: what the command is likely to load."""
        return [
            value
            for value in self.arguments.values()
            if type(value) is UUID and value is not self.makes
        ]


@dataclass
class Work:
    """The hands of one command: `load`, `find` and `save`; or `record`.

    `since` tells what was recorded after a position of the log, up to this very command, of what is
    committed no more than so many entries.
    """

    context: Context
    fetch: Callable[[UUID], Aggregate | None]
    prefetch: Callable[[Iterable[UUID]], object]
    since: Callable[[int, int], Sequence[Entry | NewEntry]] = lambda _, __: ()
    target: UUID | None = None
    expected_version: int | None = None
    facts: list[Fact] = field(default_factory=list)
    entries: list[NewEntry] = field(default_factory=list)
    seen: dict[UUID, tuple[Aggregate, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = self.context.at or datetime.now(UTC)

    def find(self, cls: type[A], aggregate_id: UUID) -> A | None:
        """The aggregate, or None when there is none of that kind."""
        aggregate = self.fetch(aggregate_id)
        if aggregate is None:
            return None
        self.seen.setdefault(aggregate_id, (aggregate, aggregate.version))
        if aggregate_id == self.target and self.expected_version not in (None, aggregate.version):
            raise Stale(f"It is at version {aggregate.version}, not {self.expected_version}.")
        return aggregate if isinstance(aggregate, cls) else None

    def load(self, cls: type[A], aggregate_id: UUID) -> A:
        """The aggregate; raises `NotFound`."""
        aggregate = self.find(cls, aggregate_id)
        if aggregate is None:
            raise NotFound(f"There is no {cls.TOPIC.lower()} {aggregate_id}.")
        return aggregate

    def load_all(self, cls: type[A], aggregate_ids: Collection[UUID]) -> list[A]:
        """Those aggregates, read at once; raises `NotFound` when one is missing."""
        self.prefetch(aggregate_ids)
        return [self.load(cls, aggregate_id) for aggregate_id in aggregate_ids]

    def save(self, *aggregates: Aggregate) -> None:
        """Record what these aggregates decided, in this order."""
        for aggregate in aggregates:
            self.seen.setdefault(aggregate.id, (aggregate, 0))
            self.facts.extend(aggregate.collect_events())  # type: ignore[arg-type]

    def record(self, entries: Iterable[NewEntry]) -> None:
        """Record what others made, as it is: streams that no aggregate of ours stands for."""
        self.entries.extend(entries)
