"""Shapes that many requests and answers share."""

from typing import Any

from marshmallow import Schema, fields

from web.schemas.fields import Strict, after, limit


class Nothing(Strict):
    """A command that needs no words."""


class PageQuery(Strict):
    """Which page of a list."""

    limit = limit()
    after = after()


class FieldError(Schema):
    field = fields.String(
        required=True, metadata={"description": "Path of the field, with dots between."}
    )
    pointer = fields.String(required=True, metadata={"description": "The same as JSON Pointer."})
    message = fields.String(required=True)


class Problem(Schema):
    """A problem document (RFC 9457)."""

    type = fields.String(
        required=True,
        metadata={
            "description": "Ends in the name of the rule that said no.",
            "examples": ["/problems/sold-out"],
        },
    )
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    request_id = fields.String(metadata={"description": "Under which the request was logged."})
    errors = fields.List(fields.Nested(FieldError))
    checks = fields.Dict(metadata={"description": "What is not ready, and why."})


def version() -> fields.Integer:
    """How many events its stream has."""
    return fields.Integer(
        required=True, metadata={"description": "As in the `ETag`, and as `If-Match` takes it."}
    )


def position() -> fields.Integer:
    """Where something that was recorded stands in the log."""
    return fields.Integer(
        required=True,
        metadata={"description": "Where it stands in the log; send it as Turnstile-Position."},
    )


class Recorded(Schema):
    """What every command answers with."""

    id = fields.UUID(required=True)
    version = version()
    position = position()


def page_of(item: type[Schema]) -> type[Schema]:
    """A page of a list."""
    members: dict[str, Any] = {
        "items": fields.List(fields.Nested(item), required=True),
        "next": fields.String(
            required=True,
            allow_none=True,
            metadata={"description": "The `after` of the next page; null at the end."},
        ),
    }
    return Schema.from_dict(members, name=f"{item.__name__}Page")
