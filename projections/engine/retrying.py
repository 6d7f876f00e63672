"""Taking again what was parked: stream by stream, in order, beside the live projector.

Each step is a transaction under the locked position of the read model, so it is done wholly or
not at all, once, and by one process: whoever dies, or comes second, leaves what waits to the next.
"""

import time
from dataclasses import dataclass
from uuid import UUID

import structlog

from application.composition import Turnstile
from application.store import log
from application.store.database import let_others_write, writing
from application.store.signals import READ_MODELS
from application.store.writes import writes_to
from projections.engine.applying import Refusal, Target
from projections.engine.decoding import facts_of
from projections.engine.parking import (
    NONE,
    park_again,
    parked_counts,
    parked_of_stream,
    unpark,
    waiting_streams,
)
from projections.engine.positions import lock_positions, move
from projections.engine.read_model import ReadModel

BATCH = 1_000
"""Events of one stream in a transaction; the live projector waits for it."""

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Retried:
    """What a retry did: it took so many events; so many streams and events wait still."""

    name: str
    taken: int
    waiting_streams: int
    waiting_events: int


def retry(turnstile: Turnstile, model: ReadModel) -> Retried:
    """Let the handlers of `model` take what was parked; what fails again goes on waiting.

    Of a stream everything is taken up to the first event that fails, whose error is kept.
    """
    target = Target(model)
    with turnstile.engine.connect() as connection:
        streams = [item["stream_id"] for item in waiting_streams(connection, [model.name])]
    taken = sum(_retry_stream(turnstile, target, stream_id) for stream_id in streams)
    with turnstile.engine.connect() as connection:
        streams_left, events_left = parked_counts(connection).get(model.name, NONE)
    return Retried(model.name, taken, streams_left, events_left)


def _retry_stream(turnstile: Turnstile, target: Target, stream_id: UUID) -> int:
    """How many of its events were taken."""
    taken, more = 0, True
    while more:
        started = time.monotonic()
        some, more = _retry_some(turnstile, target, stream_id)
        taken += some
        let_others_write(turnstile.engine, started)
    return taken


def _retry_some(turnstile: Turnstile, target: Target, stream_id: UUID) -> tuple[int, bool]:
    """How many of its first events were taken, and whether there may be more to take."""
    name = target.name
    with writing(turnstile.engine) as connection:
        standing = lock_positions(connection, [name])[name]
        target.stands_at(standing)
        waiting = parked_of_stream(connection, name, stream_id, BATCH)
        facts = facts_of(log.read_at(connection, waiting))
        refusal = target.take_until_refused(connection, facts)
        taken = waiting if refusal is None else waiting[: waiting.index(refusal.position)]
        unpark(connection, name, taken)
        if refusal is not None:
            park_again(connection, name, stream_id, refusal.error)
        with writes_to(connection) as writes:
            # It stays where it is, but is seen to have moved: the projector must look again at
            # the rows and streams that it remembers.
            standing = move(writes, [name], standing.position)
            turnstile.signals.announce(writes, READ_MODELS)
    target.moved_to(standing)
    turnstile.signals.ring(READ_MODELS)
    _log(name, stream_id, len(taken), refusal)
    return len(taken), refusal is None and len(waiting) == BATCH


def _log(name: str, stream_id: UUID, taken: int, refusal: Refusal | None) -> None:
    about = {"read_model": name, "stream_id": str(stream_id), "taken": taken}
    if refusal is None:
        logger.info("projection.unparked", **about)
    else:
        logger.error("projection.parked_again", **about, **refusal._asdict())
