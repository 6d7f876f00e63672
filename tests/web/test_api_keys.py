"""API keys: who makes them, what they are good for, and for how long."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from application.access import access as remembering
from application.access import accounts, api_keys
from application.access.identity import NOBODY, ORGANIZER, SERVICE
from application.composition import compose
from tests.keys import bearer
from tests.web.conftest import BoxOffice, Json
from tests.web.people import all_items, status_of
from tests.web.world import api_key, as_one
from tests.workers.processes import eventually
from web.permissions import SCOPES_OF_ORGANIZERS

SHOP = {"name": "Shop", "role": "service", "scopes": ["stats:read"]}


def _key(office: BoxOffice, **limits: Any) -> str:
    """The secret of a new key, of a dashboard unless it is limited otherwise."""
    return api_key(office, SERVICE, **{"scopes": ["stats:read"]} | limits)[1]


def test_an_organizer_makes_keys_for_own_events_only(office: BoxOffice):
    (_, admin), (account, olga) = as_one(office), as_one(office, ORGANIZER)
    subject_id = str(account.subject_id)
    event = olga.event()
    assert event["organizer_id"] == subject_id
    key = {"name": "North gate", "role": "gate", "event_ids": [event["id"]]}
    made = olga.post("/api/v1/api-keys", key, 201)
    assert made["subject_id"] == subject_id
    listed = {name: value for name, value in made.items() if name != "secret"}
    assert all_items(olga, "/api/v1/api-keys") == [listed]
    gate = BoxOffice(office.turnstile, {"X-API-Key": made["secret"]})
    assert gate.scan(event, secret="forged")["reason"] == "invalid"
    others = office.event()
    olga.post("/api/v1/api-keys", key | {"event_ids": [others["id"]]}, 403)
    olga.post("/api/v1/api-keys", key | {"organizer_id": str(uuid4())}, 403)
    of_all = admin.post("/api/v1/api-keys", key, 201)
    olga.post(f"/api/v1/api-keys/{of_all['id']}/revoke", {}, 404)
    assert olga.post(f"/api/v1/api-keys/{made['id']}/revoke")["revoked_at"]
    assert gate.send("POST", "/api/v1/checkins", json={}).status_code == 401


def test_a_key_of_an_organizer_is_good_no_more_for_an_event_that_is_given_away(office: BoxOffice):
    (_, admin), (_, olga) = as_one(office), as_one(office, ORGANIZER)
    event, kept = olga.event(), olga.event()
    new = {"name": "North gate", "role": "gate", "event_ids": [event["id"], kept["id"]]}
    made, of_the_house = (who.post("/api/v1/api-keys", new, 201) for who in (olga, admin))
    gate, other = (
        BoxOffice(office.turnstile, bearer(key["secret"])) for key in (made, of_the_house)
    )
    attempt = {"event_id": event["id"], "secret": "forged", "nonce": "0001"}
    assert gate.scan(event, **attempt)["reason"] == "invalid"
    admin.patch(f"/api/v1/events/{event['id']}", {"organizer": {"id": str(uuid4()), "name": "O"}})
    gate.post("/api/v1/checkins", attempt, 403)
    gate.post("/api/v1/checkins", attempt | {"nonce": "0002"}, 403)
    assert other.scan(event, **attempt)["reason"] == "invalid"
    assert gate.scan(kept, secret="forged")["reason"] == "invalid"


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "gate", "event_ids": []},
        {"role": "service", "scopes": []},
        {"role": "service", "scopes": ["everything"]},
        {"role": "admin", "scopes": ["stats:read"]},
        {"role": "service", "scopes": ["stats:read"], "expires_at": "2020-01-01T00:00:00Z"},
        {"role": "service", "scopes": ["stats:read"], "event_ids": [str(uuid4())]},
    ],
)
def test_a_key_must_make_sense(office: BoxOffice, wrong: Json):
    status = 404 if wrong.get("event_ids") else 422
    _, admin = as_one(office)
    admin.post("/api/v1/api-keys", {"name": "Odd", **wrong}, status)


def test_a_key_ends_when_it_was_made_to(
    anybody: BoxOffice, office: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remembering, "REMEMBER_SECONDS", 0.0)
    ends = datetime.now(UTC) + timedelta(seconds=0.4)
    secret = _key(office, expires_at=ends)
    assert status_of(anybody, secret, "/stats") == 200
    while datetime.now(UTC) <= ends:
        pass
    assert status_of(anybody, secret, "/stats") == 401


def test_a_revoked_key_is_out_at_once(anybody: BoxOffice, office: BoxOffice):
    secret = _key(office)
    assert status_of(anybody, secret, "/stats") == 200
    with office.turnstile.access.changing() as connection:
        api_keys.revoke(connection, api_keys.with_secret(connection, secret).id)
    assert status_of(anybody, secret, "/stats") == 401


def test_a_revoked_key_is_out_in_other_processes_a_moment_later(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remembering, "REMEMBER_SECONDS", 0.3)
    other_process = compose(office.turnstile.settings)
    other, secret = BoxOffice(other_process, {}), _key(office)
    assert status_of(other, secret, "/stats") == 200
    with office.turnstile.access.changing() as connection:
        api_keys.revoke(connection, api_keys.with_secret(connection, secret).id)
    eventually(lambda: status_of(other, secret, "/stats") == 401, patience=5)
    other_process.close()


def test_the_keys_of_a_disabled_account_are_revoked(anybody: BoxOffice, office: BoxOffice):
    (_, admin), (made, olga) = as_one(office), as_one(office, ORGANIZER)
    new = {"name": "Mine", "role": "service", "scopes": ["stats:read"]}
    secret = olga.post("/api/v1/api-keys", new, 201)["secret"]
    assert status_of(anybody, secret, "/stats") == 200
    admin.post(f"/api/v1/accounts/{made.id}/disable")
    assert status_of(anybody, secret, "/stats") == 401


def test_no_key_outlives_an_account_that_is_disabled_while_it_is_made(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    made, olga = as_one(office, ORGANIZER)

    def disabled_meanwhile(*_: Any) -> None:
        with office.turnstile.access.changing() as connection:
            accounts.disable(connection, made.id)

    monkeypatch.setattr("web.routes.api_keys.require_usable", disabled_meanwhile)
    olga.post("/api/v1/api-keys", {"name": "Mine", "role": "service", "scopes": []}, 401)


def test_a_key_that_was_just_seen_is_no_credential_of_another_scheme(
    anybody: BoxOffice, office: BoxOffice
):
    secret = _key(office)
    assert status_of(anybody, secret, "/stats") == 200
    headers = {"Authorization": f"Digest {secret}"}
    assert anybody.send("GET", "/stats", headers=headers).status_code == 401


def test_a_key_that_is_revoked_again_was_revoked_when_it_was(office: BoxOffice):
    _, admin = as_one(office)
    path = f"/api/v1/api-keys/{admin.post('/api/v1/api-keys', SHOP, 201)['id']}/revoke"
    assert admin.post(path)["revoked_at"] == admin.post(path)["revoked_at"]


def test_so_many_keys_are_remembered_and_no_more(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remembering, "MOST_REMEMBERED", 3)
    access = remembering.Access(office.turnstile.engine, office.turnstile.engine)
    for number in range(10):
        access.remember(f"key {number}", NOBODY)
        assert access.remembered(f"key {number}") is NOBODY
    assert sum(access.was_good(f"key {number}") for number in range(10)) <= 3


def test_a_service_may_only_what_its_scopes_say(office: BoxOffice):
    service = BoxOffice(office.turnstile, bearer(_key(office)))
    for path, scope in (("/api/v1/orders", "orders:read"), ("/api/v1/log", "log:read")):
        problem = service.get(path, 403)
        assert problem["detail"] == f"This needs a key with the scope {scope}."
        assert problem["title"] == "The caller may not do this"


def test_the_key_of_an_organizer_is_made_for_what_it_can_do(office: BoxOffice):
    new = {"name": "Shop", "role": "service", "organizer_id": str(uuid4())}
    (_, admin), useless = as_one(office), ["customers:write", "log:read"]
    problem = admin.post("/api/v1/api-keys", {**new, "scopes": [*useless, "orders:write"]}, 422)
    assert problem["errors"][0]["field"] == "scopes"
    assert all(scope in problem["detail"] for scope in useless)
    usable = sorted(SCOPES_OF_ORGANIZERS)
    admin.post("/api/v1/api-keys", {**new, "scopes": usable}, 201)
    old = _key(office, scopes=useless, subject_id=UUID(new["organizer_id"]))
    problem = BoxOffice(office.turnstile, bearer(old)).get("/api/v1/log", 403)
    assert problem["detail"] == "The key of an organizer may not do this, whatever its scopes."


def test_an_organizer_does_not_get_secrets_by_a_key_either(office: BoxOffice):
    _, olga = as_one(office, ORGANIZER)
    ticket = office.ticket(olga.event(), office.customer())
    new = {"name": "Mine", "role": "service", "scopes": ["tickets:read"]}
    made = olga.post("/api/v1/api-keys", new, 201)
    mine = BoxOffice(office.turnstile, bearer(made["secret"]))
    assert mine.get(f"/api/v1/tickets/{ticket['id']}")["secret"] is None
