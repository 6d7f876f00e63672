"""What happens at the gates, counted and listed."""

from marshmallow import EXCLUDE, Schema, fields

from web.schemas.fields import Id, limit

MOST_LISTED = 1000


class Lenient(Schema):
    """Dashboards add parameters of their own, against caches."""

    class Meta:
        unknown = EXCLUDE


class StatsQuery(Lenient):
    event_id = Id()


class EventStatsQuery(Lenient):
    event_id = Id(required=True)


class GateListQuery(EventStatsQuery):
    limit = limit(50, MOST_LISTED)


class GateCounts(Schema):
    event_id = fields.UUID(required=True)
    scan_count = fields.Integer(required=True)
    transfer_count = fields.Integer(required=True)
    invalid_attempt_count = fields.Integer(required=True)
    valid_scan_count = fields.Integer(required=True)
    invalid_scan_count = fields.Integer(required=True)
    successful_transfer_count = fields.Integer(required=True)
    failed_transfer_count = fields.Integer(required=True)
    last_updated = fields.DateTime(required=True, allow_none=True)


class DailyGateCounts(GateCounts):
    stat_date = fields.Date(required=True)


class HourlyGateCounts(Schema):
    hour = fields.DateTime(required=True)
    ticket_type_id = fields.UUID(required=True, allow_none=True)
    ticket_type = fields.String(required=True, allow_none=True)
    admissions = fields.Integer(required=True)
    exits = fields.Integer(required=True)
    refused = fields.Integer(required=True)


class GateScan(Schema):
    id = fields.Integer(required=True, metadata={"description": "Its position in the log."})
    ticket_id = fields.UUID(required=True, allow_none=True)
    scanner_id = fields.String(required=True)
    scan_timestamp = fields.DateTime(required=True)
    is_valid = fields.Boolean(required=True)
    location = fields.String(required=True)


class GateTransfer(Schema):
    id = fields.Integer(required=True, metadata={"description": "Its position in the log."})
    ticket_id = fields.UUID(required=True)
    from_user_id = fields.UUID(required=True)
    to_user_id = fields.UUID(required=True)
    transfer_timestamp = fields.DateTime(required=True)
    is_successful = fields.Boolean(required=True)
    transfer_reason = fields.String(required=True)


class InvalidAttempt(Schema):
    id = fields.Integer(required=True, metadata={"description": "Its position in the log."})
    attempt_type = fields.String(required=True)
    ticket_id = fields.UUID(required=True, allow_none=True)
    attempt_timestamp = fields.DateTime(required=True)
    reason = fields.String(required=True)
    ip_address = fields.String(required=True, allow_none=True)


class _GateList(Schema):
    event_id = fields.UUID(required=True)
    count = fields.Integer(required=True, metadata={"description": "How many are listed."})


class GateScans(_GateList):
    scans = fields.List(fields.Nested(GateScan), required=True)


class GateTransfers(_GateList):
    transfers = fields.List(fields.Nested(GateTransfer), required=True)


class InvalidAttempts(_GateList):
    attempts = fields.List(fields.Nested(InvalidAttempt), required=True)
