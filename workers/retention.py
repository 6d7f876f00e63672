"""Retention: customers who have done nothing for long are erased, on a schedule.

What they did is asked of the read models, so nothing is done while those lag behind the log, or
while events wait that one of them could not take; and what has happened since is looked at under
its lock, as each is erased.
"""

from datetime import UTC, datetime
from uuid import UUID

import structlog

from application.composition import Turnstile
from application.customers import NoLongerIdle, erase_idle_customer
from application.presenting import show_customer
from application.store import log
from application.store.work import Command, Context
from projections import held_data
from projections.engine.parking import parked_counts
from projections.engine.waiting import wait_for

BATCH = 100
WAIT_SECONDS = 2.0
_CONTEXT = Context(actor="retention")

logger = structlog.get_logger(__name__)


class Postponed(Exception):
    """The read models do not show at present who is due."""


def erase_idle(turnstile: Turnstile) -> int:
    """Erase whoever is due by `RETENTION_DAYS`, batch by batch; how many that were."""
    kept = turnstile.settings.retention
    erased = 0
    while kept is not None:
        try:
            seen = _caught_up_to(turnstile)
        except Postponed as error:
            logger.warning("retention.postponed", reason=str(error))
            break
        with turnstile.engine.connect() as connection:
            due = held_data.idle_customers(connection, datetime.now(UTC) - kept, BATCH)
        done = _erase(turnstile, due, seen)
        erased += done
        if len(due) < BATCH or not done:
            break
    return erased


def count_idle(turnstile: Turnstile) -> int:
    """How many `erase_idle` would erase now. Raises `Postponed` when it would erase nobody yet."""
    kept = turnstile.settings.retention
    if kept is None:
        return 0
    _caught_up_to(turnstile)
    with turnstile.engine.connect() as connection:
        return held_data.count_idle_customers(connection, datetime.now(UTC) - kept)


def _caught_up_to(turnstile: Turnstile) -> int:
    """The end of the log as this began, of which the read models have taken everything.

    Raises `Postponed`.
    """
    with turnstile.engine.connect() as connection:
        head = log.read_head(connection)
    for model in held_data.RETENTION_MODELS:
        if not wait_for(turnstile, model.name, head, WAIT_SECONDS):
            raise Postponed(f"The read model {model.name} lags behind the log.")
    with turnstile.engine.connect() as connection:
        waiting = parked_counts(connection)
    for model in held_data.RETENTION_MODELS:
        if model.name in waiting:
            raise Postponed(
                f"Events wait that the read model {model.name} could not take;"
                " 'turnstile parked' shows them."
            )
    return head


def _erase(turnstile: Turnstile, customer_ids: list[UUID], seen: int) -> int:
    """How many of them were erased; who has done something since `seen` stays."""
    erased = 0
    commands = [
        Command(
            erase_idle_customer,
            {"customer_id": customer_id, "seen": seen},
            _CONTEXT,
            show_customer,
        )
        for customer_id in customer_ids
    ]
    for customer_id, outcome in zip(
        customer_ids, turnstile.executor.execute_all(commands), strict=True
    ):
        if isinstance(outcome, NoLongerIdle):
            logger.info("retention.kept", customer_id=str(customer_id))
            continue
        if isinstance(outcome, Exception):  # which keeps none of the others
            logger.error("retention.failed", customer_id=str(customer_id), error=str(outcome))
            continue
        erased += 1
        logger.info("retention.erased", customer_id=str(customer_id), position=outcome.position)
    return erased
