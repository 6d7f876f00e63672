"""API keys: made for gates and services by those whose events they are for."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from application.access import accounts, api_keys
from application.access.identity import OF_PEOPLE, ORGANIZER
from application.store.tables import api_keys as keys_table
from domain.errors import Forbidden, Invalid, NotFound
from projections.paging import Item, page
from web.blueprint import Blueprint
from web.caller import caller
from web.current import turnstile
from web.once import Change, Outcome
from web.owners import Asking
from web.permissions import SCOPES_OF_ORGANIZERS
from web.reading import reads_primary
from web.schemas.access import KeyInfo, KeyMade, KeyPage, NewKey
from web.schemas.common import Nothing, PageQuery

blueprint = Blueprint("API keys", "/api/v1/api-keys", "Keys for gates and services")

EXAMPLE = {
    "name": "North gate",
    "role": "gate",
    "event_ids": ["0197f3a0-0000-7000-8000-000000000001"],
    "expires_at": "2030-06-22T00:00:00Z",
}
PROBLEMS = (400, 401, 403, 404, 413, 415, 422, 429, 503)
SHOWN = tuple(keys_table.c[name] for name in api_keys.ApiKey.__dataclass_fields__)


@blueprint.once("", *PROBLEMS)
@blueprint.takes(NewKey, example=EXAMPLE)
@blueprint.answers(201, KeyMade)
def create_key(body: dict[str, Any]) -> Change:
    """Make a key; its secret is shown this once"""
    organizer_id = _organizer_for(body.pop("organizer_id", None))
    _require_events(body["event_ids"], organizer_id)
    _require_usable(body["scopes"], organizer_id)

    maker = caller().identity

    def change(connection: Connection) -> Outcome:
        if maker.id is not None and maker.role in OF_PEOPLE:
            accounts.hold(connection, maker.id)  # whoever disables it revokes what it has made
        key, secret = api_keys.create(
            connection, created_by=maker.actor, subject_id=organizer_id, **body
        )
        return Outcome({**asdict(key), "secret": secret}, 201)

    return change


@blueprint.plain("", "GET", 400, 401, 403, 422, 429, 503)
@reads_primary()
@blueprint.asks(PageQuery)
@blueprint.answers(200, KeyPage)
def list_keys(connection: Connection, query: dict[str, Any]) -> Any:
    """List the keys that were made, revoked ones too"""
    mine = select(*SHOWN)
    if caller().identity.role == ORGANIZER:
        mine = mine.where(keys_table.c.subject_id == caller().identity.subject_id)
    return page(connection, mine, order=(keys_table.c.id,), shape=_shown, **query)


@blueprint.once("/<uuid:key_id>/revoke", *PROBLEMS)
@blueprint.takes(Nothing)
@blueprint.answers(200, KeyInfo)
def revoke_key(body: dict[str, Any], key_id: UUID) -> Change:
    """Let nobody in with this key any more, for ever"""
    identity = caller().identity

    def change(connection: Connection) -> Outcome:
        key = api_keys.get(connection, key_id)
        if identity.role == ORGANIZER and key.subject_id != identity.subject_id:
            raise NotFound(f"There is no API key {key_id}.")
        return Outcome(asdict(api_keys.revoke(connection, key_id)))

    return change


def _organizer_for(wanted: UUID | None) -> UUID | None:
    """Whose events the key is for: an organizer's keys are for their own."""
    identity = caller().identity
    if identity.role != ORGANIZER:
        return wanted
    if wanted not in (None, identity.subject_id):
        raise Forbidden("Keys for another organizer's events are for them to make.")
    return identity.subject_id


def _require_events(event_ids: list[UUID], organizer_id: UUID | None) -> None:
    """Raise unless these events exist, and are that organizer's if there is one."""
    with turnstile().engine.connect() as connection:
        owners = Asking(connection)
        for event_id in event_ids:
            if owners.organizer_of(event_id) != organizer_id and organizer_id is not None:
                raise Forbidden(f"The event {event_id} is another organizer's.")


def _require_usable(scopes: list[str], organizer_id: UUID | None) -> None:
    """Raise unless a key that acts for that organizer, if for one, can do something by each."""
    useless = set(scopes) - SCOPES_OF_ORGANIZERS
    if organizer_id is not None and useless:
        listed = ", ".join(sorted(useless))
        raise Invalid(f"The key of an organizer can do nothing by {listed}.", "scopes")


def _shown(row: Item) -> Item:
    return asdict(api_keys.read(row))
