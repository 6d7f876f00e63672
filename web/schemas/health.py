"""Whether this process can do its work."""

from marshmallow import Schema, fields, validate


class Live(Schema):
    status = fields.String(required=True)


class Check(Schema):
    status = fields.String(
        required=True,
        validate=validate.OneOf(("ok", "warning", "error")),
        metadata={"description": "Not ready with an error; with a warning it is."},
    )
    detail = fields.String(required=True)


class Ready(Schema):
    status = fields.String(required=True)
    checks = fields.Dict(keys=fields.String(), values=fields.Nested(Check), required=True)
