"""Accounts of people: made, looked up by their password, disabled."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from application.access import passwords
from application.access.access import Access
from application.access.identity import ATTENDEE, OF_PEOPLE, ORGANIZER, Identity, Unauthorized
from application.store.snapshots import load_stream
from application.store.tables import accounts, api_keys, customer_keys, sessions
from domain.customer import Customer
from domain.errors import Conflict, Invalid, NotFound, within
from domain.ids import uuid7

CHANGED_MEANWHILE = "The account was changed meanwhile; log in again."


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
        """Its owner, as the rules see them."""
        return Identity(self.role, self.id, self.subject_id)


def normal(email: str) -> str:
    """The e-mail address as accounts compare it: without blanks around it, whatever its case."""
    return email.strip().casefold()


class Prepared(NamedTuple):
    """An account, and the hash of the password that it is to have.

    Of an account that exists, `held_against` is the hash that its owner's password was held
    against: who changes it must find it unchanged.
    """

    account: Account
    password_hash: str
    held_against: str = ""

    def of(self, subject_id: UUID) -> "Prepared":
        """The same account for this customer or organizer."""
        return self._replace(account=replace(self.account, subject_id=subject_id))


def create(
    access: Access, email: str, password: str, role: str, subject_id: UUID | None = None
) -> Account:
    """A new account; raises what `prepare` and `add` raise."""
    new = prepare(email, password, role, subject_id)
    with access.changing() as connection:
        return add(connection, new)


def prepare(email: str, password: str, role: str, subject_id: UUID | None = None) -> Prepared:
    """The slow part of making an account: checks and hashing, done outside the transaction.

    An organizer without `subject_id` becomes a new organizer. Raises `WeakPassword`, and `Invalid`
    for an attendee without a customer, or an admin or auditor with a `subject_id`.
    """
    if role not in OF_PEOPLE:
        raise Invalid(f"A role is one of {', '.join(OF_PEOPLE)}.")
    if role == ATTENDEE and subject_id is None:
        raise Invalid("An attendee is a customer: say which.", "subject_id")
    if role not in (ATTENDEE, ORGANIZER) and subject_id is not None:
        raise Invalid(f"An {role} is neither a customer nor an organizer.", "subject_id")
    with within("password"):
        passwords.require_strong(password, email)
    account = Account(
        id=uuid7(),
        email=normal(email),
        role=role,
        subject_id=uuid7() if role == ORGANIZER and subject_id is None else subject_id,
        disabled=False,
        created_at=datetime.now(UTC),
    )
    return Prepared(account, passwords.hash_of(password))


def add(connection: Connection, new: Prepared) -> Account:
    """Let there be the account; raises `EmailTaken`, and `Invalid` for an attendee who is no
    customer."""
    account, hashed, _ = new
    if account.role == ATTENDEE:
        _require_customer(connection, account.subject_id)
    try:
        connection.execute(insert(accounts).values(**vars(account), password_hash=hashed))
    except IntegrityError:
        raise EmailTaken from None
    return account


def require_acceptable(access: Access, email: str, password: str) -> None:
    """Raise `WeakPassword` or `EmailTaken` before anything is made for the account."""
    with within("password"):
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


def prepare_password(access: Access, account_id: UUID, current: str, new: str) -> Prepared:
    """The slow part of changing a password: checks and hashing, done outside the transaction.

    Raises `Unauthorized` if `current` is wrong, and `WeakPassword`.
    """
    row = _row(access, accounts.c.id == account_id)
    if row is not None:  # first, since the rest takes long
        with within("new_password"):
            passwords.require_strong(new, row.email)
    _require_right(row, current)
    return Prepared(_account(row), passwords.hash_of(new), row.password_hash)


def set_password(connection: Connection, changed: Prepared) -> Account:
    """Give the account that password, and end all its sessions.

    Raises `Unauthorized` if its password was changed meanwhile.
    """
    account = changed.account
    _change(connection, changed, password_hash=changed.password_hash)
    connection.execute(delete(sessions).where(sessions.c.account_id == account.id))
    return account


def prepare_email(access: Access, account_id: UUID, password: str, email: str) -> Prepared:
    """The slow part of changing the address to log in with: checks, done outside the transaction.

    Raises `Unauthorized` for a wrong password, and `WeakPassword`.
    """
    row = _row(access, accounts.c.id == account_id)
    _require_right(row, password)
    with within("email"):
        passwords.require_strong(password, email)
    account = replace(_account(row), email=normal(email))
    return Prepared(account, row.password_hash, row.password_hash)


def set_email(connection: Connection, changed: Prepared) -> Account:
    """Let its owner log in with that e-mail address; their sessions go on.

    Raises `EmailTaken`, and `Unauthorized` if its password was changed meanwhile.
    """
    try:
        _change(connection, changed, email=changed.account.email)
    except IntegrityError:
        raise EmailTaken from None
    return changed.account


def forget(connection: Connection, account_id: UUID) -> None:
    """Delete the account; raises `NotFound`. Its sessions end, the keys it has made are revoked."""
    disable(connection, account_id)
    connection.execute(delete(accounts).where(accounts.c.id == account_id))


def disable(connection: Connection, account_id: UUID) -> Account:
    """Let its owner in no more; raises `NotFound`. The keys that they have made are revoked."""
    account = _set_disabled(connection, account_id, True)
    connection.execute(delete(sessions).where(sessions.c.account_id == account_id))
    connection.execute(
        update(api_keys)
        .where(api_keys.c.created_by == account.identity().actor, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=datetime.now(UTC))
    )
    return account


def hold(connection: Connection, account_id: UUID, password_hash: str | None = None) -> None:
    """Let nobody change, disable or delete the account before the transaction ends.

    Raises `Unauthorized` if somebody has, or if it no longer has the `password_hash` that a
    password was checked against, which takes a while.
    """
    still = [accounts.c.id == account_id, accounts.c.disabled.is_(False)]
    if password_hash is not None:
        still.append(accounts.c.password_hash == password_hash)
    held = select(accounts.c.id).where(*still).with_for_update(read=True)
    if connection.execute(held).first() is None:
        raise Unauthorized(CHANGED_MEANWHILE)


def enable(connection: Connection, account_id: UUID) -> Account:
    """Let its owner in again; raises `NotFound`. Keys that were revoked stay so."""
    return _set_disabled(connection, account_id, False)


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
    """The key of a customer is held, so that nobody is erased while they get an account."""
    held = select(customer_keys.c.customer_id).where(customer_keys.c.customer_id == customer_id)
    connection.execute(held.with_for_update(read=True, key_share=True))
    customer = None if customer_id is None else load_stream(connection, customer_id)
    if not isinstance(customer, Customer) or customer.erased:
        raise Invalid(f"There is no customer {customer_id}, or none any more.")


def _change(connection: Connection, changed: Prepared, **values: str) -> None:
    still = (
        accounts.c.id == changed.account.id,
        accounts.c.password_hash == changed.held_against,
    )
    if not connection.execute(update(accounts).where(*still).values(values)).rowcount:
        raise Unauthorized(CHANGED_MEANWHILE)


def _set_disabled(connection: Connection, account_id: UUID, disabled: bool) -> Account:
    account = replace(get(connection, account_id), disabled=disabled)
    mine = accounts.c.id == account_id
    connection.execute(update(accounts).where(mine).values(disabled=disabled))
    return account


def _row(access: Access, condition: ColumnElement[bool]) -> Any:
    """The connection goes back at once: hashing a password takes long."""
    with access.engine.connect() as connection:
        return connection.execute(select(accounts).where(condition)).first()


def _require_right(row: Any, password: str) -> None:
    """Raise `Unauthorized` for another password than the account's."""
    if row is None or not passwords.is_right(password, row.password_hash):
        raise Unauthorized("The current password is wrong.")


def _account(row: Any) -> Account:
    return Account(**{name: getattr(row, name) for name in Account.__dataclass_fields__})
