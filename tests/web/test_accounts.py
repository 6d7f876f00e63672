"""Accounts: registration, passwords, e-mail addresses, and accounts that admins make."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from application.access import accounts, api_keys
from application.access.identity import SERVICE, Unauthorized
from tests.keys import bearer
from tests.web.conftest import BoxOffice
from tests.web.people import ME, all_items, log_in, registered, registration, status_of
from tests.web.world import PASSWORD, api_key, as_one
from web.tokens import ACCESS_LIFETIME


def test_whoever_registers_is_a_customer_and_logged_in(anybody: BoxOffice, office: BoxOffice):
    body, tokens = registered(anybody)
    account = anybody.send("GET", ME, headers=bearer(tokens["access_token"])).json
    assert account == tokens["account"]
    assert account["role"] == "attendee"
    assert account["email"] == body["email"].casefold()
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == ACCESS_LIFETIME.total_seconds()
    customer = office.get(f"/api/v1/customers/{account['subject_id']}")
    assert (customer["name"], customer["country"]) == ("Ada Lovelace", "GB")


def test_a_registration_tells_where_it_stands_in_the_log(anybody: BoxOffice, office: BoxOffice):
    body = registration()
    same = {"Idempotency-Key": str(uuid4())}
    answers = [
        anybody.send("POST", "/api/v1/auth/register", json=body, headers=same) for _ in range(2)
    ]
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true"]
    assert answers[0].json == answers[1].json
    registered = answers[0].json
    history = f"/api/v1/customers/{registered['account']['subject_id']}/history"
    (made,) = office.get(history)["items"]
    assert made["position"] == registered["position"]
    at = str(made["position"])
    assert [answer.headers["Turnstile-Position"] for answer in answers] == [at, at]


def test_an_address_has_one_account_however_it_is_typed(anybody: BoxOffice):
    body, _ = registered(anybody)
    again = anybody.post("/api/v1/auth/register", {**body, "email": body["email"].upper()}, 409)
    assert again["type"] == "/problems/email-taken"
    assert log_in(anybody, body, email=body["email"].upper())["access_token"]


def test_a_registration_that_broke_off_is_finished_by_the_next(
    anybody: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    body = registration()
    monkeypatch.setattr("web.routes.accounts.accounts.add", _breaks)
    assert anybody.send("POST", "/api/v1/auth/register", json=body).status_code == 500
    monkeypatch.undo()
    before = _customers(anybody)
    anybody.post("/api/v1/auth/register", body, 201)
    assert _customers(anybody) == before


def test_a_registration_that_broke_off_does_not_bind_the_next(
    anybody: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    """Who comes next with this address, and other data, may be somebody else."""
    body = registration()
    with monkeypatch.context() as patch:
        patch.setattr("web.routes.accounts.accounts.add", _breaks)
        assert anybody.send("POST", "/api/v1/auth/register", json=body).status_code == 500
    anybody.post("/api/v1/auth/register", {**body, "name": "Ada King"}, 201)
    taken = anybody.post("/api/v1/auth/register", body, 409)
    assert taken["type"] == "/problems/email-taken"


def _breaks(*_: Any) -> Any:
    raise RuntimeError("The process ends here.")


def _customers(office: BoxOffice) -> int:
    count = text("SELECT count(*) FROM events WHERE topic = 'Customer.Registered'")
    with office.turnstile.engine.connect() as connection:
        return int(connection.execute(count).scalar_one())


@pytest.mark.parametrize("weak", ["short", "x" * 10, "abababababab", "y" * 201])
def test_what_is_guessed_first_is_no_password(anybody: BoxOffice, weak: str):
    body = registration(password=weak)
    problem = anybody.post("/api/v1/auth/register", body, 422)
    assert weak not in str(problem)
    assert [error["field"] for error in problem["errors"]] == ["password"]


def test_the_address_is_no_password(anybody: BoxOffice):
    body = registration()
    anybody.post("/api/v1/auth/register", {**body, "password": body["email"]}, 422)


def test_who_gets_the_password_wrong_learns_nothing_of_the_account(anybody: BoxOffice):
    body, _ = registered(anybody)
    wrong = log_in(anybody, body, 401, password="not the password")
    unknown = log_in(anybody, body, 401, email=f"{uuid4()}@example.org")
    assert wrong.pop("request_id") != unknown.pop("request_id")
    assert wrong == unknown


def test_passwords_and_secrets_are_stored_only_as_hashes(anybody: BoxOffice, office: BoxOffice):
    registered(anybody)
    _, secret = api_key(office, SERVICE, scopes=["stats:read"])
    with office.turnstile.engine.connect() as connection:
        people = connection.execute(text("SELECT * FROM accounts")).all()
        keys = connection.execute(text("SELECT * FROM api_keys")).all()
    assert PASSWORD not in str(people)
    assert all(row.password_hash.startswith("$argon2id$") for row in people)
    assert secret.removeprefix(api_keys.PREFIX) not in str(keys)


def test_another_password_ends_all_sessions(anybody: BoxOffice):
    body, first = registered(anybody)
    second = log_in(anybody, body)
    change = {"current_password": PASSWORD, "new_password": "another horse battery"}
    wrong = {**change, "current_password": "not the password"}
    headers = bearer(first["access_token"])
    assert (
        anybody.send("POST", "/api/v1/auth/password", json=wrong, headers=headers).status_code
        == 401
    )
    changed = anybody.send("POST", "/api/v1/auth/password", json=change, headers=headers)
    assert changed.status_code == 200
    for old in (first, second):
        assert status_of(anybody, old["access_token"]) == 401
    assert status_of(anybody, changed.json["access_token"]) == 200
    log_in(anybody, body, 401)
    assert log_in(anybody, body, password="another horse battery")["access_token"]


def test_of_two_who_change_a_password_at_once_the_second_is_refused(office: BoxOffice):
    access, address = office.turnstile.access, f"{uuid4()}@example.org"
    made = accounts.create(access, address, PASSWORD, "auditor")
    owner, thief = (
        accounts.prepare_password(access, made.id, PASSWORD, new)
        for new in ("another horse battery", "a thief's horse battery")
    )
    with access.changing() as connection:
        accounts.set_password(connection, owner)
    with pytest.raises(Unauthorized), access.changing() as connection:
        accounts.set_password(connection, thief)
    accounts.log_in(access, address, "another horse battery")


def test_people_change_the_address_that_they_log_in_with(anybody: BoxOffice, office: BoxOffice):
    (body, tokens), (taken, _) = registered(anybody), registered(anybody)
    ada = BoxOffice(office.turnstile, bearer(tokens["access_token"]))
    new = f"New-{uuid4()}@Example.org"
    change = {"email": new, "password": PASSWORD}
    for wrong in ("not the password", "short"):
        ada.post("/api/v1/auth/email", change | {"password": wrong}, 401)
    problem = ada.post("/api/v1/auth/email", change | {"email": taken["email"]}, 409)
    assert problem["type"] == "/problems/email-taken"
    assert ada.get(ME)["email"] == body["email"].casefold()
    changed = ada.post("/api/v1/auth/email", change)
    assert changed == tokens["account"] | {"email": new.casefold()}
    log_in(anybody, body, 401)
    assert log_in(anybody, body, email=new)["account"] == changed == ada.get(ME)
    customer = office.get(f"/api/v1/customers/{changed['subject_id']}")
    assert customer["email"] == body["email"]


def test_wrong_passwords_for_another_address_are_few(anybody: BoxOffice, office: BoxOffice):
    _, tokens = registered(anybody)
    ada = BoxOffice(office.turnstile, bearer(tokens["access_token"]))
    change = {"email": f"{uuid4()}@example.org", "password": "not the password"}
    for status in [401] * 10 + [429]:
        ada.post("/api/v1/auth/email", change, status)


def test_an_admin_makes_accounts_and_lists_them(anybody: BoxOffice, office: BoxOffice):
    (_, admin), body = as_one(office), registration()
    new = {"email": body["email"], "password": PASSWORD, "role": "organizer"}
    made = admin.post("/api/v1/accounts", new, 201)
    assert made["subject_id"]
    assert made in all_items(admin, "/api/v1/accounts")
    assert log_in(anybody, body)["account"] == made
    other = new | {"email": "z@example.org"}
    nobody = {"role": "auditor", "subject_id": str(uuid4())}
    for wrong in (other | {"role": "attendee"}, other | nobody):
        (error,) = admin.post("/api/v1/accounts", wrong, 422)["errors"]
        assert error["field"] == "subject_id"


def test_only_a_customer_who_is_there_gets_an_account(office: BoxOffice):
    (_, admin), gone = as_one(office), office.customer()
    office.post(f"/api/v1/customers/{gone['id']}/erase")
    account = {"email": f"{uuid4()}@example.org", "password": PASSWORD, "role": "attendee"}
    for subject_id in (gone["id"], str(uuid4()), office.event()["id"]):
        admin.post("/api/v1/accounts", account | {"subject_id": subject_id}, 422)


def test_a_disabled_account_is_out_at_once_and_in_again_when_enabled(
    anybody: BoxOffice, office: BoxOffice
):
    body, tokens = registered(anybody)
    _, admin = as_one(office)
    path = f"/api/v1/accounts/{tokens['account']['id']}"
    assert admin.post(f"{path}/disable")["disabled"] is True
    assert status_of(anybody, tokens["access_token"]) == 401
    log_in(anybody, body, 401)
    assert admin.post(f"{path}/enable")["disabled"] is False
    assert log_in(anybody, body)["account"]["disabled"] is False


def test_an_account_that_is_deleted_is_gone_and_its_keys_are_revoked(
    anybody: BoxOffice, office: BoxOffice
):
    (_, admin), body = as_one(office), registration()
    account = {"email": body["email"], "password": PASSWORD, "role": "organizer"}
    made = admin.post("/api/v1/accounts", account, 201)
    tokens = log_in(anybody, body)
    olga = BoxOffice(office.turnstile, bearer(tokens["access_token"]))
    new = {"name": "Mine", "role": "service", "scopes": ["stats:read"]}
    secret = olga.post("/api/v1/api-keys", new, 201)["secret"]
    assert status_of(anybody, secret, "/stats") == 200
    path = f"/api/v1/accounts/{made['id']}"
    assert admin.send("DELETE", path).status_code == 204
    assert status_of(anybody, tokens["access_token"]) == 401
    assert status_of(anybody, secret, "/stats") == 401
    log_in(anybody, body, 401)
    assert admin.send("DELETE", path).status_code == 404
    assert admin.post("/api/v1/accounts", account, 201)["id"] != made["id"]


def test_who_is_erased_has_no_account_any_more(anybody: BoxOffice, office: BoxOffice):
    body, tokens = registered(anybody)
    ada = BoxOffice(office.turnstile, bearer(tokens["access_token"]))
    path = f"/api/v1/customers/{tokens['account']['subject_id']}"
    held = ada.get(f"{path}/export")
    assert held["accounts"] == [tokens["account"]]
    assert ada.post(f"{path}/erase")["name"] == "erased"
    log_in(anybody, body, 401)
    refresh = {"refresh_token": tokens["refresh_token"]}
    anybody.post("/api/v1/auth/refresh", refresh, 401)
    with office.turnstile.engine.connect() as connection:
        left = connection.execute(text("SELECT email FROM accounts")).scalars().all()
    assert body["email"].casefold() not in left
    again = anybody.post("/api/v1/auth/register", body, 201)
    assert again["account"]["subject_id"] != tokens["account"]["subject_id"]
