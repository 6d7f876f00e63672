"""Idempotency keys: whose they are, and what makes a request the same one again."""

import hashlib
import re
from datetime import UTC, datetime, timedelta

import msgspec

from application.store.database import vault_of
from application.store.work import Key
from web.caller import caller, credential
from web.current import asked, turnstile
from web.parsing import json_body
from web.problems import BadRequest
from web.tokens import session_of_access

KEEP_ANSWERS = timedelta(hours=24)

ENDING_THE_SESSION = ("accounts.log_out", "accounts.change_password")
"""Who asks for these again is let in no more, and is known by the session that they had."""

_key_form = re.compile(r"[\x20-\x7e]{1,255}").fullmatch
_canonical = msgspec.json.Encoder(order="deterministic").encode


def idempotency_key() -> Key | None:
    """The key of the request, which belongs to its caller, method and path; None without one."""
    given = _given()
    if given is None:
        return None
    return _key(given, caller().actor, hashlib.sha256(_asked()).hexdigest())


def access_keys() -> tuple[Key, ...]:
    """The keys of a request about access, fingerprinted so that a password in it cannot be guessed;
    empty without a header.

    Where nobody is known who could ask again, the key belongs to whoever asks the same, from
    wherever; and to the address that it came from, where it is good for nothing else.
    """
    given = _given()
    if given is None:
        return ()
    whose, fingerprint = _whose(), access_fingerprint()
    nobody = caller().actor
    owners = [whose] if whose else [f"{nobody} {fingerprint}", f"{nobody} at {caller().ip}"]
    return tuple(_key(given, owner, fingerprint) for owner in owners)


def access_fingerprint() -> str:
    """A keyed digest of the request: without the master key, a guessed password cannot be checked
    against it."""
    return vault_of(turnstile().engine).fingerprint(_asked())


def _whose() -> str | None:
    if asked().endpoint in ENDING_THE_SESSION:
        return f"session:{session_of_access(credential() or '')}"
    identity = caller().identity
    return None if identity.id is None else identity.actor


def _given() -> str | None:
    given: str | None = asked().environ.get("HTTP_IDEMPOTENCY_KEY")
    if given is not None and not _key_form(given):
        raise BadRequest("Idempotency-Key has 1 to 255 ASCII characters.")
    return given


def _asked() -> bytes:
    return f"{asked().method} {asked().path}\n".encode() + _canonical(json_body())


def _key(given: str, whose: str, fingerprint: str) -> Key:
    return Key(
        scope=f"{whose} {asked().method} {asked().path}",
        key=given,
        fingerprint=fingerprint,
        expires_at=datetime.now(UTC) + KEEP_ANSWERS,
    )
