"""What follows from what happened: reactions are commands, idempotent and traced to their cause."""

from uuid import UUID

from application.orders import expire_order
from application.presenting import show_order
from application.store.group_commit import Executor
from application.store.work import Command, Context
from domain.errors import HoldStillRuns, WrongOrderStatus

ACTOR = "system:reactor"


def expire_lapsed_holds(executor: Executor, order_ids: list[UUID]) -> int:
    """Expire these orders, whose holds have lapsed; the position of the last expiry.

    One that was paid or cancelled meanwhile is left as it is.
    """
    outcomes = executor.execute_all(
        [
            Command(
                expire_order,
                {"order_id": order_id},
                Context(actor=ACTOR, causation_id=str(order_id)),
                show_order,
            )
            for order_id in order_ids
        ]
    )
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(
            outcome, WrongOrderStatus | HoldStillRuns
        ):
            raise outcome
    return max(
        (outcome.position for outcome in outcomes if not isinstance(outcome, Exception)), default=0
    )
