"""A box office with every kind of caller in it: what they show to come in, and what is whose."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from application.access import accounts, api_keys, sessions
from application.access.accounts import Account
from application.access.api_keys import ApiKey
from application.access.identity import (
    ADMIN,
    ATTENDEE,
    AUDITOR,
    GATE,
    ORGANIZER,
    SCOPES,
    SERVICE,
)
from tests.keys import bearer
from tests.web.conftest import BoxOffice, Json, ticket_ids
from web.tokens import tokens

PASSWORD = "a long enough password"
PEOPLE = "ada bob olga otto auditor admin"
KEYS = "gate other_gate shop olgas_shop ottos_shop"
EVERYBODY = f"nobody {PEOPLE} {KEYS}"


@dataclass
class World:
    """Ada and Bob are attendees, Olga and Otto organizers; gates and shops are API keys.

    The event, its orders and the ticket are Olga's to run; orders and ticket are Ada's.
    """

    office: BoxOffice
    people: dict[str, Account]
    ids: dict[str, str]
    credentials: dict[str, dict[str, str]]

    def tried(self, who: str, method: str, path: str, body: Json | None) -> Any:
        """The answer that they get."""
        named = {**self.ids, "new": f"new-{uuid4()}"}
        headers = self.credentials[who]
        url = filled(path, named)
        return self.office.client.open(
            url, method=method, json=filled(body, named), headers=headers
        )

    def log_in(self, name: str) -> None:
        """Give one of the people a new session."""
        self.credentials[name] = bearer(access_token(self.office, self.people[name]))


def populated(office: BoxOffice) -> World:
    """The box office with everybody in it, and something of theirs."""
    people = _people(office)
    ids = _things(office, people)
    keys = _keys(office, people, ids)
    ids["other_gates_key"] = str(keys["other_gate"][0].id)
    credentials = {name: bearer(secret) for name, (_, secret) in keys.items()}
    world = World(office, people, ids, {"nobody": {}, **credentials})
    for name in people:
        world.log_in(name)
    office.catch_up()
    return world


def _people(office: BoxOffice) -> dict[str, Account]:
    ada, bob = (UUID(office.customer(name)["id"]) for name in ("Ada", "Bob"))
    return {
        "ada": account(office, ATTENDEE, ada),
        "bob": account(office, ATTENDEE, bob),
        "olga": account(office, ORGANIZER),
        "otto": account(office, ORGANIZER),
        "auditor": account(office, AUDITOR),
        "admin": account(office, ADMIN),
    }


def _things(office: BoxOffice, people: dict[str, Account]) -> dict[str, str]:
    """Ids of what there is; `nothing` is the id of what there is not."""
    subjects = {name: str(people[name].subject_id) for name in ("ada", "bob", "olga", "otto")}
    mine, ada = {"id": subjects["olga"], "name": "Olga"}, {"id": subjects["ada"]}
    event = office.event(organizer=mine)
    order, ongoing = office.sold(event, ada), office.event(organizer=mine)
    office.post(f"/api/v1/events/{ongoing['id']}/start")
    return subjects | {
        "event": event["id"],
        "type": event["ticket_types"][0]["id"],
        "draft": office.event(publish=False, organizer=mine)["id"],
        "moved": office.event(organizer=mine)["id"],
        "ongoing": ongoing["id"],
        "other_event": office.event()["id"],
        "order": order["id"],
        "unpaid": office.order(event, ada)["id"],
        "ticket": ticket_ids(order)[0],
        "bobs_account": str(people["bob"].id),
        "nothing": str(uuid4()),
        "gone": office.customer("Gone")["id"],
    }


def _keys(
    office: BoxOffice, people: dict[str, Account], ids: dict[str, str]
) -> dict[str, tuple[ApiKey, str]]:
    olga, otto = people["olga"].subject_id, people["otto"].subject_id
    return {
        "gate": api_key(office, GATE, event_ids=[UUID(ids["event"])]),
        "other_gate": api_key(office, GATE, event_ids=[UUID(ids["other_event"])]),
        "shop": api_key(office, SERVICE, scopes=SCOPES),
        "olgas_shop": api_key(office, SERVICE, scopes=SCOPES, subject_id=olga),
        "ottos_shop": api_key(office, SERVICE, scopes=SCOPES, subject_id=otto),
    }


def account(office: BoxOffice, role: str, subject_id: UUID | None = None) -> Account:
    """A new account with the password `PASSWORD`."""
    address = f"{role}-{uuid4()}@example.org"
    return accounts.create(office.turnstile.access, address, PASSWORD, role, subject_id)


def access_token(office: BoxOffice, account: Account) -> str:
    """Of a new session, as logging in gives one."""
    access = office.turnstile.access
    with access.changing() as connection, office.app.app_context():
        made = tokens(account, *sessions.begin(connection, account))
    return str(made["access_token"])


def as_one(
    office: BoxOffice, role: str = ADMIN, subject_id: UUID | None = None
) -> tuple[Account, BoxOffice]:
    """Somebody new of that role, and the box office as it is to them."""
    made = account(office, role, subject_id)
    return made, BoxOffice(office.turnstile, bearer(access_token(office, made)))


def api_key(office: BoxOffice, role: str, **limits: Any) -> tuple[ApiKey, str]:
    """A new key, and its secret."""
    with office.turnstile.access.changing() as connection:
        return api_keys.create(connection, name=role, role=role, created_by="tests", **limits)


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    """`value` with every `{name}` in its texts replaced by the id of that name."""
    if isinstance(value, str):
        return re.sub(r"{(\w+)}", lambda match: ids[match[1]], value)
    if isinstance(value, dict):
        return {name: filled(item, ids) for name, item in value.items()}
    return [filled(item, ids) for item in value] if isinstance(value, list) else value
