"""Counting, timing and logging requests."""

import logging
import os
from collections.abc import Iterator
from time import perf_counter

import structlog
from flask import Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from projections.engine.parking import NONE, parked_counts
from projections.registry import READ_MODELS

SECONDS = Histogram(
    "turnstile_http_seconds",
    "Duration of requests",
    ("endpoint", "status"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10),
)
logger = structlog.get_logger(__name__)

_children: dict[tuple[str | None, int], Histogram] = {}


class _Parked(Collector):
    """What waits for the read models: the same whichever process is asked, since it is asked of
    the database. One that does not answer takes no other metric with it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            with self._engine.connect() as connection:
                counts = parked_counts(connection)
        except SQLAlchemyError as error:
            logger.warning("metrics.parked_unknown", error=type(error).__name__)
            return
        for index, what in enumerate(("streams", "events")):
            said = f"Parked {what} that wait for the read model"
            gauge = GaugeMetricFamily(f"turnstile_parked_{what}", said, labels=["read_model"])
            for model in READ_MODELS:
                gauge.add_metric([model.name], counts.get(model.name, NONE)[index])
            yield gauge


def exposition(engine: Engine) -> tuple[bytes, str]:
    """All metrics as text, and its content type; of all web processes where they share them."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    of_database = CollectorRegistry()
    of_database.register(_Parked(engine))
    return generate_latest(registry) + generate_latest(of_database), CONTENT_TYPE_LATEST


def start() -> None:
    """Begin to time the current request."""
    g.started = perf_counter()


def stop(response: Response) -> None:
    """Count the current request, which has been answered."""
    labels = (request.endpoint, response.status_code)
    child = _children.get(labels)
    if child is None:
        child = _children[labels] = SECONDS.labels(request.endpoint or "none", labels[1])
    seconds = perf_counter() - g.started
    child.observe(seconds)
    _log(response.status_code, seconds)


def _log(status: int, seconds: float) -> None:
    """Log what was refused; everything else only where somebody wants to see it."""
    level = logging.INFO if status >= 400 else logging.DEBUG
    if not logging.getLogger(__name__).isEnabledFor(level):
        return
    logger.info(
        "web.request",
        method=request.method,
        path=request.path,
        status=status,
        milliseconds=round(seconds * 1000, 1),
        request_id=g.caller.request_id,
        actor=g.caller.actor,
    )
