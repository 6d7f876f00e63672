"""Accounts of people: register, log in and out, refresh tokens; and accounts that admins make."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from flask import Response, g
from sqlalchemy import Connection, select

from application.access import accounts, sessions
from application.access.accounts import Account
from application.access.identity import ATTENDEE, Unauthorized
from application.access.tables import accounts as accounts_table
from application.customers import register_customer
from application.store import answers
from application.store.database import writing
from application.store.work import Command, Key
from domain.customer import Profile
from domain.ids import derived_id, uuid7
from projections.paging import page
from web.blueprint import Blueprint
from web.caller import caller, credential
from web.current import turnstile
from web.encoding import encode, json_response
from web.limits import counting_wrong_passwords, know_address
from web.reading import reads_primary
from web.schemas.access import (
    AccountInfo,
    AccountPage,
    EmailChange,
    LogIn,
    NewAccount,
    PageQuery,
    PasswordChange,
    Refresh,
    Registration,
    Tokens,
)
from web.schemas.common import Nothing
from web.tokens import refresh_ids, session_of_access, tokens

blueprint = Blueprint("accounts", "/api/v1", "Who people are, and their sessions")

LOG_IN = {
    "email": "ada@example.org",
    "password": "correct horse battery",  # nosec B105 # an example
}
FINISH_WITHIN = timedelta(minutes=10)
PROBLEMS = (400, 401, 413, 415, 422, 429, 503)


@blueprint.plain("/auth/register", "POST", *PROBLEMS, 409)
@blueprint.takes(Registration, example={**LOG_IN, "name": "Ada Lovelace", "country": "GB"})
@blueprint.answers(201, Tokens)
def register_account(body: dict[str, Any]) -> Response:
    """Become a customer with an account, and log in"""
    address, password = body["email"], body.pop("password")
    accounts.require_acceptable(turnstile().access, address, password)
    # Should the account not come about, the next attempt finds the same customer by this key.
    name = str(derived_id("registration", accounts.normal(address)))
    expires_at = datetime.now(UTC) + FINISH_WITHIN
    key = Key("registration", name, sha256(encode(g.body)).hexdigest(), expires_at)
    customer_id = _register(Profile(**body), key)
    made = accounts.create(turnstile().access, address, password, ATTENDEE, customer_id)
    with writing(turnstile().engine) as connection:
        answers.forget(connection, key)
    return json_response(_begin_session(made), 201)


@blueprint.plain("/auth/login", "POST", *PROBLEMS)
@blueprint.takes(LogIn, example=LOG_IN)
@blueprint.answers(200, Tokens)
def log_in(body: dict[str, Any]) -> Response:
    """Log in with e-mail address and password"""
    with counting_wrong_passwords(body["email"]):
        account, stored = accounts.log_in(turnstile().access, **body)
    return json_response(_begin_session(account, stored))


@blueprint.plain("/auth/refresh", "POST", *PROBLEMS)
@blueprint.takes(Refresh)
@blueprint.answers(200, Tokens)
def refresh_tokens(body: dict[str, Any]) -> Response:
    """Exchange a refresh token, which is good once, for new tokens"""
    session_id, refresh_id = refresh_ids(body["refresh_token"])
    with turnstile().access.changing() as connection:
        renewed = sessions.go_on(connection, session_id, refresh_id)
    if renewed is None:
        raise Unauthorized("The refresh token was used before, or its session has ended.")
    account, next_id = renewed
    return json_response(tokens(account, session_id, next_id))


@blueprint.plain("/auth/logout", "POST", *PROBLEMS, 403)
@blueprint.takes(Nothing)
@blueprint.answers(204)
def log_out(body: dict[str, Any]) -> Response:
    """End the session: its tokens are good no more"""
    with turnstile().access.changing() as connection:
        sessions.end(connection, session_of_access(credential() or ""))
    return Response(status=204)


@blueprint.plain("/auth/password", "POST", *PROBLEMS, 403)
@blueprint.takes(PasswordChange)
@blueprint.answers(200, Tokens)
def change_password(body: dict[str, Any]) -> Response:
    """Change the password: all sessions end, and a new one begins"""
    own_id = caller().identity.id
    if own_id is None:
        raise Unauthorized
    with counting_wrong_passwords(str(own_id)):
        changed = accounts.change_password(
            turnstile().access, own_id, body["current_password"], body["new_password"]
        )
    return json_response(_begin_session(changed))


@blueprint.plain("/auth/email", "POST", *PROBLEMS, 403, 409)
@blueprint.takes(EmailChange, example=LOG_IN)
@blueprint.answers(200, AccountInfo)
def change_email(body: dict[str, Any]) -> Response:
    """Change the e-mail address to log in with

    The customer's is another, whose change is `PATCH /api/v1/customers/{customer_id}`.
    """
    own_id = caller().identity.id
    if own_id is None:
        raise Unauthorized
    with counting_wrong_passwords(str(own_id)):
        changed = accounts.change_email(turnstile().access, own_id, **body)
    know_address(changed.email)
    return json_response(changed)


@blueprint.plain("/auth/me", "GET", 401, 403, 503)
@reads_primary()
@blueprint.answers(200, AccountInfo)
def get_own_account(connection: Connection) -> Any:
    """Show whose session this is"""
    own_id = caller().identity.id
    if own_id is None:
        raise Unauthorized
    return accounts.get(connection, own_id)


@blueprint.plain("/accounts", "POST", *PROBLEMS, 403, 409)
@blueprint.takes(NewAccount)
@blueprint.answers(201, AccountInfo)
def create_account(body: dict[str, Any]) -> Response:
    """Make an account for somebody else: an organizer, an auditor, an admin, or a customer"""
    return json_response(accounts.create(turnstile().access, **body), 201)


@blueprint.plain("/accounts", "GET", 400, 401, 403, 422, 503)
@reads_primary()
@blueprint.asks(PageQuery)
@blueprint.answers(200, AccountPage)
def list_accounts(connection: Connection, query: dict[str, Any]) -> Any:
    """List accounts, the oldest first"""
    shown = select(*(accounts_table.c[name] for name in Account.__dataclass_fields__))
    return page(connection, shown, order=(accounts_table.c.id,), **query)


@blueprint.plain("/accounts/<uuid:account_id>/disable", "POST", *PROBLEMS, 403, 404)
@blueprint.takes(Nothing)
@blueprint.answers(200, AccountInfo)
def disable_account(body: dict[str, Any], account_id: UUID) -> Response:
    """Let somebody in no more; all their sessions end"""
    return _set_disabled(account_id, True)


@blueprint.plain("/accounts/<uuid:account_id>/enable", "POST", *PROBLEMS, 403, 404)
@blueprint.takes(Nothing)
@blueprint.answers(200, AccountInfo)
def enable_account(body: dict[str, Any], account_id: UUID) -> Response:
    """Let somebody in again"""
    return _set_disabled(account_id, False)


@blueprint.plain("/accounts/<uuid:account_id>", "DELETE", 403, 404, 503)
@blueprint.answers(204)
def delete_account(account_id: UUID) -> Response:
    """Delete an account; all its sessions end, and the keys that it has made are revoked

    The customer that an attendee is stays: `POST /api/v1/customers/{customer_id}/erase`.
    """
    with turnstile().access.changing() as connection:
        accounts.forget(connection, account_id)
    return Response(status=204)


def _register(profile: Profile, key: Key) -> UUID:
    """The customer of a new account."""
    customer_id = uuid7()
    answer = turnstile().executor.execute(
        Command(
            register_customer,
            {"customer_id": customer_id, "profile": profile},
            caller().context(),
            lambda customer: {"id": customer.id, "version": customer.version},
            keys=(key,),
            makes=customer_id,
        )
    )
    return UUID(str(answer.body["id"]))


def _begin_session(account: Account, password_hash: str | None = None) -> dict[str, Any]:
    with turnstile().access.changing() as connection:
        session_id, refresh_id = sessions.begin(connection, account, password_hash)
    know_address(account.email)
    return tokens(account, session_id, refresh_id)


def _set_disabled(account_id: UUID, disabled: bool) -> Response:
    with turnstile().access.changing() as connection:
        return json_response(accounts.disable(connection, account_id, disabled))
