"""What follows from what happened: reactions are commands, idempotent and traced to their cause."""

from collections import Counter

from application.orders import expire_order
from application.presenting import show_order
from application.store.group_commit import Executor, StoreUnavailable
from application.store.log import Entry
from application.store.work import Command, Context

ACTOR = "system:reactor"


def expire_lapsed_holds(executor: Executor, placed: list[Entry]) -> tuple[int, Counter[str]]:
    """Expire the orders that these events placed, whose holds have lapsed: the position of the last
    expiry, and how many could not be expired, by the error that each met.

    One that was paid or cancelled meanwhile is left as it is. Raises `StoreUnavailable`.
    """
    outcomes = executor.execute_all(
        [
            Command(
                expire_order,
                {"order_id": entry.stream_id},
                Context.following(entry, ACTOR),
                show_order,
            )
            for entry in placed
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
