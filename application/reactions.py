"""What follows from what happened: reactions are commands, idempotent and traced to their cause."""

from collections import Counter
from uuid import UUID

from application.orders import expire_order
from application.presenting import show_order
from application.store.group_commit import Executor, StoreUnavailable
from application.store.work import Command, Context

ACTOR = "system:reactor"


def expire_lapsed_holds(executor: Executor, order_ids: list[UUID]) -> tuple[int, Counter[str]]:
    """Expire these orders, whose holds have lapsed: the position of the last expiry, and how many
    could not be expired, by the error that each met.

    One that was paid or cancelled meanwhile is left as it is. Raises `StoreUnavailable`.
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
    position, left = 0, Counter[str]()
    for outcome in outcomes:
        if isinstance(outcome, StoreUnavailable):
            raise outcome
        if isinstance(outcome, Exception):
            left[type(outcome).__name__] += 1
        else:
            position = max(position, outcome.position)
    return position, left
