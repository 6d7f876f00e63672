"""Coming in: registration, log-in, tokens, log-out, passwords, accounts and API keys."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from sqlalchemy import select, text, update

from application.access import access as remembering
from application.access import accounts, api_keys, sessions
from application.access.identity import ATTENDEE, SERVICE, Unauthorized
from application.composition import compose
from application.store.database import writing
from application.store.tables import sessions as sessions_table
from tests.keys import bearer
from tests.web.conftest import BoxOffice, Json
from tests.web.world import access_token, account
from tests.workers.processes import eventually
from web.permissions import SCOPES_OF_ORGANIZERS
from web.tokens import ACCESS_LIFETIME

PASSWORD = "correct horse battery"
ME = "/api/v1/auth/me"


@pytest.fixture
def anybody(office: BoxOffice) -> BoxOffice:
    """The same box office without credentials."""
    return BoxOffice(office.turnstile, {})


def registration(**changes: str) -> Json:
    return {
        "email": f"Ada-{uuid4()}@Example.org",
        "password": PASSWORD,
        "name": "Ada Lovelace",
        "country": "GB",
    } | changes


def registered(anybody: BoxOffice) -> tuple[Json, Json]:
    """What was sent to register, and the tokens."""
    body = registration()
    return body, anybody.post("/api/v1/auth/register", body, 201)


def log_in(anybody: BoxOffice, body: Json, status: int = 200, **changes: str) -> Json:
    return anybody.post(
        "/api/v1/auth/login",
        {"email": body["email"], "password": body["password"]} | changes,
        status,
    )


def status_of(anybody: BoxOffice, token: str, path: str = ME) -> int:
    return int(anybody.send("GET", path, headers=bearer(token)).status_code)


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
    secret = _key(office)
    with office.turnstile.engine.connect() as connection:
        people = connection.execute(text("SELECT * FROM accounts")).all()
        keys = connection.execute(text("SELECT * FROM api_keys")).all()
    assert PASSWORD not in str(people)
    assert all(row.password_hash.startswith("$argon2id$") for row in people)
    assert secret.removeprefix(api_keys.PREFIX) not in str(keys)


def test_logging_out_ends_the_session_and_no_other(anybody: BoxOffice):
    body, first = registered(anybody)
    second = log_in(anybody, body)
    assert status_of(anybody, first["access_token"]) == 200
    out = anybody.send("POST", "/api/v1/auth/logout", headers=bearer(first["access_token"]))
    assert out.status_code == 204
    assert status_of(anybody, first["access_token"]) == 401
    refresh = {"refresh_token": first["refresh_token"]}
    anybody.post("/api/v1/auth/refresh", refresh, 401)
    assert status_of(anybody, second["access_token"]) == 200


def test_a_log_out_ends_the_session_in_other_processes_at_once(
    anybody: BoxOffice, office: BoxOffice
):
    other_process = compose(office.turnstile.settings)
    other = BoxOffice(other_process, {})
    _, tokens = registered(anybody)
    assert status_of(other, tokens["access_token"]) == 200
    anybody.send("POST", "/api/v1/auth/logout", headers=bearer(tokens["access_token"]))
    assert status_of(other, tokens["access_token"]) == 401
    other_process.close()


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


def test_a_refresh_token_is_good_once_and_a_second_time_ends_the_session(anybody: BoxOffice):
    _, first = registered(anybody)
    second = anybody.post("/api/v1/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert status_of(anybody, second["access_token"]) == 200
    third = anybody.post("/api/v1/auth/refresh", {"refresh_token": second["refresh_token"]})
    anybody.post("/api/v1/auth/refresh", {"refresh_token": second["refresh_token"]}, 401)
    anybody.post("/api/v1/auth/refresh", {"refresh_token": third["refresh_token"]}, 401)
    assert status_of(anybody, third["access_token"]) == 401


def test_a_session_ends_a_lifetime_after_its_latest_refresh(anybody: BoxOffice, office: BoxOffice):
    _, tokens = registered(anybody)
    mine = sessions_table.c.account_id == UUID(tokens["account"]["id"])
    soon = datetime.now(UTC) + timedelta(minutes=1)
    with writing(office.turnstile.engine) as connection:
        connection.execute(update(sessions_table).where(mine).values(expires_at=soon))
    before = datetime.now(UTC)
    anybody.post("/api/v1/auth/refresh", {"refresh_token": tokens["refresh_token"]})
    with office.turnstile.engine.connect() as connection:
        ends = connection.execute(select(sessions_table.c.expires_at).where(mine)).scalar_one()
    assert before <= ends - sessions.LIFETIME <= datetime.now(UTC)


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


def test_a_disabled_account_is_out_at_once_and_in_again_when_enabled(
    anybody: BoxOffice, office: BoxOffice
):
    body, tokens = registered(anybody)
    admin = _admin(office)
    path = f"/api/v1/accounts/{tokens['account']['id']}"
    assert admin.post(f"{path}/disable")["disabled"] is True
    assert status_of(anybody, tokens["access_token"]) == 401
    log_in(anybody, body, 401)
    assert admin.post(f"{path}/enable")["disabled"] is False
    assert log_in(anybody, body)["account"]["disabled"] is False


def test_an_account_that_is_deleted_is_gone_and_its_keys_are_revoked(
    anybody: BoxOffice, office: BoxOffice
):
    admin, body = _admin(office), registration()
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
    admin, body = _admin(office), registration()
    new = {"email": body["email"], "password": PASSWORD, "role": "organizer"}
    made = admin.post("/api/v1/accounts", new, 201)
    assert made["subject_id"]
    assert made in _all_items(admin, "/api/v1/accounts")
    assert log_in(anybody, body)["account"] == made
    other = new | {"email": "z@example.org"}
    nobody = {"role": "auditor", "subject_id": str(uuid4())}
    for wrong in (other | {"role": "attendee"}, other | nobody):
        (error,) = admin.post("/api/v1/accounts", wrong, 422)["errors"]
        assert error["field"] == "subject_id"


def test_an_organizer_makes_keys_for_own_events_only(anybody: BoxOffice, office: BoxOffice):
    admin, body = _admin(office), registration()
    account = {"email": body["email"], "password": PASSWORD, "role": "organizer"}
    subject_id = admin.post("/api/v1/accounts", account, 201)["subject_id"]
    olga = BoxOffice(office.turnstile, bearer(log_in(anybody, body)["access_token"]))
    event = olga.event()
    assert event["organizer_id"] == subject_id
    key = {"name": "North gate", "role": "gate", "event_ids": [event["id"]]}
    made = olga.post("/api/v1/api-keys", key, 201)
    assert made["subject_id"] == subject_id
    listed = {name: value for name, value in made.items() if name != "secret"}
    assert _all_items(olga, "/api/v1/api-keys") == [listed]
    gate = BoxOffice(office.turnstile, {"X-API-Key": made["secret"]})
    assert gate.scan(event, secret="forged")["reason"] == "invalid"
    others = office.event()
    olga.post("/api/v1/api-keys", key | {"event_ids": [others["id"]]}, 403)
    olga.post("/api/v1/api-keys", key | {"organizer_id": str(uuid4())}, 403)
    of_all = admin.post("/api/v1/api-keys", key, 201)
    olga.post(f"/api/v1/api-keys/{of_all['id']}/revoke", {}, 404)
    assert olga.post(f"/api/v1/api-keys/{made['id']}/revoke")["revoked_at"]
    assert gate.send("POST", "/api/v1/checkins", json={}).status_code == 401


def test_a_key_of_an_organizer_is_good_no_more_for_an_event_that_is_given_away(
    anybody: BoxOffice, office: BoxOffice
):
    admin, body = _admin(office), registration()
    account = {"email": body["email"], "password": PASSWORD, "role": "organizer"}
    admin.post("/api/v1/accounts", account, 201)
    olga = BoxOffice(office.turnstile, bearer(log_in(anybody, body)["access_token"]))
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
    _admin(office).post("/api/v1/api-keys", {"name": "Odd", **wrong}, status)


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


def test_a_service_may_only_what_its_scopes_say(anybody: BoxOffice, office: BoxOffice):
    service = BoxOffice(office.turnstile, bearer(_key(office)))
    for path, scope in (("/api/v1/orders", "orders:read"), ("/api/v1/log", "log:read")):
        problem = service.get(path, 403)
        assert problem["detail"] == f"This needs a key with the scope {scope}."
        assert problem["title"] == "The caller may not do this"


def test_the_key_of_an_organizer_is_made_for_what_it_can_do(office: BoxOffice):
    new = {"name": "Shop", "role": "service", "organizer_id": str(uuid4())}
    admin, useless = _admin(office), ["customers:write", "log:read"]
    problem = admin.post("/api/v1/api-keys", {**new, "scopes": [*useless, "orders:write"]}, 422)
    assert problem["errors"][0]["field"] == "scopes"
    assert all(scope in problem["detail"] for scope in useless)
    usable = sorted(SCOPES_OF_ORGANIZERS)
    admin.post("/api/v1/api-keys", {**new, "scopes": usable}, 201)
    old = _key(office, scopes=useless, subject_id=UUID(new["organizer_id"]))
    problem = BoxOffice(office.turnstile, bearer(old)).get("/api/v1/log", 403)
    assert problem["detail"] == "The key of an organizer may not do this, whatever its scopes."


def test_statistics_of_no_event_are_a_bad_request_for_an_organizer_too(
    anybody: BoxOffice, office: BoxOffice
):
    admin, body = _admin(office), registration()
    account = {"email": body["email"], "password": PASSWORD, "role": "organizer"}
    admin.post("/api/v1/accounts", account, 201)
    olga = BoxOffice(office.turnstile, bearer(log_in(anybody, body)["access_token"]))
    unknown, others = uuid4(), office.event()["id"]
    for path in ("/stats", "/stats/daily", "/stats/scans"):
        assert str(unknown) in olga.get(f"{path}?event_id={unknown}", 400)["detail"]
        olga.get(f"{path}?event_id={others}", 403)
    olga.get(f"/api/v1/orders?event_id={unknown}", 404)


def test_an_attendee_orders_and_sees_own_orders_only(anybody: BoxOffice, office: BoxOffice):
    event, stranger = office.event(), office.customer("Bob")
    theirs = office.order(event, stranger)
    _, tokens = registered(anybody)
    ada = BoxOffice(office.turnstile, bearer(tokens["access_token"]))
    me = {"id": tokens["account"]["subject_id"]}
    order = ada.order(event, me)
    assert [item["id"] for item in ada.get("/api/v1/orders")["items"]] == [order["id"]]
    assert ada.get(f"/api/v1/orders/{order['id']}")["status"] == "placed"
    ada.get(f"/api/v1/orders/{theirs['id']}", 403)
    ada.get(f"/api/v1/orders/{uuid4()}", 404)
    fact = office.get(f"/api/v1/orders/{order['id']}/history")["items"][0]
    assert fact["who"] == f"attendee:{tokens['account']['id']}"


def test_a_ticket_that_was_handed_over_is_no_longer_theirs(anybody: BoxOffice, office: BoxOffice):
    _, tokens = registered(anybody)
    ada = BoxOffice(office.turnstile, bearer(tokens["access_token"]))
    ticket = office.ticket(office.event(), {"id": tokens["account"]["subject_id"]})
    bob, eve = office.customer("Bob"), office.customer("Eve")
    path = f"/api/v1/tickets/{ticket['id']}"
    assert ada.get(path)["secret"]
    ada.post(f"{path}/transfer", {"to_customer_id": bob["id"]})
    ada.post(f"{path}/transfer", {"to_customer_id": eve["id"]}, 403)
    ada.get(path, 403)


def test_a_ticket_is_shown_to_nobody_until_its_new_holder_is_seen(office: BoxOffice):
    ada, bob = office.customer("Ada"), office.customer("Bob")
    hers, his = (
        BoxOffice(
            office.turnstile,
            bearer(access_token(office, account(office, ATTENDEE, UUID(who["id"])))),
        )
        for who in (ada, bob)
    )
    ticket = office.ticket(office.event(), ada)
    path = f"/api/v1/tickets/{ticket['id']}"
    hers.post(f"{path}/transfer", {"to_customer_id": bob["id"]})
    for attendee in (hers, his):
        attendee.get(path, 403, caught_up=False)
    assert his.get(path)["secret"] != ticket["secret"]
    hers.get(path, 403)


def test_the_secret_of_a_ticket_is_not_for_those_who_run_the_event(office: BoxOffice):
    ticket = office.ticket(office.event(), office.customer())
    assert ticket["secret"]
    assert _admin(office).get(f"/api/v1/tickets/{ticket['id']}")["secret"] is None


def test_lists_narrow_down_to_an_organizers_own(anybody: BoxOffice, office: BoxOffice):
    other_event, customer = office.event(title="Other"), office.customer()
    office.sold(other_event, customer)
    admin, body = _admin(office), registration()
    account = {"email": body["email"], "password": PASSWORD, "role": "organizer"}
    admin.post("/api/v1/accounts", account, 201)
    olga = BoxOffice(office.turnstile, bearer(log_in(anybody, body)["access_token"]))
    event = olga.event(title="Own", capacity=1)
    sold = olga.sold(event, customer)
    assert [item["event_id"] for item in olga.get("/api/v1/events/summary")["items"]] == [
        event["id"]
    ]
    low = olga.get("/api/v1/events/low-capacity")["items"]
    assert [item["id"] for item in low] == [event["id"]]
    assert [item["id"] for item in olga.get("/api/v1/orders")["items"]] == [sold["id"]]
    assert set(olga.get("/stats")) == {event["id"]}
    for period in ("", "?start_date=2020-01-01"):
        top = olga.get(f"/api/v1/ticket-types/top{period}")["items"]
        assert {item["event_id"] for item in top} == {event["id"]}


def test_a_draft_is_not_there_for_others(anybody: BoxOffice, office: BoxOffice):
    draft = office.event(publish=False)
    anybody.get(f"/api/v1/events/{draft['id']}", 404)
    assert office.get(f"/api/v1/events/{draft['id']}")["status"] == "draft"


def test_a_draft_that_is_called_off_is_still_not_there_for_others(
    anybody: BoxOffice, office: BoxOffice
):
    body = registration()
    account = {"email": body["email"], "password": PASSWORD, "role": "organizer"}
    _admin(office).post("/api/v1/accounts", account, 201)
    olga = BoxOffice(office.turnstile, bearer(log_in(anybody, body)["access_token"]))
    title = f"Secret {uuid4()}"
    draft, shown = olga.event(publish=False, title=title), olga.event(title=title)
    for event in (draft, shown):
        olga.post(f"/api/v1/events/{event['id']}/cancel")
    cancelled = f"/api/v1/events?status=cancelled&organizer_id={draft['organizer_id']}"
    assert [item["id"] for item in anybody.get(cancelled)["items"]] == [shown["id"]]
    anybody.get(f"/api/v1/events/{draft['id']}", 404)
    assert anybody.get(f"/api/v1/events/{shown['id']}")["status"] == "cancelled"
    assert {item["id"] for item in olga.get(cancelled)["items"]} == {shown["id"], draft["id"]}
    assert olga.get(f"/api/v1/events/{draft['id']}")["status"] == "cancelled"


def _claims(office: BoxOffice, token: str, **changes: Any) -> Json:
    key = office.turnstile.settings.secret_key
    options: Any = {"verify_aud": False}
    return {**jwt.decode(token, key, algorithms=["HS256"], options=options), **changes}


def test_forged_tokens_are_refused(anybody: BoxOffice, office: BoxOffice):
    _, tokens = registered(anybody)
    key, claims = office.turnstile.settings.secret_key, _claims(office, tokens["access_token"])
    good = jwt.encode(claims, key, "HS256")
    assert status_of(anybody, good) == 200
    forged = [
        jwt.encode(claims, "", "none"),
        jwt.encode(claims, "another key, which is also long enough", "HS256"),
        jwt.encode(claims, key * 2, "HS512"),
        jwt.encode({**claims, "exp": claims["iat"] - 1}, key, "HS256"),
        jwt.encode({**claims, "nbf": claims["iat"] + 3600}, key, "HS256"),
        jwt.encode({**claims, "aud": "somebody else"}, key, "HS256"),
        jwt.encode({**claims, "iss": "somebody else"}, key, "HS256"),
        jwt.encode({**claims, "sid": str(uuid4())}, key, "HS256"),
        jwt.encode({**claims, "sid": "1' OR '1'='1"}, key, "HS256"),
        jwt.encode({name: value for name, value in claims.items() if name != "exp"}, key, "HS256"),
        good[:-2],
        good.replace(".", "", 1),
        "turnstile_",
        "null",
        tokens["refresh_token"],
    ]
    assert [status_of(anybody, token) for token in forged] == [401] * len(forged)
    swapped = {"refresh_token": tokens["access_token"]}
    anybody.post("/api/v1/auth/refresh", swapped, 401)


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer ", "bearer\ttoken", "x" * 9000])
def test_a_header_that_says_nothing_is_refused(anybody: BoxOffice, header: str):
    answer = anybody.send("GET", "/api/v1/events", headers={"Authorization": header})
    assert answer.status_code == 401


def _key(office: BoxOffice, **changes: Any) -> str:
    made = {"name": "Dashboard", "role": SERVICE, "scopes": ["stats:read"]} | changes
    with office.turnstile.access.changing() as connection:
        return api_keys.create(connection, created_by="tests", **made)[1]


def test_no_key_outlives_an_account_that_is_disabled_while_it_is_made(
    anybody: BoxOffice, office: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    admin, body = _admin(office), registration()
    account = {"email": body["email"], "password": PASSWORD, "role": "organizer"}
    made = admin.post("/api/v1/accounts", account, 201)
    olga = BoxOffice(office.turnstile, bearer(log_in(anybody, body)["access_token"]))

    def disabled_meanwhile(*_: Any) -> None:
        with office.turnstile.access.changing() as connection:
            accounts.disable(connection, UUID(made["id"]))

    monkeypatch.setattr("web.routes.api_keys._require_usable", disabled_meanwhile)
    olga.post("/api/v1/api-keys", {"name": "Mine", "role": "service", "scopes": []}, 401)


def _admin(office: BoxOffice) -> BoxOffice:
    address = f"admin-{uuid4()}@example.org"
    accounts.create(office.turnstile.access, address, PASSWORD, "admin")
    tokens = log_in(BoxOffice(office.turnstile, {}), {"email": address, "password": PASSWORD})
    return BoxOffice(office.turnstile, bearer(tokens["access_token"]))


def _all_items(office: BoxOffice, path: str) -> list[Json]:
    page = office.get(f"{path}?limit=200")
    items: list[Json] = page["items"]
    while page["next"]:
        page = office.get(f"{path}?limit=200&after={page['next']}")
        items += page["items"]
    return items


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
    again = registered_as(anybody, body)
    assert again["account"]["subject_id"] != tokens["account"]["subject_id"]


def registered_as(anybody: BoxOffice, body: Json) -> Json:
    return anybody.post("/api/v1/auth/register", body, 201)


def test_a_stranger_neither_uses_up_nor_reads_the_nonces_of_a_gate(office: BoxOffice):
    event = office.event()
    ticket = office.ticket(event, office.customer())
    secret = _key(office, role="gate", scopes=[], event_ids=[UUID(office.event()["id"])])
    stranger = BoxOffice(office.turnstile, bearer(secret))
    attempt = {"event_id": event["id"], "secret": ticket["secret"], "nonce": "0001"}
    stranger.post("/api/v1/checkins", attempt, 403)
    assert office.scan(event, **attempt)["status"] == "ok"
    assert office.scan(event, **attempt)["status"] == "ok"
    stranger.post("/api/v1/checkins", attempt, 403)


def test_a_stranger_does_not_learn_a_version(anybody: BoxOffice, office: BoxOffice):
    order = office.order(office.event(), office.customer())
    _, tokens = registered(anybody)
    headers = bearer(tokens["access_token"]) | {"If-Match": '"99"'}
    path = f"/api/v1/orders/{order['id']}/cancel"
    assert anybody.send("POST", path, headers=headers).status_code == 403


def test_an_organizer_does_not_get_secrets_by_a_key_either(anybody: BoxOffice, office: BoxOffice):
    body = registration()
    account = {"email": body["email"], "password": PASSWORD, "role": "organizer"}
    _admin(office).post("/api/v1/accounts", account, 201)
    olga = BoxOffice(office.turnstile, bearer(log_in(anybody, body)["access_token"]))
    ticket = office.ticket(olga.event(), office.customer())
    new = {"name": "Mine", "role": "service", "scopes": ["tickets:read"]}
    made = olga.post("/api/v1/api-keys", new, 201)
    mine = BoxOffice(office.turnstile, bearer(made["secret"]))
    assert mine.get(f"/api/v1/tickets/{ticket['id']}")["secret"] is None


def test_the_keys_of_a_disabled_account_are_revoked(anybody: BoxOffice, office: BoxOffice):
    admin, body = _admin(office), registration()
    account = {"email": body["email"], "password": PASSWORD, "role": "organizer"}
    made = admin.post("/api/v1/accounts", account, 201)
    olga = BoxOffice(office.turnstile, bearer(log_in(anybody, body)["access_token"]))
    new = {"name": "Mine", "role": "service", "scopes": ["stats:read"]}
    secret = olga.post("/api/v1/api-keys", new, 201)["secret"]
    assert status_of(anybody, secret, "/stats") == 200
    admin.post(f"/api/v1/accounts/{made['id']}/disable")
    assert status_of(anybody, secret, "/stats") == 401


def test_only_a_customer_who_is_there_gets_an_account(office: BoxOffice):
    admin, gone = _admin(office), office.customer()
    office.post(f"/api/v1/customers/{gone['id']}/erase")
    account = {"email": f"{uuid4()}@example.org", "password": PASSWORD, "role": "attendee"}
    for subject_id in (gone["id"], str(uuid4()), office.event()["id"]):
        admin.post("/api/v1/accounts", account | {"subject_id": subject_id}, 422)


def test_a_log_in_does_not_outlive_a_password_that_is_changed_meanwhile(office: BoxOffice):
    access, address = office.turnstile.access, f"{uuid4()}@example.org"
    made = accounts.create(access, address, PASSWORD, "auditor")
    account, held_against = accounts.log_in(access, address, PASSWORD)
    changed = accounts.prepare_password(access, made.id, PASSWORD, "another horse battery")
    with access.changing() as connection:
        accounts.set_password(connection, changed)
    with pytest.raises(Unauthorized), access.changing() as connection:
        sessions.begin(connection, account, held_against)


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


def test_an_export_tells_nothing_of_others(anybody: BoxOffice, office: BoxOffice):
    _, tokens = registered(anybody)
    ada = BoxOffice(office.turnstile, bearer(tokens["access_token"]))
    ticket = office.ticket(office.event(), {"id": tokens["account"]["subject_id"]})
    bob = office.customer("Bob")
    ada.post(f"/api/v1/tickets/{ticket['id']}/transfer", {"to_customer_id": bob["id"]})
    (his,) = office.get(f"/api/v1/customers/{bob['id']}/export")["tickets"]
    (given,) = his["history"]
    assert (given["who"], given["metadata"]) == ("attendee", {})
    (hers,) = ada.get(f"/api/v1/customers/{tokens['account']['subject_id']}/export")["tickets"]
    assert hers["history"][-1]["who"] == f"attendee:{tokens['account']['id']}"
    assert hers["history"][-1]["metadata"]["ip"] == "127.0.0.1"


def test_an_export_tells_from_where_the_customer_ordered_even_when_their_account_is_gone(
    anybody: BoxOffice, office: BoxOffice
):
    _, tokens = registered(anybody)
    ada, me = BoxOffice(office.turnstile, bearer(tokens["access_token"])), tokens["account"]
    order = ada.order(office.event(), {"id": me["subject_id"]})
    office.post(f"/api/v1/orders/{order['id']}/pay", {"method": "card"})
    for mine in (ada, office):
        (held,) = mine.get(f"/api/v1/customers/{me['subject_id']}/export")["orders"]
        placed, paid = held["history"]
        assert (placed["who"], placed["metadata"]["ip"]) == (f"attendee:{me['id']}", "127.0.0.1")
        assert (paid["who"], paid["metadata"]) == ("service", {})
        with office.turnstile.access.changing() as connection:
            connection.execute(text("DELETE FROM accounts WHERE email = :email"), me)


def test_a_key_that_was_just_seen_is_no_credential_of_another_scheme(
    anybody: BoxOffice, office: BoxOffice
):
    secret = _key(office)
    assert status_of(anybody, secret, "/stats") == 200
    headers = {"Authorization": f"Digest {secret}"}
    assert anybody.send("GET", "/stats", headers=headers).status_code == 401
