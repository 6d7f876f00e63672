"""Tidying: what is over is forgotten every hour, beside what else the reactor's process does."""

import threading

import structlog
from sqlalchemy.exc import SQLAlchemyError

from application.access import answers, sessions
from application.composition import Turnstile
from application.store.answers import forget_expired
from application.store.database import truncate_wal, writing
from application.store.group_commit import StoreUnavailable
from projections.engine.shadow import drop_abandoned
from projections.registry import READ_MODELS
from workers import retention

EVERY_SECONDS = 3600.0
RETRY_SECONDS = 30.0

logger = structlog.get_logger(__name__)


def run(turnstile: Turnstile, stop: threading.Event) -> None:
    """Tidy until `stop` is set. Any number of processes may; what is forgotten stays so."""
    while not stop.is_set():
        pause = EVERY_SECONDS
        try:
            tidy(turnstile)
        except (SQLAlchemyError, StoreUnavailable) as error:
            logger.warning("tidying.retrying", error=str(error))
            pause = RETRY_SECONDS
        except Exception:
            logger.exception("tidying.failed")
        stop.wait(pause)


def tidy(turnstile: Turnstile) -> None:
    """Forget the answers that nobody may ask for again, sessions that are over, rebuilds that were
    killed, and customers who are long gone."""
    with writing(turnstile.engine) as connection:
        forgotten = {
            "answers": forget_expired(connection) + answers.forget_expired(connection),
            "sessions": sessions.forget_expired(connection),
        }
    if any(forgotten.values()):
        logger.info("tidying.forgot", **forgotten)
    dropped = drop_abandoned(turnstile.engine, READ_MODELS)
    if dropped:
        logger.info("tidying.dropped_rebuilds", read_models=dropped)
    retention.erase_idle(turnstile)
    truncate_wal(turnstile.engine)
