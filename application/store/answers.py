"""Stored answers: what a command with an idempotency key came to, kept beside its events."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import BindParameter, Connection, Row, bindparam, delete, select

from application.store.sealing import Keys, is_personal, is_sealed
from application.store.tables import idempotency
from application.store.work import Answer, Key
from application.store.writes import Writes
from domain.errors import Conflict, DomainError

SLICE = 500


class StoredAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an answer; or the rule and the words of a refusal, which may be `recorded` at
    that position."""

    position: int
    body: dict[str, Any] | None = None
    rule: str = ""
    detail: str = ""
    field: str = ""
    recorded: bool = False

    def give(self) -> Answer | DomainError:
        """The answer or the refusal, as it was given first."""
        if self.body is not None:
            return Answer(self.body, self.position, replayed=True)
        refusal = _kind(self.rule)(self.detail, self.field)
        refusal.replayed = True
        if self.recorded:
            refusal.position = self.position
        return refusal


class KeptAnswer(msgspec.Struct, frozen=True):
    """A stored answer with the request that it belongs to."""

    fingerprint: str
    answer: StoredAnswer

    def answer_to(self, key: Key) -> StoredAnswer:
        """Raises `IdempotencyKeyReused` when `key` now comes with another request."""
        Key(key.scope, key.key, self.fingerprint).require_same(key)
        return self.answer


class StoredRow(NamedTuple):
    """A row of the table, as far as it is read."""

    id: UUID
    scope: str
    key: str
    fingerprint: str
    answer: str
    expires_at: datetime | None


Kept = dict[tuple[str, str], KeptAnswer]
"""Stored answers by scope and key."""


def find(connection: Connection, keys: Sequence[Key]) -> Kept:
    """What is kept under those keys; what has expired makes room."""
    ids = [key.id for key in keys]
    rows: list[Row[Any]] = []
    for start in range(0, len(ids), SLICE):
        rows += connection.execute(_KEPT, {"ids": ids[start : start + SLICE]})
    return unexpired(connection, rows)


def unexpired(connection: Connection, rows: Iterable[Any]) -> Kept:
    """These rows of the table, without those that have expired: they are deleted."""
    now = datetime.now(UTC)
    found: Kept = {}
    expired = []
    for row in rows:
        if row.expires_at is not None and row.expires_at <= now:
            expired.append(row.id)
            continue
        found[row.scope, row.key] = KeptAnswer(row.fingerprint, _opened(connection, row))
    if expired:
        connection.execute(delete(idempotency).where(idempotency.c.id.in_(expired)))
    return found


def keep(writes: Writes, new: Iterable[tuple[Key, StoredAnswer]], keys: Keys) -> None:
    """Keep each answer under its key; what is personal in it is sealed like the log."""
    now = datetime.now(UTC)
    rows = [
        (
            key.id,
            key.scope,
            key.key,
            key.fingerprint,
            _sealed(keys, answer, key.id),
            now,
            key.expires_at,
        )
        for key, answer in new
    ]
    writes.insert(idempotency, rows)


def forget(connection: Connection, key: Key) -> None:
    """Delete the answer that is kept under the key."""
    connection.execute(delete(idempotency).where(idempotency.c.id == key.id))


def forget_expired(connection: Connection) -> int:
    """Delete what is past its time; how many that were."""
    return connection.execute(
        delete(idempotency).where(idempotency.c.expires_at <= datetime.now(UTC))
    ).rowcount


def _sealed(keys: Keys, answer: StoredAnswer, key_id: UUID) -> str:
    body = answer.body
    if body is not None and is_personal(body):
        answer = msgspec.structs.replace(answer, body=keys.seal(body["id"], body, key_id.bytes))
    return msgspec.json.encode(answer).decode()


def _opened(connection: Connection, row: Any) -> StoredAnswer:
    answer = msgspec.json.decode(row.answer, type=StoredAnswer)
    if not is_sealed(row.answer) or answer.body is None:
        return answer
    text = Keys(connection).open(UUID(answer.body["id"]), row.answer, row.id.bytes)
    return msgspec.json.decode(text, type=StoredAnswer)


@cache
def _kind(rule: str) -> type[DomainError]:
    """Looked up when it is asked for: by then all errors have been imported."""
    return next((kind for kind in DomainError.kinds() if kind.rule() == rule), Conflict)


_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_KEPT = select(idempotency).where(idempotency.c.id.in_(_IDS))
