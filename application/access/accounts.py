"""Accounts of people: made, looked up by their password, disabled."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from application.access import passwords
from application.access.access import Access
from application.access.identity import ATTENDEE, OF_PEOPLE, ORGANIZER, Identity, Unauthorized
from application.access.tables import accounts, api_keys, sessions
from application.store.snapshots import load_stream
from domain.customer import Customer
from domain.errors import Conflict, Invalid, NotFound
from domain.ids import uuid7


class EmailTaken(Conflict):
    title = "There is an account with this e-mail address"


@dataclass(frozen=True)
class Account:
    """A person who may log in; see `Identity` for `subject_id`."""

    id: UUID
    email: str
    role: str
    subject_id: UUID | None
    disabled: bool
    created_at: datetime

    def identity(self) -> Identity:
        """Who its owner is to the rules."""
        return Identity(self.role, self.id, self.subject_id)


def normal(email: str) -> str:
    """The e-mail address as accounts compare it: whoever has one is one, however it is typed."""
    return email.strip().casefold()


def create(
    access: Access, email: str, password: str, role: str, subject_id: UUID | None = None
) -> Account:
    """A new account; an organizer without `subject_id` becomes a new organizer.

    Raises `EmailTaken`, `WeakPassword`, and `Invalid` for an attendee who is no customer.
    """
    if role not in OF_PEOPLE:
        raise Invalid(f"A role is one of {', '.join(OF_PEOPLE)}.")
    if role == ATTENDEE and subject_id is None:
        raise Invalid("An attendee is a customer: say which.")
    passwords.require_strong(password, email)
    account = Account(
        id=uuid7(),
        email=normal(email),
        role=role,
        subject_id=uuid7() if role == ORGANIZER and subject_id is None else subject_id,
        disabled=False,
        created_at=datetime.now(UTC),
    )
    hashed = passwords.hash_of(password)
    with access.changing() as connection:
        if role == ATTENDEE:
            _require_customer(connection, account.subject_id)
        try:
            connection.execute(insert(accounts).values(**vars(account), password_hash=hashed))
        except IntegrityError:
            raise EmailTaken from None
    return account


def require_acceptable(access: Access, email: str, password: str) -> None:
    """Raise `WeakPassword` or `EmailTaken` before anything is made for the account."""
    passwords.require_strong(password, email)
    if _row(access, accounts.c.email == normal(email)) is not None:
        raise EmailTaken


def log_in(access: Access, email: str, password: str) -> tuple[Account, str]:
    """The account with this e-mail address and password, and the hash that it was held against.

    Raises `Unauthorized`, whichever of them is wrong, after the same time.
    """
    row = _row(access, accounts.c.email == normal(email))
    right = passwords.is_right(password, row.password_hash if row else None)
    if row is None or not right or row.disabled:
        raise Unauthorized("The e-mail address or the password is wrong.")
    return _account(row), row.password_hash


def change_password(access: Access, account_id: UUID, current: str, new: str) -> Account:
    """Give the account another password, and end all its sessions; raises `Unauthorized`."""
    row = _row_of(access, account_id, current)
    passwords.require_strong(new, row.email)
    hashed = passwords.hash_of(new)
    with access.changing() as connection:
        mine = accounts.c.id == account_id
        connection.execute(update(accounts).where(mine).values(password_hash=hashed))
        connection.execute(delete(sessions).where(sessions.c.account_id == account_id))
    return _account(row)


def change_email(access: Access, account_id: UUID, password: str, email: str) -> Account:
    """Let its owner log in with another e-mail address; their sessions go on.

    Raises `Unauthorized`, `WeakPassword` and `EmailTaken`.
    """
    row = _row_of(access, account_id, password)
    passwords.require_strong(password, email)
    still = (accounts.c.id == account_id, accounts.c.password_hash == row.password_hash)
    renamed = update(accounts).where(*still).values(email=normal(email)).returning(accounts)
    with access.changing() as connection:
        try:
            changed = connection.execute(renamed).first()
        except IntegrityError:
            raise EmailTaken from None
    if changed is None:
        raise Unauthorized("The account was changed meanwhile; log in again.")
    return _account(changed)


def forget(connection: Connection, account_id: UUID) -> None:
    """Delete the account; raises `NotFound`. Its sessions end, the keys it has made are revoked."""
    disable(connection, account_id)
    connection.execute(delete(accounts).where(accounts.c.id == account_id))


def disable(connection: Connection, account_id: UUID, disabled: bool = True) -> Account:
    """Let its owner in no more, or again; raises `NotFound`.

    The keys that they have made are revoked, and stay so.
    """
    found = get(connection, account_id)
    connection.execute(
        update(accounts).where(accounts.c.id == account_id).values(disabled=disabled)
    )
    if disabled:
        connection.execute(delete(sessions).where(sessions.c.account_id == account_id))
        connection.execute(
            update(api_keys)
            .where(api_keys.c.created_by == found.identity().actor, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=datetime.now(UTC))
        )
    return Account(**{**vars(found), "disabled": disabled})


def get(connection: Connection, account_id: UUID) -> Account:
    """Raises `NotFound`."""
    row = connection.execute(select(accounts).where(accounts.c.id == account_id)).first()
    if row is None:
        raise NotFound(f"There is no account {account_id}.")
    return _account(row)


def of_subject(connection: Connection, subject_id: UUID) -> list[Account]:
    """The accounts that act for this customer, or this organizer."""
    rows = connection.execute(select(accounts).where(accounts.c.subject_id == subject_id))
    return [_account(row) for row in rows]


def _require_customer(connection: Connection, customer_id: UUID | None) -> None:
    customer = None if customer_id is None else load_stream(connection, customer_id)
    if not isinstance(customer, Customer) or customer.erased:
        raise Invalid(f"There is no customer {customer_id}, or none any more.")


def _row(access: Access, condition: ColumnElement[bool]) -> Any:
    """The connection goes back at once: hashing a password takes long."""
    with access.engine.connect() as connection:
        return connection.execute(select(accounts).where(condition)).first()


def _row_of(access: Access, account_id: UUID, password: str) -> Any:
    """Raises `Unauthorized` for another password than the account's."""
    row = _row(access, accounts.c.id == account_id)
    if row is None or not passwords.is_right(password, row.password_hash):
        raise Unauthorized("The current password is wrong.")
    return row


def _account(row: Any) -> Account:
    return Account(**{name: getattr(row, name) for name in Account.__dataclass_fields__})
