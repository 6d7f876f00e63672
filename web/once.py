"""Changes of accounts, sessions and keys, each made once however often it is asked for.

The change and the keeping of its answer are one transaction, which begins by waiting for whoever
asks under the same idempotency key. What takes long, such as hashing a password, comes before it.
Only what took effect is kept: a refusal has changed nothing, and is decided anew.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple
from uuid import UUID

from flask import Response
from sqlalchemy import Connection

from application.access import answers
from application.access.answers import Answer
from application.store.work import Key
from domain.errors import DomainError
from web.current import asked, noted, turnstile
from web.encoding import JSON, JSONResponse, encode
from web.idempotency import ENDING_THE_SESSION, access_keys
from web.problems import REPLAYED


class Outcome(NamedTuple):
    """The answer to a change, and, if any, the account that it is about and the position in the log
    of what was recorded.

    `afterwards` is what follows once the change is durable, and may be lost.
    """

    body: Any = None
    status: int = 200
    account_id: UUID | None = None
    afterwards: Callable[[], None] | None = None
    position: int | None = None


Change = Callable[[Connection], Outcome | DomainError]
"""Makes the change in a transaction. An error that it raises leaves no trace; an error that it
returns is reported as well, but what it has written stays."""


def once(prepare: Callable[..., Any]) -> Callable[..., Response]:
    """Make the `Change` that the view prepares, and answer with what came of it; or, if it was made
    before under the same idempotency key, with the answer that was kept."""

    @wraps(prepare)
    def view(**ids: Any) -> Response:
        keys = access_keys()
        if not keys:
            return _made(prepare(**ids))
        try:
            return _kept(keys) or _made(prepare(**ids), keys)
        except DomainError:
            # It may be what the same request has done a moment ago that refuses this one.
            kept = _kept(keys)
            if kept is None:
                raise
            return kept

    return view


def kept_for_who_left() -> Response | None:
    """The stored answer for a client that repeats the log-out or password change which ended its
    session; None for all others."""
    if "refusal" not in noted() or asked().endpoint not in ENDING_THE_SESSION:
        return None
    keys = access_keys()
    return _kept(keys) if keys else None


def _kept(keys: Sequence[Key]) -> Response | None:
    with turnstile().engine.connect() as connection:
        answer = _find(connection, keys)
    return None if answer is None else _respond(answer, REPLAYED)


def _find(connection: Connection, keys: Sequence[Key]) -> Answer | None:
    """The answer under the first key; raises `IdempotencyKeyReused` where any had another body."""
    found = [answers.find(connection, key) for key in keys]
    return found[0] if found else None


def _made(change: Change, keys: Sequence[Key] = ()) -> Response:
    with turnstile().access.changing() as connection:
        for key in keys:
            answers.lock(connection, key)
        kept = _find(connection, keys)
        if kept is not None:
            return _respond(kept, REPLAYED)
        outcome = change(connection)
        if isinstance(outcome, Outcome):
            answer = _answer(outcome)
            for key in keys:
                answers.keep(connection, key, answer)
    if isinstance(outcome, DomainError):
        raise outcome
    if outcome.afterwards is not None:
        outcome.afterwards()
    return _respond(answer)


def _answer(outcome: Outcome) -> Answer:
    body = b"" if outcome.body is None else encode(outcome.body)
    return Answer(outcome.status, body, outcome.account_id, outcome.position)


def _respond(answer: Answer, *headers: tuple[str, str]) -> Response:
    if not answer.body:
        return Response(status=answer.status, headers=headers)
    if answer.position is not None:
        headers = (*headers, ("Turnstile-Position", str(answer.position)))
    return JSONResponse(answer.body, answer.status, [("Content-Type", JSON), *headers])
