"""Which request the present thread works for: its log lines, its SQL and the jobs that it asks
for name it.

One variable of our own, since structlog's are walked through for every line and statement.
"""

from contextvars import ContextVar

import structlog

_request_id: ContextVar[str] = ContextVar("request_id", default="")


def begin(request_id: str) -> None:
    """From now on this thread works for that request."""
    _request_id.set(request_id)


def end() -> None:
    """From now on this thread works for nobody in particular."""
    _request_id.set("")


def request_id() -> str:
    """The request that this thread works for; empty when there is none."""
    return _request_id.get()


def add_request_id(
    _: object, __: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """A processor of structlog's: the line names the request, unless it names another."""
    named = _request_id.get()
    if named:
        line.setdefault("request_id", named)
    return line
