"""Checkpoints on a schedule: as long as the log grows, what it is gets signed."""

import threading
from datetime import UTC, datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError

from application.checkpoints import Checkpoint, Unsigned, is_due, take_checkpoint
from application.composition import Turnstile
from application.store.chain import LogAltered

LOOK_SECONDS = 5.0
REFUSED_SECONDS = 300.0
"""Until an altered log is looked at again, which reads all that no checkpoint covers."""

logger = structlog.get_logger(__name__)


def run(turnstile: Turnstile, stop: threading.Event) -> None:
    """Take the checkpoints that are due until `stop` is set. Any number of these may run.

    When one is due follows from the last one in the database, so none is lost with a process; two
    of the same moment say the same. A log that was altered is not signed: that is logged as an
    error each time. Without a key there is nothing to do.
    """
    if turnstile.settings.checkpoint_key is None:
        logger.warning("checkpoints.off", reason="CHECKPOINT_KEY is not set")
        stop.wait()
    while not stop.is_set():
        try:
            take_if_due(turnstile)
        except (LogAltered, Unsigned) as error:
            logger.error("checkpoints.refused", reason=str(error))
            stop.wait(REFUSED_SECONDS)
        except SQLAlchemyError as error:
            logger.warning("checkpoints.retrying", error=str(error))
        except Exception:  # such as a hash altered into what is none; nothing else stops for it
            logger.exception("checkpoints.failed")
            stop.wait(REFUSED_SECONDS)
        stop.wait(LOOK_SECONDS)


def take_if_due(turnstile: Turnstile) -> Checkpoint | None:
    """Take a checkpoint if it is time; that, or None."""
    settings = turnstile.settings
    if settings.checkpoint_key is None or settings.checkpoint_public_key is None:
        return None
    every, now = settings.checkpoint_every, datetime.now(UTC)
    with turnstile.engine.connect() as connection:
        if not is_due(connection, settings.checkpoint_public_key, every, now):
            return None
    checkpoint = take_checkpoint(turnstile.engine, settings.checkpoint_key)
    if checkpoint is not None:
        logger.info("checkpoints.taken", position=checkpoint.position)
    return checkpoint
