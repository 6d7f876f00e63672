"""The live projector: keeps read models at the end of the log.

All read models that stand at the same position take a batch together, in one transaction: one
read of the log, one commit. One that lags behind takes batches alone until it has caught up.
"""

import os
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy.exc import SQLAlchemyError

from application.composition import Turnstile
from application.store import log
from application.store.database import Holder, let_others_write, writing
from application.store.signals import LOG, READ_MODELS
from application.store.writes import Writes
from domain.aggregate import Fact
from domain.ids import uuid7
from projections.engine import leases, stepping
from projections.engine.applying import Target
from projections.engine.pace import Pace
from projections.engine.positions import Standing, ensure_tracked, move
from projections.engine.read_model import ReadModel
from projections.engine.reading import Reading
from projections.engine.stepping import Step
from projections.registry import READ_MODELS as ALL

BATCH = 5_000
POLL_SECONDS = 0.25
RENEW_SECONDS = leases.SECONDS / 3
STAND_BY_SECONDS = 1.0
RETRY_SECONDS = 1.0

EVENTS = Counter("turnstile_projected_events", "Events taken by the projector")
POSITION = Gauge(
    "turnstile_projection_position",
    "Position reached",
    ("read_model",),
    multiprocess_mode="mostrecent",
)

logger = structlog.get_logger(__name__)


class Projector:
    """Runs read models in this process; `catch_up` once, or `run` until told to stop."""

    def __init__(self, turnstile: Turnstile, models: Sequence[ReadModel] = ALL) -> None:
        self._turnstile = turnstile
        self._models = tuple(models)
        self._holder = Holder(turnstile.engine)
        self._reading = Reading(turnstile.engine)
        self._targets = {model.name: Target(model) for model in models}
        self._held: tuple[ReadModel, ...] = ()
        self._renewed = 0.0
        self._caught_up = False
        self._topics = sorted(set().union(*(model.topics for model in models)))
        self._stood: tuple[set[str], Standing] | None = None
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{uuid7().hex[-8:]}"

    def catch_up(self) -> int:
        """Bring every model to the end of the log, leased or not; the position reached."""
        with writing(self._turnstile.engine) as connection:
            ensure_tracked(connection, [model.name for model in self._models])
        while self.step(self._models):
            pass
        with self._turnstile.engine.connect() as connection:
            return log.read_head(connection)

    def run(self, stop: threading.Event) -> None:
        """Keep the models that we can lease at the end of the log, until `stop` is set."""
        bell, pace = self._turnstile.signals.bells[LOG], Pace()
        while not stop.is_set():
            heard = bell.heard()
            try:
                started = time.monotonic()
                taken = self.step(self._held) if self._renew() else 0
                let_others_write(self._turnstile.engine, started)
                rest = pace.rest(taken)
                if taken < BATCH:
                    stop.wait(rest)
                if not taken or (self._caught_up and not rest):
                    self._turnstile.signals.wait(LOG, heard, POLL_SECONDS)
            except Exception as error:
                logger.warning("projector.retrying", **_told(error))
                self._renewed = 0.0
                stop.wait(RETRY_SECONDS)
        self._give_back()

    def step(self, models: Sequence[ReadModel]) -> int:
        """Let those that lag most take one batch; how many events that was."""
        try:
            return self._advance(models)
        except Exception as error:
            if len(models) == 1:
                raise
            logger.warning("projector.one_by_one", **_told(error))
        return max([self._advance_alone(model) for model in models])

    def _advance_alone(self, model: ReadModel) -> int:
        try:
            return self._advance([model])
        except Exception as error:
            logger.error("projector.failed", read_model=model.name, **_told(error))
            return 0

    def _advance(self, models: Sequence[ReadModel]) -> int:
        names = [model.name for model in models]
        stood, self._stood = self._stood, None
        left = stood[1] if stood and stood[0] == set(names) else None
        with stepping.step(self._holder, names, left, self._topics, BATCH) as (step, writes):
            start, end = step.stretch(BATCH)
            group = [model for model in models if step.at[model.name].position == start]
            if end == start:
                self._note_where(step.at)
                return 0
            facts = step.facts
            if facts is None:
                facts = self._reading.read(writes.connection, group, start, end, then_to=step.goal)
            standing = self._take(writes, step, group, facts, end)
        for model in group:
            self._targets[model.name].moved_to(standing)
        self._turnstile.signals.ring(READ_MODELS)
        self._caught_up = end == step.head
        if self._caught_up:
            self._note_where(step.at | {model.name: standing for model in group})
        _count(group, len(facts), end)
        return end - start

    def _note_where(self, at: dict[str, Standing]) -> None:
        """Where the read models were left, if at the same place: the next step may begin there."""
        if len(set(at.values())) == 1:
            self._stood = (set(at), next(iter(at.values())))

    def _take(
        self,
        writes: Writes,
        step: Step,
        group: Sequence[ReadModel],
        facts: Sequence[Fact],
        end: int,
    ) -> Standing:
        for model in group:
            target = self._targets[model.name]
            target.stands_at(step.at[model.name])
            if len(step.at) > 1:
                target.take_together(writes, facts)
            else:
                target.take(writes.connection, facts)
        standing = move(writes, [model.name for model in group], end)
        self._turnstile.signals.announce(writes, READ_MODELS)
        return standing

    def _renew(self) -> bool:
        """Renew or take leases now and then; whether we hold any."""
        complete = len(self._held) == len(self._models)
        pause = RENEW_SECONDS if complete else STAND_BY_SECONDS
        if time.monotonic() - self._renewed > pause:
            names = [model.name for model in self._models]
            with writing(self._turnstile.engine) as connection:
                ensure_tracked(connection, names)
                leases.offer(connection, names)
                held = leases.take(connection, names, self.holder)
            self._note(held)
            self._renewed = time.monotonic()
        return bool(self._held)

    def _note(self, held: set[str]) -> None:
        before = {model.name for model in self._held}
        self._held = tuple(model for model in self._models if model.name in held)
        if held != before:
            logger.info("projector.leases", holder=self.holder, held=sorted(held))

    def _give_back(self) -> None:
        try:
            with writing(self._turnstile.engine) as connection:
                leases.give_back(connection, self.holder)
        except SQLAlchemyError as error:  # then they run out by themselves
            logger.warning("projector.leases_kept", error=str(error))


def _told(error: Exception) -> dict[str, Any]:
    """What a line says of an error, and where in the program, unless the database erred."""
    in_program = not isinstance(error, SQLAlchemyError)
    return {"error": f"{type(error).__name__}: {error}", "exc_info": error if in_program else None}


def _count(group: Sequence[ReadModel], events: int, position: int) -> None:
    EVENTS.inc(events)
    for model in group:
        POSITION.labels(model.name).set(position)
