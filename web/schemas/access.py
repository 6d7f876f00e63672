"""Accounts, sessions and API keys."""

from marshmallow import Schema, fields, validate

from application.access.identity import OF_KEYS, OF_PEOPLE, SCOPES
from application.access.passwords import LONGEST
from domain.limits import LONGEST_ADDRESS, SHORT
from web.schemas.common import page_of, position
from web.schemas.customers import NewCustomer, email
from web.schemas.fields import Id, Instant, Strict, Text

LONGEST_TOKEN = 4096
MOST_EVENTS = 100


def password() -> Text:
    """A password; how strong it must be is for the rules to say."""
    return Text(LONGEST, shortest=1, required=True, metadata={"format": "password"})


class Registration(NewCustomer):
    """Somebody who wants to buy tickets."""

    password = password()


class LogIn(Strict):
    email = Text(LONGEST_ADDRESS, shortest=1, required=True)
    password = password()


class Refresh(Strict):
    refresh_token = Text(LONGEST_TOKEN, shortest=1, required=True)


class PasswordChange(Strict):
    current_password = password()
    new_password = password()


class EmailChange(Strict):
    email = email(required=True)
    password = password()


class NewAccount(Strict):
    """An account that an admin makes for somebody."""

    email = email(required=True)
    password = password()
    role = fields.String(required=True, validate=validate.OneOf(OF_PEOPLE))
    subject_id = Id(
        metadata={
            "description": "The customer that an attendee is, or the organizer that an organizer"
            " acts for; an organizer without one becomes a new one."
        }
    )


class AccountInfo(Schema):
    id = fields.UUID(required=True)
    email = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(OF_PEOPLE))
    subject_id = fields.UUID(required=True, allow_none=True)
    disabled = fields.Boolean(required=True)
    created_at = fields.DateTime(required=True)


AccountPage = page_of(AccountInfo)


class Tokens(Schema):
    access_token = fields.String(
        required=True, metadata={"description": "Send it as `Authorization: Bearer …`."}
    )
    refresh_token = fields.String(
        required=True, metadata={"description": "Good once, for the next pair of tokens."}
    )
    token_type = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds."})
    account = fields.Nested(AccountInfo, required=True)


class Registered(Tokens):
    """The new customer's id is the account's `subject_id`."""

    position = position()


class NewKey(Strict):
    """A key for a gate's scanners, or for a service."""

    name = Text(SHORT, shortest=1, required=True)
    role = fields.String(required=True, validate=validate.OneOf(OF_KEYS))
    event_ids = fields.List(
        Id(),
        load_default=list,
        validate=validate.Length(max=MOST_EVENTS),
        metadata={"description": "For a gate: the events that it scans for."},
    )
    scopes = fields.List(
        fields.String(validate=validate.OneOf(SCOPES)),
        load_default=list,
        validate=validate.Length(max=len(SCOPES)),
        metadata={"description": "For a service: what it may do."},
    )
    organizer_id = Id(
        metadata={"description": "Whose events it is for; without it, the whole box office's."}
    )
    expires_at = Instant(metadata={"description": "When it ends; without it, when revoked."})


class KeyInfo(Schema):
    id = fields.UUID(required=True)
    name = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(OF_KEYS))
    subject_id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "The organizer it is for."}
    )
    event_ids = fields.List(fields.UUID(), required=True)
    scopes = fields.List(fields.String(), required=True)
    created_by = fields.String(required=True)
    created_at = fields.DateTime(required=True)
    expires_at = fields.DateTime(required=True, allow_none=True)
    revoked_at = fields.DateTime(required=True, allow_none=True)


class KeyMade(KeyInfo):
    secret = fields.String(
        required=True, metadata={"description": "The key itself; it is never shown again."}
    )


KeyPage = page_of(KeyInfo)
