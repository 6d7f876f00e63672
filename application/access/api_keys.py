"""API keys of devices and services: shown once, stored as a digest, with an end.

A key is 32 random bytes, so its SHA-256 digest needs neither salt nor a slow hash.
"""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection, RowMapping, insert, select, update

from application.access.identity import GATE, OF_KEYS, SCOPES, SERVICE, Identity, Unauthorized
from application.store.tables import api_keys
from domain.errors import Invalid, NotFound
from domain.ids import uuid7

PREFIX = "turnstile_"
"""So that a key that leaked is recognised as one, by people and by scanners."""


@dataclass(frozen=True)
class ApiKey:
    """A key without what is secret of it; see `Identity` for what limits it."""

    id: UUID
    name: str
    role: str
    subject_id: UUID | None
    event_ids: tuple[UUID, ...]
    scopes: tuple[str, ...]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None

    def identity(self) -> Identity:
        """Its bearer, as the rules see them."""
        return Identity(
            self.role, self.id, self.subject_id, frozenset(self.event_ids), frozenset(self.scopes)
        )


def create(
    connection: Connection,
    *,
    name: str,
    role: str,
    created_by: str,
    subject_id: UUID | None = None,
    event_ids: Collection[UUID] = (),
    scopes: Collection[str] = (),
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key, and the secret that its bearer shows, which nobody can show again.

    Raises `Invalid` for a gate without events, a service without scopes, or an end in the past.
    """
    _require_sound(role, event_ids, scopes, expires_at)
    secret = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=uuid7(),
        name=name,
        role=role,
        subject_id=subject_id,
        event_ids=tuple(event_ids),
        scopes=tuple(scopes),
        created_by=created_by,
        created_at=datetime.now(UTC),
        expires_at=expires_at,
    )
    lists = {"event_ids": _text(key.event_ids), "scopes": _text(key.scopes)}
    connection.execute(insert(api_keys).values(**vars(key) | lists, digest=_digest(secret)))
    return key, secret


def with_secret(connection: Connection, secret: str) -> ApiKey:
    """The key with this secret; raises `Unauthorized` unless it may be used now."""
    shown = select(api_keys).where(api_keys.c.digest == _digest(secret))
    row = connection.execute(shown).mappings().first()
    if row is None:
        raise Unauthorized("There is no such API key.")
    key = read(row)
    if key.revoked_at is not None:
        raise Unauthorized("The API key was revoked.")
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        raise Unauthorized("The API key has expired.")
    return key


def get(connection: Connection, key_id: UUID) -> ApiKey:
    """Raises `NotFound`."""
    row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).mappings().first()
    if row is None:
        raise NotFound(f"There is no API key {key_id}.")
    return read(row)


def revoke(connection: Connection, key_id: UUID) -> ApiKey:
    """Nobody comes in with it from now on, and that stays so; raises `NotFound`."""
    connection.execute(
        update(api_keys)
        .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=datetime.now(UTC))
    )
    return get(connection, key_id)


def read(row: RowMapping | dict[str, Any]) -> ApiKey:
    """The key of a row of the table."""
    columns = {name: row[name] for name in ApiKey.__dataclass_fields__}
    columns["event_ids"] = msgspec.json.decode(row["event_ids"], type=tuple[UUID, ...])
    columns["scopes"] = msgspec.json.decode(row["scopes"], type=tuple[str, ...])
    return ApiKey(**columns)


def _require_sound(
    role: str, event_ids: Collection[UUID], scopes: Collection[str], expires_at: datetime | None
) -> None:
    if role not in OF_KEYS:
        raise Invalid(f"The role of a key is one of {', '.join(OF_KEYS)}.", "role")
    if (role == GATE) != bool(event_ids):
        raise Invalid(
            "The key of a gate, and no other, names the events that it scans for.", "event_ids"
        )
    if (role == SERVICE) != bool(scopes):
        raise Invalid("The key of a service, and no other, names its scopes.", "scopes")
    if unknown := set(scopes) - set(SCOPES):
        raise Invalid(f"There is no scope {', '.join(sorted(unknown))}.", "scopes")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise Invalid("The key would have expired already.", "expires_at")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _text(values: Collection[Any]) -> str:
    return msgspec.json.encode(values).decode()
