"""API keys: made for gates and services by those whose events they are for."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from application.access import accounts, api_keys
from application.access.identity import OF_PEOPLE, ORGANIZER
from application.store.tables import api_keys as keys_table
from domain.errors import Forbidden, NotFound
from projections.paging import Item, page
from web.blueprint import Blueprint
from web.caller import caller
from web.current import turnstile
from web.once import Change, Outcome
from web.owners import require_owned
from web.permissions import require_usable
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
    with turnstile().engine.connect() as connection:
        require_owned(connection, body["event_ids"], organizer_id)
    require_usable(body["scopes"], organizer_id)

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


def _shown(row: Item) -> Item:
    return asdict(api_keys.read(row))
