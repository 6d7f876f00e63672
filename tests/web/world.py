"""A box office with every kind of caller in it: what they show to come in, and what is whose."""

import re
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from application.access import accounts, api_keys, sessions
from application.access.accounts import Account
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
    """Ada and Bob are attendees, Olga and Otto organizers; a gate and a shop are API keys.

    The event, its order and its ticket are Olga's to run; order and ticket are Ada's.
    """

    office: BoxOffice
    people: dict[str, Account]
    credentials: dict[str, dict[str, str]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def tried(self, who: str, method: str, path: str, body: Json | None) -> Any:
        """The answer that they get."""
        named = {**self.ids, "new": f"new-{uuid4()}"}
        headers = self.credentials[who]
        url = filled(path, named)
        return self.office.client.open(
            url, method=method, json=filled(body, named), headers=headers
        )

    def renew(self) -> None:
        """Make all of it anew, but for the people: sessions, keys, events, an order, a ticket."""
        self._make_things()
        self._log_everybody_in()
        self._make_keys()
        self.office.catch_up()

    def _make_things(self) -> None:
        office, olga = self.office, str(self.people["olga"].subject_id)
        mine, ada = {"id": olga, "name": "Olga"}, str(self.people["ada"].subject_id)
        event = office.event(organizer=mine)
        sold = office.sold(event, {"id": ada})
        self.ids = {
            "event": event["id"],
            "type": event["ticket_types"][0]["id"],
            "draft": office.event(publish=False, organizer=mine)["id"],
            "moved": office.event(organizer=mine)["id"],
            "other_event": office.event()["id"],
            "order": sold["id"],
            "unpaid": office.order(event, {"id": ada})["id"],
            "ticket": ticket_ids(sold)[0],
            "ada": ada,
            "bob": str(self.people["bob"].subject_id),
            "olga": olga,
            "otto": str(self.people["otto"].subject_id),
            "nothing": str(uuid4()),
        }

    def _log_everybody_in(self) -> None:
        self.credentials = {"nobody": {}}
        access = self.office.turnstile.access
        for name, account in self.people.items():
            with access.changing() as connection, self.office.app.app_context():
                made = tokens(account, *sessions.begin(connection, account))
            self.credentials[name] = bearer(made["access_token"])

    def _make_keys(self) -> None:
        olga, otto = self.people["olga"].subject_id, self.people["otto"].subject_id
        made: dict[str, tuple[str, Json]] = {
            "gate": (GATE, {"event_ids": [UUID(self.ids["event"])]}),
            "other_gate": (GATE, {"event_ids": [UUID(self.ids["other_event"])]}),
            "shop": (SERVICE, {"scopes": SCOPES}),
            "olgas_shop": (SERVICE, {"scopes": SCOPES, "subject_id": olga}),
            "ottos_shop": (SERVICE, {"scopes": SCOPES, "subject_id": otto}),
        }
        for name, (role, limits) in made.items():
            self.credentials[name] = bearer(api_key(self.office, role, **limits)[1])


def populated(office: BoxOffice) -> World:
    """The box office with everybody in it."""
    roles = {"olga": ORGANIZER, "otto": ORGANIZER, "auditor": AUDITOR, "admin": ADMIN}
    people = {name: account(office, role) for name, role in roles.items()}
    for name in ("ada", "bob"):
        customer_id = UUID(office.customer(name.capitalize())["id"])
        people[name] = account(office, ATTENDEE, customer_id)
    world = World(office, people)
    world.renew()
    return world


def account(office: BoxOffice, role: str, subject_id: UUID | None = None) -> Account:
    """A new account with the password `PASSWORD`."""
    address = f"{role}-{uuid4()}@example.org"
    return accounts.create(office.turnstile.access, address, PASSWORD, role, subject_id)


def api_key(office: BoxOffice, role: str, **limits: Any) -> tuple[api_keys.ApiKey, str]:
    """A new key, and its secret."""
    with office.turnstile.access.changing() as connection:
        return api_keys.create(connection, name=role, role=role, created_by="tests", **limits)


def filled(value: Any, ids: dict[str, str]) -> Any:
    """`value` with every `{name}` in its texts replaced by the id of that name."""
    if isinstance(value, str):
        return re.sub(r"{(\w+)}", lambda match: ids[match[1]], value)
    if isinstance(value, dict):
        return {name: filled(item, ids) for name, item in value.items()}
    return [filled(item, ids) for item in value] if isinstance(value, list) else value
