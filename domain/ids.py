"""Identifiers and secrets, all made before the event that stores them."""

import base64
import os
import secrets
import time
from collections import deque
from uuid import UUID, uuid5

_NOISE_BYTES = 10
_NOISE_AHEAD = 512
_noise: deque[bytes] = deque()
"""Random bytes for the next ids. Each call of the operating system gives the interpreter away, to
be waited for again: in a rush, by whoever holds the lock of the log."""
os.register_at_fork(after_in_child=_noise.clear)
_DERIVED = UUID("6d1b6bd4-3c0e-5f5c-9d6c-6f1f1a4d6a01")
_ID_BYTES = 16
_TOKEN_BYTES = 16


def uuid7() -> UUID:
    """A new id that sorts by time: UUID version 7 (RFC 9562, section 5.7)."""
    milliseconds = time.time_ns() // 1_000_000
    noise = int.from_bytes(_next_noise())
    return UUID(
        int=(milliseconds & (1 << 48) - 1) << 80
        | 0x7 << 76
        | (noise >> 62 & 0xFFF) << 64
        | 0b10 << 62
        | noise & (1 << 62) - 1
    )


def _next_noise() -> bytes:
    while True:
        try:
            return _noise.pop()
        except IndexError:
            fresh = os.urandom(_NOISE_BYTES * _NOISE_AHEAD)
            _noise.extend(
                fresh[start : start + _NOISE_BYTES] for start in range(0, len(fresh), _NOISE_BYTES)
            )


def derived_id(*parts: str) -> UUID:
    """The id that always belongs to `parts`: another system's reference, or a secret."""
    return uuid5(_DERIVED, "\x1f".join(parts))


def new_secret(ticket_id: UUID) -> str:
    """A ticket's new secret: 43 URL-safe characters, its id followed by 128 random bits.

    The id inside lets a gate find the ticket without any index that could lag behind.
    """
    return base64.urlsafe_b64encode(ticket_id.bytes + secrets.token_bytes(_TOKEN_BYTES))[
        :-1
    ].decode()


def ticket_id_in(secret: str) -> UUID | None:
    """The id of the ticket that `secret` claims to be for; None when it has not our form."""
    try:
        raw = base64.b64decode(secret + "=", altchars=b"-_", validate=True)
    except ValueError:
        return None
    return UUID(bytes=raw[:_ID_BYTES]) if len(raw) == _ID_BYTES + _TOKEN_BYTES else None
