"""A live projector beside a test, what kills it, and what there is to see of its read models."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select, text

from application.composition import Turnstile
from application.store import log
from projections.engine.positions import positions
from projections.engine.projector import Projector
from projections.engine.read_model import ReadModel
from projections.engine.tables import parked as parked_events
from projections.registry import READ_MODELS
from tests.workers.processes import PATIENCE


class Killed(BaseException):
    """What no handler of errors may stop."""


def die(*_: Any) -> None:
    raise Killed


@contextmanager
def projecting(turnstile: Turnstile, *models: ReadModel) -> Iterator[Projector]:
    """A live projector in a thread."""
    stop = threading.Event()
    running = Projector(turnstile, models or READ_MODELS)
    thread = threading.Thread(target=running.run, args=(stop,))
    thread.start()
    try:
        yield running
    finally:
        stop.set()
        turnstile.signals.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def head(turnstile: Turnstile) -> int:
    with turnstile.engine.connect() as connection:
        return log.read_head(connection)


def at(turnstile: Turnstile, model: ReadModel) -> int:
    with turnstile.engine.connect() as connection:
        return positions(connection, [model.name]).get(model.name, 0)


def parked(turnstile: Turnstile, model: ReadModel) -> list[int]:
    with turnstile.engine.connect() as connection:
        query = select(parked_events.c.position).where(parked_events.c.read_model == model.name)
        return list(connection.scalars(query.order_by(parked_events.c.position)))


def ask(turnstile: Turnstile, question: str) -> Any:
    with turnstile.engine.connect() as connection:
        return connection.execute(text(question)).scalar_one()
