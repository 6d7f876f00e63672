"""What `/metrics` tells: of all web processes, and what only the database knows."""

import os
from collections.abc import Iterator

import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from application import jobs
from application.checkpoints import Unsigned, latest
from application.composition import Turnstile
from application.store import log
from projections.engine.status import status
from web import readiness
from workers.jobs import KINDS

SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"
OF_READ_MODELS = {
    "lag_events": ("projection_lag_events", "Events that the read model has not taken"),
    "lag_seconds": ("projection_lag_seconds", "Age of the oldest event not taken"),
    "parked_streams": ("parked_streams", "Parked streams that wait for the read model"),
    "parked_events": ("parked_events", "Parked events that wait for the read model"),
}

logger = structlog.get_logger(__name__)


def exposition(turnstile: Turnstile) -> tuple[bytes, str]:
    """All metrics as text, and its content type."""
    of_database = CollectorRegistry()
    of_database.register(_Kept(turnstile))
    return generate_latest(of_processes()) + generate_latest(of_database), CONTENT_TYPE_LATEST


def of_processes() -> CollectorRegistry:
    """The metrics of this process, or of all that share theirs with it."""
    if SHARED_METRICS not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


class _Kept(Collector):
    """Metrics that are the same whichever process is asked: checks, and what the database holds.
    While it does not answer, only the latter are left out."""

    def __init__(self, turnstile: Turnstile) -> None:
        self._turnstile = turnstile

    def collect(self) -> Iterator[GaugeMetricFamily]:
        checks = readiness.check(self._turnstile)
        ok = {name: float(check["status"] == "ok") for name, check in checks.items()}
        yield _gauge("check_ok", "Whether the check of /health/ready succeeds", "check", ok)
        try:
            with self._turnstile.engine.connect() as connection:
                yield from list(_of_log(connection))
                yield from list(_of_read_models(connection))
                yield _unfinished_jobs(connection)
        except SQLAlchemyError as error:
            logger.warning("metrics.database_unknown", error=type(error).__name__)


def _of_log(connection: Connection) -> Iterator[GaugeMetricFamily]:
    try:
        checkpoint = latest(connection)
    except Unsigned as error:
        logger.warning("metrics.checkpoint_unsigned", error=str(error))
        checkpoint = None
    signed, at = (checkpoint.position, checkpoint.taken_at.timestamp()) if checkpoint else (0, 0.0)
    yield _number("log_position", "Position of the last event", log.read_head(connection))
    yield _number("checkpoint_position", "Position of the last checkpoint, 0 without", signed)
    yield _number("checkpoint_timestamp_seconds", "When it was taken, 0 without", at)


def _of_read_models(connection: Connection) -> Iterator[GaugeMetricFamily]:
    models = status(connection)
    for key, (name, said) in OF_READ_MODELS.items():
        yield _gauge(name, said, "read_model", {model["name"]: model[key] for model in models})


def _unfinished_jobs(connection: Connection) -> GaugeMetricFamily:
    unfinished = [job["kind"] for job in jobs.unfinished(connection)]
    counts = {kind: float(unfinished.count(kind)) for kind in KINDS}
    return _gauge("unfinished_jobs", "Jobs that wait or are being done", "kind", counts)


def _gauge(name: str, said: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(f"turnstile_{name}", said, labels=[label])
    for labelled, value in values.items():
        gauge.add_metric([labelled], value)
    return gauge


def _number(name: str, said: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"turnstile_{name}", said, value=value)
