"""From a request to a command, and from its answer to a response."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response

from application.store.work import Answer, Command, Key
from domain.errors import Stale
from web.caller import caller
from web.current import asked, turnstile
from web.encoding import JSON, JSONResponse, encode
from web.idempotency import idempotency_key
from web.permissions import permit_command
from web.problems import REPLAYED, BadRequest

UseCase = Callable[..., Any]
Present = Callable[[Any], dict[str, Any]]

_etag_form = re.compile(r'\s*(?:W/)?"(\d{1,9})"\s*').fullmatch


def create(use_case: UseCase, present: Present, makes: UUID, **arguments: Any) -> Response:
    """Run a command that makes what the collection at this path lists, under a new id."""
    answer = _run(use_case, present, None, arguments, makes=makes)
    return _respond(answer, 201, ("Location", f"{asked().path}/{answer.body['id']}"))


def record(
    use_case: UseCase,
    present: Present,
    target: UUID | None = None,
    keys: Sequence[Key] = (),
    told_at: datetime | None = None,
    **arguments: Any,
) -> Response:
    """Run a command that adds something which has no address of its own.

    `target` is the aggregate whose version `If-Match` names; `told_at` is when it happened by the
    caller's clock.
    """
    return _respond(_run(use_case, present, target, arguments, keys, told_at), 201)


def change(use_case: UseCase, present: Present, target: UUID, **arguments: Any) -> Response:
    """Run a command on what exists: `target`, whose version `If-Match` names."""
    return _respond(_run(use_case, present, target, arguments), 200)


def _run(
    use_case: UseCase,
    present: Present,
    target: UUID | None,
    arguments: dict[str, Any],
    keys: Sequence[Key] = (),
    told_at: datetime | None = None,
    makes: UUID | None = None,
) -> Answer:
    environ = asked().environ
    key, expected = idempotency_key(), None
    if "HTTP_IF_MATCH" in environ:
        expected = _expected_version(environ["HTTP_IF_MATCH"], target)
    if key is not None:
        keys = (*keys, key)
    return turnstile().executor.execute(
        Command(
            use_case,
            arguments,
            caller().context(told_at),
            present,
            tuple(keys),
            target if expected is not None else None,
            expected,
            makes,
            permit_command(arguments),
        )
    )


def _respond(answer: Answer, status: int, *headers: tuple[str, str]) -> Response:
    told = [
        ("Content-Type", JSON),
        ("Turnstile-Position", str(answer.position)),
        ("ETag", f'"{answer.version}"'),
        *headers,
    ]
    if answer.replayed:
        told.append(REPLAYED)
    return JSONResponse(encode({**answer.body, "position": answer.position}), status, told)


def _expected_version(if_match: str, target: UUID | None) -> int | None:
    """The version in `If-Match`; None for `*`, since a command on nothing is refused anyway.

    A weak tag is taken as well: proxies that compress an answer weaken its tag.
    """
    if target is None:
        raise Stale("Nothing exists yet whose version could match.")
    if if_match.strip() == "*":
        return None
    named = _etag_form(if_match)
    if named is None:
        raise BadRequest('If-Match is the ETag of an earlier answer, like "7", or *.')
    return int(named[1])
