"""The log: histories, states as of some moment, the feed, and how the read models follow it."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from web.schemas.fields import INT64, Flag, Instant, Strict, Text, limit

LATEST_VERSION = 2**31 - 1


def position(**kwargs: Any) -> fields.Integer:
    """A place in the log, in a query string."""
    return fields.Integer(validate=validate.Range(0, INT64 - 1), **kwargs)


class RecordedFact(Schema):
    """One recorded event; amounts in `data` are minor units, as recorded."""

    position = fields.Integer(required=True)
    version = fields.Integer(required=True)
    what = fields.String(required=True, metadata={"examples": ["Ticket.Admitted"]})
    who = fields.String(required=True, allow_none=True)
    occurred_at = fields.DateTime(required=True)
    recorded_at = fields.DateTime(required=True)
    data = fields.Dict(required=True, metadata={"description": "Secrets are redacted."})
    metadata = fields.Dict(required=True)


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
    after = fields.Integer(
        load_default=0,
        validate=validate.Range(0, LATEST_VERSION),
        metadata={"description": "The version after which to go on."},
    )


class AsOfQuery(Strict):
    at = Instant()
    version = fields.Integer(validate=validate.Range(1, LATEST_VERSION))
    by = fields.String(
        validate=validate.OneOf(("occurred", "recorded")),
        load_default="occurred",
        metadata={"description": "Which time `at` means."},
    )

    @validates_schema
    def _one_of_two(self, data: dict[str, Any], **_: Any) -> None:
        if ("at" in data) == ("version" in data):
            raise ValidationError("Send either at or version.", "at")


class AsOf(Schema):
    """The state then, shaped as a command on it answers."""

    id = fields.UUID(required=True)
    version = fields.Integer(required=True)
    as_of = fields.DateTime(required=True, metadata={"description": "When it last changed."})


class Topics(Text):
    """Kinds of events, with commas between them."""

    def _deserialize(  # type: ignore[override]
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> tuple[str, ...]:
        text = super()._deserialize(value, attr, data, **kwargs)
        return tuple(word for word in text.split(",") if word)


class FeedQuery(Strict):
    after = position(load_default=0)
    limit = limit(100, 1000)
    topics = Topics(2000, load_default=tuple, metadata={"examples": ["Order.Paid,Order.Refunded"]})


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
