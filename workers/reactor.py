"""The reactor: turns what happened into commands, as soon as they are due."""

import threading
from datetime import UTC, datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError

from application.composition import Turnstile
from application.reactions import expire_lapsed_holds
from application.store.group_commit import StoreUnavailable
from projections import open_holds
from projections.engine.waiting import wait_for

BATCH = 200
TICK_SECONDS = 1.0
RETRY_SECONDS = 2.0

logger = structlog.get_logger(__name__)


def run(turnstile: Turnstile, stop: threading.Event) -> None:
    """React until `stop` is set. Any number of reactors may run; a reaction is idempotent.

    The to-do list is a read model, so its position in the log is kept like every other's.
    """
    while not stop.is_set():
        try:
            busy = react_once(turnstile)
        except (SQLAlchemyError, StoreUnavailable) as error:
            logger.warning("reactor.retrying", error=str(error))
            stop.wait(RETRY_SECONDS)
            continue
        except Exception:  # of one order, which keeps none of the others waiting
            logger.exception("reactor.failed")
            stop.wait(RETRY_SECONDS)
            continue
        if not busy:
            stop.wait(TICK_SECONDS)


def react_once(turnstile: Turnstile) -> bool:
    """Do what is due now, at most a batch of it; whether there is probably more."""
    with turnstile.engine.connect() as connection:
        lapsed = open_holds.lapsed(connection, datetime.now(UTC), BATCH)
    if lapsed:
        position = expire_lapsed_holds(turnstile.executor, lapsed)
        logger.info("reactor.holds_expired", due=len(lapsed), position=position)
        wait_for(turnstile, open_holds.OPEN_HOLDS.name, position, TICK_SECONDS)
        return position > 0 and len(lapsed) == BATCH
    return False
