"""Counting, timing and logging requests."""

import logging
import os
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
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = Histogram(
    "turnstile_http_seconds",
    "Duration of requests",
    ("endpoint", "status"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10),
)
logger = structlog.get_logger(__name__)

_children: dict[tuple[str | None, int], Histogram] = {}


def exposition() -> tuple[bytes, str]:
    """All metrics as text, and its content type; of all web processes where they share them."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


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
