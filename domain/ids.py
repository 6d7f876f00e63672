"""Identifiers and secrets, all made before the event that stores them."""

import base64
import secrets
import time
from uuid import UUID, uuid5

_RANDOM_BITS = 74
_DERIVED = UUID("6d1b6bd4-3c0e-5f5c-9d6c-6f1f1a4d6a01")
_ID_BYTES = 16
_TOKEN_BYTES = 16


def uuid7() -> UUID:
    """A new id that sorts by time: UUID version 7 (RFC 9562, section 5.7)."""
    milliseconds = time.time_ns() // 1_000_000
    noise = secrets.randbits(_RANDOM_BITS)
    return UUID(
        int=(milliseconds & (1 << 48) - 1) << 80
        | 0x7 << 76
        | (noise >> 62) << 64
        | 0b10 << 62
        | noise & (1 << 62) - 1
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
