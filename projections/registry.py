"""Every read model, by hand: a new one adds its line here."""

from projections.catalogue import CATALOGUE
from projections.customer_statistics import CUSTOMER_STATISTICS
from projections.customers import CUSTOMERS
from projections.engine.read_model import ReadModel
from projections.event_summaries import EVENT_SUMMARIES
from projections.gate_lists import GATE_LISTS
from projections.gate_statistics import GATE_STATISTICS
from projections.open_holds import OPEN_HOLDS
from projections.orders import ORDERS
from projections.sales_by_day import SALES_BY_DAY
from projections.ticket_type_sales import TICKET_TYPE_SALES
from projections.tickets import TICKETS

READ_MODELS: tuple[ReadModel, ...] = (
    CATALOGUE,
    EVENT_SUMMARIES,
    TICKET_TYPE_SALES,
    SALES_BY_DAY,
    CUSTOMER_STATISTICS,
    GATE_STATISTICS,
    GATE_LISTS,
    ORDERS,
    TICKETS,
    CUSTOMERS,
    OPEN_HOLDS,
)


def read_model(name: str) -> ReadModel:
    """The read model of that name; raises `KeyError`."""
    return {model.name: model for model in READ_MODELS}[name]


def related(model: ReadModel) -> list[ReadModel]:
    """The others that handle much the same events."""
    return [other for other in READ_MODELS if other != model and other.subject == model.subject]
