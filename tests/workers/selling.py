"""An event of our own that goes on selling, beside the festival of 2016."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from application.composition import Turnstile
from application.events import create_event, publish_event
from application.orders import Wish, pay_order, place_order
from application.presenting import show
from application.store.work import Answer, Command, Context
from domain.event import Details, Terms
from domain.ids import uuid7
from tests.workers.tallies import register

CONTEXT = Context(actor="test")


class Sale:
    """An event without limits, on sale, and a customer who buys and buys."""

    def __init__(self, turnstile: Turnstile) -> None:
        self._turnstile = turnstile
        self.event_id, self.ticket_type_id = uuid7(), uuid7()
        (self.customer_id,) = register(turnstile)
        now = datetime.now(UTC)
        details = Details("Harvest", uuid7(), "Village hall", now, now + timedelta(days=9), "GBP")
        types = [(self.ticket_type_id, Terms("Adult", 2_500))]
        self._do(create_event, event_id=self.event_id, details=details, ticket_types=types)
        self._do(publish_event, event_id=self.event_id)

    def hold(self, minutes: float = 30) -> UUID:
        """Place an order for two tickets; its id."""
        order = self.order(self.customer_id, minutes)
        self._turnstile.executor.execute(order)
        return order.arguments["order_id"]  # type: ignore[no-any-return]

    def order(self, customer_id: UUID, minutes: float = 30) -> Command:
        """What places that customer's order for two tickets."""
        arguments = {
            "order_id": uuid7(),
            "event_id": self.event_id,
            "customer_id": customer_id,
            "wishes": [Wish(self.ticket_type_id, 2)],
            "payment_method": "card",
            "hold": timedelta(minutes=minutes),
        }
        return Command(place_order, arguments, CONTEXT, show)

    def sell(self) -> int:
        """Two tickets more; the position."""
        return self.pay(self.hold())

    def pay(self, order_id: UUID) -> int:
        """Pay that order; the position."""
        return self._do(pay_order, order_id=order_id, method="card").position

    def _do(self, use_case: object, **arguments: object) -> Answer:
        assert callable(use_case)
        return self._turnstile.executor.execute(Command(use_case, arguments, CONTEXT, show))
