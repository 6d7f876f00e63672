"""The log: histories, states as of some moment, the feed, and how the read models follow it."""

import re
from datetime import datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from webargs.fields import DelimitedList

from application.history import CLOCKS, KINDS
from domain.aggregate import Fact
from domain.gate import Unmatched
from web.schemas.common import Recorded, page_of
from web.schemas.customers import RecordedCustomer
from web.schemas.events import RecordedEvent
from web.schemas.fields import INT64, Flag, Instant, Number, Strict, limit
from web.schemas.orders import RecordedOrder
from web.schemas.tickets import RecordedTicket

LATEST_VERSION = 2**31 - 1
VERSION_OR_TIME = [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}]
LAST_RECORDED = "When the event happened that was recorded last, which may have come late."
TOPICS = sorted(
    fact.TOPIC
    for aggregate in (*KINDS.values(), Unmatched)
    for fact in vars(aggregate).values()
    if isinstance(fact, type) and issubclass(fact, Fact) and hasattr(fact, "TOPIC")
)
"""What may be recorded, as far as this version of the program knows."""

_version_form = re.compile(r"[0-9]{1,10}").fullmatch


def position(**kwargs: Any) -> Number:
    """A place in the log, in a query string."""
    return Number(validate=validate.Range(0, INT64 - 1), **kwargs)


def clock() -> fields.String:
    """Which time of an event counts."""
    return fields.String(
        validate=validate.OneOf(CLOCKS),
        load_default=CLOCKS[0],
        metadata={"description": "By when things happened, or by when they were recorded."},
    )


class RecordedFact(Schema):
    """One recorded event; amounts in `data` are minor units, as recorded."""

    position = fields.Integer(required=True)
    version = fields.Integer(required=True)
    what = fields.String(required=True, metadata={"examples": TOPICS})
    who = fields.String(required=True, allow_none=True)
    occurred_at = fields.DateTime(required=True)
    recorded_at = fields.DateTime(required=True)
    data = fields.Dict(required=True, metadata={"description": "Secrets are redacted."})
    metadata = fields.Dict(
        required=True,
        metadata={
            "description": "Who asked (`actor`), by which request (`request_id`), from where "
            "(`ip`); of what followed by itself, the position of the event that it followed from "
            "(`causation_id`) and the request that it all began with (`correlation_id`)."
        },
    )


class FeedFact(RecordedFact):
    stream_id = fields.UUID(required=True)


class History(Schema):
    items = fields.List(fields.Nested(RecordedFact), required=True)
    next = fields.Integer(required=True, allow_none=True)


class Feed(Schema):
    items = fields.List(fields.Nested(FeedFact), required=True)
    next = fields.Integer(
        required=True, metadata={"description": "The `after` to go on with, now or later."}
    )
    head = fields.Integer(required=True, metadata={"description": "The last position."})


class HistoryQuery(Strict):
    limit = limit(200, 1000)
    after = Number(
        load_default=0,
        validate=validate.Range(0, LATEST_VERSION),
        metadata={"description": "The version after which to go on."},
    )


class AsOfQuery(Strict):
    at = Instant()
    version = Number(validate=validate.Range(1, LATEST_VERSION))
    by = clock()

    @validates_schema
    def _one_of_two(self, data: dict[str, Any], **_: Any) -> None:
        if ("at" in data) == ("version" in data):
            raise ValidationError("Send either at or version.", "at")


def as_of(recorded: type[Recorded]) -> type[Schema]:
    """The state then: what a command on it answers, but for the place in the log."""
    members: dict[str, Any] = {
        name: field for name, field in recorded().fields.items() if name != "position"
    }
    members["as_of"] = fields.DateTime(required=True, metadata={"description": LAST_RECORDED})
    return Schema.from_dict(members, name=f"{recorded.__name__.removeprefix('Recorded')}AsOf")


AS_OF = {
    "event": as_of(RecordedEvent),
    "order": as_of(RecordedOrder),
    "ticket": as_of(RecordedTicket),
    "customer": as_of(RecordedCustomer),
}
"""By the kind of thing."""


class VersionOrTime(fields.Raw):
    """A version, or a time with its offset."""

    def __init__(self, said: str, **kwargs: Any) -> None:
        super().__init__(metadata={"description": said, "oneOf": VERSION_OR_TIME}, **kwargs)
        self._time = Instant()

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> int | datetime:
        if not _version_form(value):
            time: datetime = self._time.deserialize(value, attr, data, **kwargs)
            return time
        version = int(value)
        if version > LATEST_VERSION:
            raise ValidationError(f"A version is at most {LATEST_VERSION}.")
        return version


class DiffQuery(Strict):
    start = VersionOrTime(
        "A version (0: before the first), or a time, perhaps before all.",
        data_key="from",
        required=True,
    )
    end = VersionOrTime("A version, or a time, as `from` is one.", data_key="to", required=True)
    by = clock()


class Stand(Schema):
    version = fields.Integer(
        required=True, metadata={"description": "0 for before the first event."}
    )
    as_of = fields.DateTime(required=True, allow_none=True, metadata={"description": LAST_RECORDED})


class Change(Schema):
    path = fields.String(
        required=True, metadata={"description": "JSON Pointer into the state, as of `as-of`."}
    )
    before = fields.Raw(required=True, allow_none=True)
    after = fields.Raw(required=True, allow_none=True)
    positions = fields.List(
        fields.Integer(),
        required=True,
        metadata={"description": "Where in the log the events stand that changed it."},
    )


class Diff(Schema):
    """What is not as it was."""

    id = fields.UUID(required=True)
    start = fields.Nested(Stand, data_key="from", required=True)
    end = fields.Nested(Stand, data_key="to", required=True)
    changes = fields.List(fields.Nested(Change), required=True)


class FeedQuery(Strict):
    after = position(load_default=0)
    limit = limit(100, 1000)
    topics = DelimitedList(
        fields.String(validate=validate.OneOf(TOPICS, error="One of {choices}.")),
        load_default=tuple,
        validate=validate.Length(max=len(TOPICS)),
        metadata={"description": "Only these kinds of events.", "examples": [["Order.Paid"]]},
    )


class Checkpoint(Schema):
    """What the log was, signed; hashes, key and signature are hexadecimal digits."""

    position = fields.Integer(required=True)
    hash = fields.String(required=True, metadata={"description": "Of the event there."})
    root = fields.String(
        required=True, metadata={"description": "Of the Merkle tree over all hashes up to it."}
    )
    taken_at = fields.DateTime(required=True)
    public_key = fields.String(required=True, metadata={"description": "Ed25519."})
    signature = fields.String(required=True)


CheckpointPage = page_of(Checkpoint)


class ProvenEvent(Schema):
    previous = fields.String(
        required=True, metadata={"description": "The hash of the event before it in the log."}
    )
    event = fields.String(
        required=True,
        metadata={"description": "The text that is hashed; of secrets it holds the hash."},
    )


class Proof(Schema):
    """A history with what is needed to check it: `turnstile check-proof` does."""

    format = fields.String(required=True)
    kind = fields.String(required=True)
    id = fields.UUID(required=True)
    checkpoint = fields.Nested(Checkpoint, required=True)
    events = fields.List(fields.Nested(ProvenEvent), required=True)
    hashes = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Of the subtrees without these events, from left to right."},
    )


class ProjectionStatus(Schema):
    name = fields.String(required=True)
    position = fields.Integer(required=True)
    head = fields.Integer(required=True)
    lag_events = fields.Integer(required=True)
    lag_seconds = fields.Float(required=True)
    parked_streams = fields.Integer(required=True)
    parked_events = fields.Integer(required=True)
    holder = fields.String(required=True, allow_none=True)
    rebuild_position = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Null unless a rebuild runs."}
    )


class Projections(Schema):
    items = fields.List(fields.Nested(ProjectionStatus), required=True)


class Job(Schema):
    """Something that workers do; `done` of `total` tells how far it is."""

    id = fields.UUID(required=True)
    kind = fields.String(required=True)
    subject = fields.String(required=True)
    state = fields.String(required=True)
    done = fields.Integer(required=True)
    total = fields.Integer(required=True)
    outcome = fields.String(required=True, allow_none=True)
    requested_at = fields.DateTime(required=True)
    finished_at = fields.DateTime(required=True, allow_none=True)


class Example(Schema):
    """A row that is not the same; texts are withheld."""

    fault = fields.String(required=True, metadata={"description": "missing, extra or different"})
    key = fields.Dict(required=True)
    columns = fields.Dict(
        required=True, metadata={"description": "Of a different row: the live value, the rebuilt."}
    )


class TableComparison(Schema):
    table = fields.String(required=True)
    equal = fields.Integer(required=True)
    missing = fields.Integer(required=True)
    extra = fields.Integer(required=True)
    different = fields.Integer(required=True)
    examples = fields.List(fields.Nested(Example), required=True)


class Comparison(Schema):
    """What a rebuild found in the live rows, both being at `position`."""

    id = fields.UUID(required=True)
    read_model = fields.String(required=True)
    position = fields.Integer(required=True)
    outcome = fields.String(
        required=True,
        metadata={"description": "equal, different, or unfilled: there was nothing to compare."},
    )
    equal = fields.Integer(required=True)
    missing = fields.Integer(required=True, metadata={"description": "Not in the live rows."})
    extra = fields.Integer(required=True, metadata={"description": "In the live rows only."})
    different = fields.Integer(required=True)
    parked_before = fields.Integer(
        required=True, metadata={"description": "Events that waited for the live read model."}
    )
    parked_after = fields.Integer(
        required=True, metadata={"description": "Events that waited for the rebuilt one."}
    )
    started_at = fields.DateTime(required=True)
    compared_at = fields.DateTime(required=True)
    seconds = fields.Float(required=True, metadata={"description": "Of comparing alone."})
    tables = fields.List(fields.Nested(TableComparison), required=True)
    swapped_at = fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Null where the live rows were left as they are."},
    )


class WaitingStream(Schema):
    """Events of one stream that wait, since a handler could not take the first of them."""

    read_model = fields.String(required=True)
    stream_id = fields.UUID(required=True)
    events = fields.Integer(required=True)
    first_position = fields.Integer(required=True)
    last_position = fields.Integer(required=True)
    error = fields.String(required=True)
    since = fields.DateTime(required=True)


class RebuildWish(Strict):
    dry_run = Flag(
        load_default=False,
        metadata={"description": "Only compare with the live rows, and leave them."},
    )


def _latest_job() -> fields.Nested:
    return fields.Nested(
        Job, required=True, allow_none=True, metadata={"description": "The latest asked for."}
    )


class ProjectionInFull(ProjectionStatus):
    rebuild = _latest_job()
    compare = _latest_job()
    retry = _latest_job()
    comparison = fields.Nested(
        Comparison, required=True, allow_none=True, metadata={"description": "The latest."}
    )
    waiting = fields.List(
        fields.Nested(WaitingStream),
        required=True,
        metadata={"description": "The first hundred parked streams."},
    )
