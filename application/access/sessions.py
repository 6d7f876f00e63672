"""Sessions: from a log-in to the log-out, and the one refresh token that each has at a time."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update

from application.access.accounts import Account, get, hold
from application.access.identity import Identity, Unauthorized
from application.store.tables import accounts, sessions
from domain.ids import uuid7

LIFETIME = timedelta(days=30)
"""Since the latest refresh."""


def begin(
    connection: Connection, account: Account, password_hash: str | None = None
) -> tuple[UUID, UUID]:
    """A new session's id, and that of its refresh token.

    Raises `Unauthorized` if the account was disabled or erased meanwhile, or no longer has the
    `password_hash` that the password was checked against, which takes a while.
    """
    session_id, refresh_id, now = uuid7(), uuid7(), datetime.now(UTC)
    hold(connection, account.id, password_hash)
    connection.execute(
        insert(sessions).values(
            id=session_id,
            account_id=account.id,
            refresh_id=refresh_id,
            began_at=now,
            expires_at=now + LIFETIME,
        )
    )
    return session_id, refresh_id


def go_on(
    connection: Connection, session_id: UUID, refresh_id: UUID
) -> tuple[Account, UUID] | None:
    """The session's account, and the id of the refresh token that replaces this one.

    A refresh token is good once. None for one that comes a second time: it was stolen, or its
    successor was, and the session ends (RFC 9700, section 4.14.2).
    """
    renewed, now = uuid7(), datetime.now(UTC)
    # The account first, as all others do: who erases it waits, instead of each for the other.
    owner = select(accounts.c.id).join(sessions).where(sessions.c.id == session_id)
    connection.execute(owner.with_for_update(read=True, key_share=True, of=accounts))
    mine = (sessions.c.id == session_id, sessions.c.expires_at > now)
    replaced = connection.execute(
        update(sessions)
        .where(*mine, sessions.c.refresh_id == refresh_id)
        .values(refresh_id=renewed, expires_at=now + LIFETIME)
        .returning(sessions.c.account_id)
    ).first()
    if replaced is None:
        end(connection, session_id)
        return None
    return get(connection, replaced.account_id), renewed


def end(connection: Connection, session_id: UUID) -> None:
    """Log out; a session that has ended stays so."""
    connection.execute(delete(sessions).where(sessions.c.id == session_id))


def identity(connection: Connection, session_id: UUID) -> Identity:
    """Whose session it is; raises `Unauthorized` for one that has ended."""
    query = (
        select(accounts.c.role, accounts.c.id, accounts.c.subject_id)
        .join_from(sessions, accounts, accounts.c.id == sessions.c.account_id)
        .where(sessions.c.id == session_id, sessions.c.expires_at > datetime.now(UTC))
        .where(accounts.c.disabled.is_(False))
    )
    row = connection.execute(query).first()
    if row is None:
        raise Unauthorized("The session has ended.")
    return Identity(row.role, row.id, row.subject_id)


def forget_expired(connection: Connection) -> int:
    """Delete the sessions that are over; how many that were."""
    return connection.execute(
        delete(sessions).where(sessions.c.expires_at <= datetime.now(UTC))
    ).rowcount
