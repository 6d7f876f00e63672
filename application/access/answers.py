"""Answers about accounts, sessions and keys, kept for who asks again under an idempotency key.

They hold tokens and secrets, so they are sealed by the master key, and kept apart from the answers
of commands, which belong to the log. An answer about an account is deleted with it.
"""

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from msgspec.structs import replace
from sqlalchemy import Connection, delete, func, select

from application.store.database import is_postgres, vault_of
from application.store.tables import access_answers
from application.store.work import Key
from application.store.writes import writes_to
from domain.errors import Conflict


class AnswerLost(Conflict):
    title = "This was done before, and its answer can no longer be read"


class Answer(NamedTuple):
    """An HTTP status, the body as it was sent, and, if any, the account that it is about and the
    position in the log of what was recorded."""

    status: int
    body: bytes
    account_id: UUID | None = None
    position: int | None = None


def find(connection: Connection, key: Key) -> Answer | None:
    """The answer that is kept under the key.

    Raises `IdempotencyKeyReused` if it answered another request, and `AnswerLost` if it does not
    open, which means that it was altered.
    """
    row = connection.execute(
        select(access_answers).where(
            access_answers.c.id == key.id, access_answers.c.expires_at > datetime.now(UTC)
        )
    ).first()
    if row is None:
        return None
    replace(key, fingerprint=row.fingerprint).require_same(key)
    try:
        body = vault_of(connection).open(bytes(row.sealed), key.id)
    except InvalidTag:
        raise AnswerLost from None
    return Answer(row.status, body, row.account_id, row.position)


def lock(connection: Connection, key: Key) -> None:
    """Wait until nobody else acts under the key, until the transaction ends.

    SQLite has one transaction at a time that writes.
    """
    if is_postgres(connection):
        number = int.from_bytes(key.id.bytes[:8], signed=True)
        connection.execute(select(func.pg_advisory_xact_lock(number)))


def keep(connection: Connection, key: Key, answer: Answer) -> None:
    """Keep the answer until the key expires, in place of one that has expired."""
    sealed = vault_of(connection).seal(answer.body, key.id)
    row = (
        key.id,
        key.fingerprint,
        answer.status,
        sealed,
        answer.account_id,
        key.expires_at,
        answer.position,
    )
    with writes_to(connection) as writes:
        writes.upsert(access_answers, [row])


def forget_expired(connection: Connection) -> int:
    """Delete what is past its time; how many that were."""
    return connection.execute(
        delete(access_answers).where(access_answers.c.expires_at <= datetime.now(UTC))
    ).rowcount
