"""The reactor: turns what happened into commands, as soon as they are due."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError

from application.composition import Turnstile
from application.reactions import expire_lapsed_holds
from application.store import log
from application.store.group_commit import StoreUnavailable
from application.store.log import Entry
from projections import open_holds
from projections.engine.waiting import wait_for

BATCH = 200
TICK_SECONDS = 1.0
RETRY_SECONDS = 2.0
NEVER = threading.Event()
"""Is not set."""

logger = structlog.get_logger(__name__)


def run(turnstile: Turnstile, stop: threading.Event) -> None:
    """React until `stop` is set. Any number of reactors may run; a reaction is idempotent.

    The to-do list is a read model, so its position in the log is kept like every other's.
    """
    while not stop.is_set():
        pause = RETRY_SECONDS
        try:
            react_once(turnstile, stop)
            pause = TICK_SECONDS
        except (SQLAlchemyError, StoreUnavailable) as error:
            logger.warning("reactor.retrying", error=str(error))
        except Exception:
            logger.exception("reactor.failed")
        stop.wait(pause)


def react_once(turnstile: Turnstile, stop: threading.Event = NEVER) -> None:
    """Do all that is due now, batch by batch; what cannot be done keeps nothing waiting."""
    for placed in _lapsed(turnstile):
        if stop.is_set():
            break
        position, left = expire_lapsed_holds(turnstile.executor, placed)
        logger.info("reactor.holds_expired", due=len(placed), left=dict(left), position=position)
        wait_for(turnstile, open_holds.OPEN_HOLDS.name, position, TICK_SECONDS)


def _lapsed(turnstile: Turnstile) -> Iterator[list[Entry]]:
    """The events that placed the orders whose holds have lapsed, batch by batch."""
    now, after = datetime.now(UTC), None
    while True:
        with turnstile.engine.connect() as connection:
            page = open_holds.lapsed(connection, now, BATCH, after)
            placed = log.read_first(connection, [item["order_id"] for item in page["items"]])
        if placed:
            yield placed
        after = page["next"]
        if after is None:
            break
