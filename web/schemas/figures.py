"""An event's figures as of any moment, and what each of them is made of."""

from marshmallow import Schema, fields, validate

from application.history import CLOCKS
from web.schemas.events import EventSummary
from web.schemas.fields import Instant, Strict, limit
from web.schemas.log import FeedFact, clock, position
from web.schemas.stats import GateCounts


class FiguresQuery(Strict):
    at = Instant(metadata={"description": "As they stood then; without it, as they stand."})
    by = clock()


class SourcesQuery(FiguresQuery):
    after = position(
        load_default=0, metadata={"description": "The `next` of the page before this one."}
    )
    limit = limit()


class _AsAsked(Schema):
    at = fields.DateTime(required=True, allow_none=True)
    by = fields.String(required=True, validate=validate.OneOf(CLOCKS))


class TicketTypeFigures(Schema):
    id = fields.UUID(required=True)
    name = fields.String(required=True)
    units_sold = fields.Integer(
        required=True, metadata={"description": "As a figure: `units_sold.` and the id."}
    )


class Figures(_AsAsked, EventSummary, GateCounts):
    """Named as in the summary, the low-capacity list and the statistics of the gates."""

    percentage_tickets_remaining = fields.Float(
        required=True, allow_none=True, metadata={"description": "Null without a capacity."}
    )
    ticket_types = fields.List(fields.Nested(TicketTypeFigures), required=True)


class FigureSource(FeedFact):
    """A recorded event that moved the figure."""

    before = fields.Raw(required=True, allow_none=True)
    after = fields.Raw(required=True, allow_none=True)
    contribution = fields.Raw(
        required=True,
        allow_none=True,
        metadata={
            "description": "What it added: those of a count, or of an amount of money (a decimal"
            " string), make up the figure. Null for a percentage or a time."
        },
    )


class FigureSources(_AsAsked):
    event_id = fields.UUID(required=True)
    figure = fields.String(required=True)
    items = fields.List(fields.Nested(FigureSource), required=True)
    next = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The `after` of the next page; null at the end."},
    )
