"""Who is asking: the one place where the caller of a request is determined."""

import hmac
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from application import tracing
from application.access import api_keys, sessions
from application.access.identity import NOBODY, SERVICE, Identity, Unauthorized
from application.store.work import Context
from web import tokens
from web.current import asked, noted, turnstile

Counting = Callable[[], AbstractContextManager[None]]
"""Counts those who are refused inside, and raises before, once they are too many."""

MONITORING = Identity(SERVICE, scopes=frozenset({"metrics:read"}))

_bearer = re.compile(r"Bearer +([\x21-\x7e]{1,4096})", re.IGNORECASE).fullmatch


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, through which request, from where."""

    identity: Identity
    request_id: str
    ip: str

    @property
    def actor(self) -> str:
        """What is recorded of who they are."""
        return self.identity.actor

    def context(self, told_at: datetime | None = None) -> Context:
        """What a command records about them; `told_at` is when it happened by their clock."""
        return Context(actor=self.actor, request_id=self.request_id, ip=self.ip, told_at=told_at)


def caller() -> Caller:
    """The caller of the current request."""
    return noted().caller  # type: ignore[no-any-return]


def identify(counting_wrong_keys: Counting) -> None:
    """Determine the caller before anything else; bad credentials are kept for `admit` to refuse."""
    request_id, ip = tracing.request_id(), asked().environ.get("REMOTE_ADDR", "")
    noted().caller = Caller(NOBODY, request_id, ip)  # also for the refusal, should there be one
    try:
        noted().caller = Caller(_identity(credential(), counting_wrong_keys), request_id, ip)
    except Unauthorized as refusal:
        noted().refusal = refusal


def credential() -> str | None:
    """The bearer token or API key of the request; None for a request without."""
    environ = asked().environ
    header = environ.get("HTTP_AUTHORIZATION")
    key = environ.get("HTTP_X_API_KEY")
    if header is None and key is None:
        return None
    matched = _bearer(header if header is not None else f"Bearer {key}")
    if matched is None:
        raise Unauthorized("Send 'Authorization: Bearer' with an access token or an API key.")
    return matched[1]


def _identity(shown: str | None, counting_wrong_keys: Counting) -> Identity:
    if shown is None:
        return NOBODY
    access = turnstile().access
    known = access.remembered(shown)
    if known is not None:
        return known
    if _is_monitoring(shown):
        return MONITORING
    if not shown.startswith(api_keys.PREFIX):
        # Only we can have signed it, so nobody makes up one that is worth a look.
        session_id = tokens.session_of_access(shown)
        return access.look_up(partial(sessions.identity, session_id=session_id))
    # What others from the same address make up keeps out no key that was good.
    with nullcontext() if access.was_good(shown) else counting_wrong_keys():
        try:
            found = access.look_up(partial(_of_key, shown=shown))
        except Unauthorized:
            access.forget(shown)
            raise
    access.remember(shown, found)
    return found


def _of_key(connection: Connection, shown: str) -> Identity:
    return api_keys.with_secret(connection, shown).identity()


def _is_monitoring(shown: str) -> bool:
    """METRICS_TOKEN needs no database: what is monitored may be down."""
    token = turnstile().settings.metrics_token
    return token is not None and hmac.compare_digest(shown.encode(), token.encode())
