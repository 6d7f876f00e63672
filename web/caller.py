"""Who is asking: the one place where the caller of a request is determined.

Authentication will be decided here; until then callers say who they are.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from flask import g, request

from application import tracing
from application.store.work import Context
from web.problems import BadRequest

ANONYMOUS = "anonymous"

_visible = re.compile(r"[\x21-\x7e]{1,128}").fullmatch


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, through which request, from where."""

    actor: str
    request_id: str
    ip: str

    def context(self, at: datetime | None = None) -> Context:
        """What a command records about them; `at` is when it happened, if not now."""
        return Context(actor=self.actor, request_id=self.request_id, ip=self.ip, at=at)


def caller() -> Caller:
    """The caller of the current request."""
    return g.caller  # type: ignore[no-any-return]


def identify() -> None:
    """Determine the caller before anything else; an actor that is no name is refused."""
    environ = request.environ
    actor = environ.get("HTTP_X_ACTOR", ANONYMOUS)
    g.caller = Caller(
        actor=actor if _visible(actor) else ANONYMOUS,
        request_id=tracing.request_id(),
        ip=environ.get("REMOTE_ADDR", ""),
    )
    if g.caller.actor != actor:
        raise BadRequest("X-Actor has 1 to 128 visible ASCII characters.")
