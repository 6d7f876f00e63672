"""Accounts of people: register, log in and out, refresh tokens; and accounts that admins make."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from flask import Response
from msgspec.structs import replace
from sqlalchemy import Connection, select

from application.access import accounts, sessions
from application.access.accounts import Account
from application.access.identity import ATTENDEE, Unauthorized
from application.customers import register_customer
from application.store import answers
from application.store.tables import accounts as accounts_table
from application.store.work import Answer, Command, Key
from domain.customer import Profile
from domain.errors import DomainError
from domain.ids import derived_id, uuid7
from projections.paging import page
from web.blueprint import QUERY_HEADERS, Blueprint
from web.caller import caller, credential
from web.current import turnstile
from web.idempotency import access_fingerprint, access_keys
from web.limits import counting_wrong_passwords, know_address
from web.once import Change, Outcome
from web.reading import reads_primary
from web.schemas.access import (
    AccountInfo,
    AccountPage,
    EmailChange,
    LogIn,
    NewAccount,
    PasswordChange,
    Refresh,
    Registered,
    Registration,
    Tokens,
)
from web.schemas.common import Nothing, PageQuery
from web.tokens import refresh_ids, session_of_access, tokens

blueprint = Blueprint("accounts", "/api/v1", "Who people are, and their sessions")

LOG_IN = {
    "email": "ada@example.org",
    "password": "correct horse battery",  # nosec B105 # an example
}
FINISH_WITHIN = timedelta(minutes=10)
PROBLEMS = (400, 401, 413, 415, 422, 429, 503)


@blueprint.once("/auth/register", *PROBLEMS, 409)
@blueprint.takes(Registration, example={**LOG_IN, "name": "Ada Lovelace", "country": "GB"})
@blueprint.answers(201, Registered, QUERY_HEADERS)
def register_account(body: dict[str, Any]) -> Change:
    """Become a customer with an account, and log in"""
    address, password = body["email"], body.pop("password")
    accounts.require_acceptable(turnstile().access, address, password)
    customer_id = uuid7()
    prepared = accounts.prepare(address, password, ATTENDEE, customer_id)
    # Should the account not come about, the same attempt finds the same customer by this key.
    name = str(derived_id("registration", accounts.normal(address), access_fingerprint()))
    key = Key("registration", name, expires_at=datetime.now(UTC) + FINISH_WITHIN)
    registered = _register(customer_id, Profile(**body), key)
    new = prepared.of(UUID(str(registered.body["id"])))

    def change(connection: Connection) -> Outcome:
        account = accounts.add(connection, new)
        answers.forget(connection, key)
        outcome = _logged_in(connection, account)
        at = registered.position
        return outcome._replace(status=201, body=outcome.body | {"position": at}, position=at)

    return change


@blueprint.once("/auth/login", *PROBLEMS)
@blueprint.takes(LogIn, example=LOG_IN)
@blueprint.answers(200, Tokens)
def log_in(body: dict[str, Any]) -> Change:
    """Log in with e-mail address and password"""
    with counting_wrong_passwords(body["email"]):
        account, stored = accounts.log_in(turnstile().access, **body)
    return lambda connection: _logged_in(connection, account, stored)


@blueprint.once("/auth/refresh", *PROBLEMS)
@blueprint.takes(Refresh)
@blueprint.answers(200, Tokens)
def refresh_tokens(body: dict[str, Any]) -> Change:
    """Exchange a refresh token, which is good once, for new tokens"""
    session_id, refresh_id = refresh_ids(body["refresh_token"])

    def change(connection: Connection) -> Outcome | DomainError:
        renewed = sessions.go_on(connection, session_id, refresh_id)
        if renewed is None:
            return Unauthorized("The refresh token was used before, or its session has ended.")
        account, next_id = renewed
        return Outcome(tokens(account, session_id, next_id), account_id=account.id)

    return change


@blueprint.once("/auth/logout", *PROBLEMS, 403)
@blueprint.takes(Nothing)
@blueprint.answers(204)
def log_out(body: dict[str, Any]) -> Change:
    """End the session: its tokens are good no more"""
    session_id = session_of_access(credential() or "")

    def change(connection: Connection) -> Outcome:
        sessions.end(connection, session_id)
        return Outcome(status=204)

    return change


@blueprint.once("/auth/password", *PROBLEMS, 403)
@blueprint.takes(PasswordChange)
@blueprint.answers(200, Tokens)
def change_password(body: dict[str, Any]) -> Change:
    """Change the password: all sessions end, and a new one begins"""
    own_id = _own_id()
    with counting_wrong_passwords(str(own_id)):
        changed = accounts.prepare_password(
            turnstile().access, own_id, body["current_password"], body["new_password"]
        )
    return lambda connection: _logged_in(connection, accounts.set_password(connection, changed))


@blueprint.once("/auth/email", *PROBLEMS, 403, 409)
@blueprint.takes(EmailChange, example=LOG_IN)
@blueprint.answers(200, AccountInfo)
def change_email(body: dict[str, Any]) -> Change:
    """Change the e-mail address to log in with

    The customer's is another, whose change is `PATCH /api/v1/customers/{customer_id}`.
    """
    own_id = _own_id()
    with counting_wrong_passwords(str(own_id)):
        changed = accounts.prepare_email(turnstile().access, own_id, **body)

    def set_email(connection: Connection) -> Outcome:
        account = accounts.set_email(connection, changed)
        return Outcome(account, 200, account.id, partial(know_address, account.email))

    return set_email


@blueprint.plain("/auth/me", "GET", 400, 401, 403, 503)
@reads_primary()
@blueprint.answers(200, AccountInfo)
def get_own_account(connection: Connection) -> Any:
    """Show whose session this is"""
    return accounts.get(connection, _own_id())


@blueprint.once("/accounts", *PROBLEMS, 403, 409)
@blueprint.takes(NewAccount)
@blueprint.answers(201, AccountInfo)
def create_account(body: dict[str, Any]) -> Change:
    """Make an account for somebody else: an organizer, an auditor, an admin, or a customer"""
    new = accounts.prepare(**body)
    return lambda connection: _shown(accounts.add(connection, new), 201)


@blueprint.plain("/accounts", "GET", 400, 401, 403, 422, 503)
@reads_primary()
@blueprint.asks(PageQuery)
@blueprint.answers(200, AccountPage)
def list_accounts(connection: Connection, query: dict[str, Any]) -> Any:
    """List accounts, the oldest first"""
    shown = select(*(accounts_table.c[name] for name in Account.__dataclass_fields__))
    return page(connection, shown, order=(accounts_table.c.id,), **query)


@blueprint.once("/accounts/<uuid:account_id>/disable", *PROBLEMS, 403, 404)
@blueprint.takes(Nothing)
@blueprint.answers(200, AccountInfo)
def disable_account(body: dict[str, Any], account_id: UUID) -> Change:
    """Let somebody in no more; all their sessions end"""
    return lambda connection: _shown(accounts.disable(connection, account_id))


@blueprint.once("/accounts/<uuid:account_id>/enable", *PROBLEMS, 403, 404)
@blueprint.takes(Nothing)
@blueprint.answers(200, AccountInfo)
def enable_account(body: dict[str, Any], account_id: UUID) -> Change:
    """Let somebody in again"""
    return lambda connection: _shown(accounts.enable(connection, account_id))


@blueprint.plain("/accounts/<uuid:account_id>", "DELETE", 403, 404, 503)
@blueprint.answers(204)
def delete_account(account_id: UUID) -> Response:
    """Delete an account; all its sessions end, and the keys that it has made are revoked

    The customer that an attendee is stays: `POST /api/v1/customers/{customer_id}/erase`.
    """
    with turnstile().access.changing() as connection:
        accounts.forget(connection, account_id)
    return Response(status=204)


def _own_id() -> UUID:
    """The id of the caller's account."""
    own_id = caller().identity.id
    if own_id is None:
        raise Unauthorized
    return own_id


def _register(customer_id: UUID, profile: Profile, key: Key) -> Answer:
    """The customer of a new account, under this id, or under that of an attempt before: one only,
    however often this is asked for under one key."""
    asked = [replace(same, scope=f"registration {same.scope}") for same in access_keys()[:1]]
    return turnstile().executor.execute(
        Command(
            register_customer,
            {"customer_id": customer_id, "profile": profile},
            caller().context(),
            lambda customer: {"id": customer.id, "version": customer.version},
            keys=(key, *asked),
            makes=customer_id,
        )
    )


def _logged_in(
    connection: Connection, account: Account, password_hash: str | None = None
) -> Outcome:
    """The tokens of a new session."""
    begun = sessions.begin(connection, account, password_hash)
    afterwards = partial(know_address, account.email)
    return Outcome(tokens(account, *begun), account_id=account.id, afterwards=afterwards)


def _shown(account: Account, status: int = 200) -> Outcome:
    return Outcome(account, status, account.id)
