"""Naming, counting, timing and logging requests."""

import logging
import re
from collections.abc import Callable
from time import perf_counter

import structlog
from flask import Response
from prometheus_client import Histogram

from application import tracing
from domain.ids import uuid7
from web.current import asked, noted

SLOW_SECONDS = 1.0
KEPT_OUT = (401, 403, 429)
UNMATCHED = "none"
SECONDS = Histogram(
    "turnstile_http_seconds",
    "Duration of requests",
    ("endpoint", "status"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10),
)
logger = structlog.get_logger(__name__)

_children: dict[tuple[str | None, int], Histogram] = {}
_visible = re.compile(r"[\x21-\x7e]{1,128}").fullmatch


def start() -> None:
    """Begin to time the current request, under the id that it came with.

    An id that could not be logged safely is replaced.
    """
    noted().started = perf_counter()
    given = asked().environ.get("HTTP_X_REQUEST_ID", "")
    tracing.begin(given if _visible(given) else str(uuid7()))


def stopped_by(log_all: bool) -> Callable[[Response], Response]:
    """What counts the current request, which has been answered, and logs it.

    Always logged is what failed, was slow, or was kept out; the rest with `log_all`, since a line
    costs some 50 µs, and a rush that has sold out refuses thousands.
    """

    def stop(response: Response) -> Response:
        seconds, status = perf_counter() - noted().started, response.status_code
        endpoint = asked().endpoint
        child = _children.get((endpoint, status))
        if child is None:
            child = SECONDS.labels(endpoint or UNMATCHED, status)
            _children[endpoint, status] = child
        child.observe(seconds)
        if log_all or status >= 500 or status in KEPT_OUT or seconds > SLOW_SECONDS:
            _log(status, seconds)
        return response

    return stop


def _log(status: int, seconds: float) -> None:
    """The route instead of the path, and no query: either may hold what is nobody's business."""
    caller, rule = noted().get("caller"), asked().url_rule
    logger.log(
        logging.WARNING if status >= 500 or seconds > SLOW_SECONDS else logging.INFO,
        "web.request",
        method=asked().method,
        route=rule.rule if rule else UNMATCHED,
        status=status,
        milliseconds=round(seconds * 1000, 1),
        actor=caller.actor if caller else None,
    )
