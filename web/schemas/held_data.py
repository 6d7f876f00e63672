"""Everything that is held about a customer."""

from marshmallow import Schema, fields, validate

from web.schemas.access import AccountInfo
from web.schemas.customers import CustomerStatistics, ListedCustomer
from web.schemas.log import RecordedFact
from web.schemas.orders import OrderInDetail
from web.schemas.tickets import TICKET_STATUSES


class HeldOrder(OrderInDetail):
    """An order of the customer, with what was recorded of it."""

    history = fields.List(
        fields.Nested(RecordedFact),
        required=True,
        metadata={"description": "With the IP address of what they did themselves."},
    )


class HeldTicket(Schema):
    """A ticket that the customer holds or held, without its secret."""

    id = fields.UUID(required=True)
    event_id = fields.UUID(required=True)
    event_name = fields.String(required=True, allow_none=True)
    ticket_type_id = fields.UUID(required=True)
    ticket_type = fields.String(required=True, allow_none=True)
    order_id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf(TICKET_STATUSES))
    issued_at = fields.DateTime(required=True)
    is_holder = fields.Boolean(required=True, metadata={"description": "Whether it is theirs now."})
    history = fields.List(
        fields.Nested(RecordedFact),
        required=True,
        metadata={"description": "While it was theirs: transfers, scans, and what else was done."},
    )


class HeldData(Schema):
    """Everything that is held about a customer."""

    customer = fields.Nested(ListedCustomer, required=True)
    accounts = fields.List(fields.Nested(AccountInfo), required=True)
    statistics = fields.Nested(CustomerStatistics, required=True)
    orders = fields.List(fields.Nested(HeldOrder), required=True)
    tickets = fields.List(fields.Nested(HeldTicket), required=True)
    history = fields.List(
        fields.Nested(RecordedFact),
        required=True,
        metadata={"description": "What was recorded of the customer."},
    )
