"""Asking again for accounts, sessions and keys: what is done once, and told twice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from random import randrange
from threading import Barrier
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import func, select, text, update

from application.access import accounts
from application.access.identity import ORGANIZER
from application.access.passwords import Busy
from application.composition import Turnstile, compose
from application.settings import Settings
from application.store.database import vault_of, writing
from application.store.tables import access_answers, idempotency, sessions
from application.store.tables import accounts as accounts_table
from application.store.tables import api_keys as keys_table
from tests.keys import bearer
from tests.web.conftest import UNLIMITED, BoxOffice, Json
from tests.web.test_personal_data import holding
from tests.web.world import PASSWORD, account, as_one
from workers.tidying import tidy

AUTH = "/api/v1/auth"
NEW_KEY = {"name": "Shop", "role": "service", "scopes": ["stats:read"]}
NEW_PASSWORD = "another horse battery"
REGISTERED = text("(SELECT 1 FROM events WHERE topic = 'Customer.Registered') AS registered")


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


def address() -> str:
    return f"{uuid4()}@example.org"


def registration(**changes: str) -> Json:
    return {"email": address(), "password": PASSWORD, "name": "Ada Lovelace"} | changes


@pytest.fixture
def own(migrated_url: str) -> Iterator[BoxOffice]:
    """A box office that no other test looks into, and where nobody is known yet."""
    turnstile = compose(Settings(database_url=migrated_url, **UNLIMITED))
    yield BoxOffice(turnstile, {})
    turnstile.close()


def count(turnstile: Turnstile, table: Any) -> int:
    with turnstile.engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def at_once(office: BoxOffice, path: str, body: Json, headers: dict[str, str]) -> Json:
    """The one answer that eight requests at the same moment get, of which one was the first."""
    start = Barrier(8)

    def ask(_: int) -> Any:
        start.wait()
        return office.send("POST", path, json=body, headers=headers)

    with ThreadPoolExecutor(8) as threads:
        responses = list(threads.map(ask, range(8)))
    assert {r.status_code for r in responses} <= {200, 201}, [r.text for r in responses]
    assert len({response.text for response in responses}) == 1
    assert sum("Idempotent-Replayed" in response.headers for response in responses) == 7
    return responses[0].json  # type: ignore[no-any-return]


def test_eight_at_once_make_one_api_key(own: BoxOffice):
    _, admin = as_one(own)
    made = at_once(admin, "/api/v1/api-keys", NEW_KEY, key())
    assert own.send("GET", "/stats", headers=bearer(made["secret"])).status_code == 200
    assert count(own.turnstile, keys_table) == 1


def test_eight_at_once_make_one_account(own: BoxOffice):
    _, admin = as_one(own)
    body = {"email": address(), "password": PASSWORD, "role": ORGANIZER}
    at_once(admin, "/api/v1/accounts", body, key())
    assert count(own.turnstile, accounts_table) == 2


def test_eight_at_once_register_one_customer(own: BoxOffice):
    at_once(own, f"{AUTH}/register", registration(), key())
    assert [count(own.turnstile, t) for t in (accounts_table, sessions, REGISTERED)] == [1, 1, 1]


def test_eight_at_once_begin_one_session(own: BoxOffice):
    made = account(own, ORGANIZER)
    at_once(own, f"{AUTH}/login", {"email": made.email, "password": PASSWORD}, key())
    assert count(own.turnstile, sessions) == 1


def test_eight_at_once_refresh_a_session_once(own: BoxOffice):
    first = own.post(f"{AUTH}/register", registration(), 201)
    body = {"refresh_token": first["refresh_token"]}
    second = at_once(own, f"{AUTH}/refresh", body, key())
    own.post(f"{AUTH}/refresh", {"refresh_token": second["refresh_token"]})


def test_eight_at_once_change_a_password_once(own: BoxOffice):
    made, person = as_one(own)
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    changed = at_once(person, f"{AUTH}/password", change, key())
    assert count(own.turnstile, sessions) == 1
    shown = own.send("GET", f"{AUTH}/me", headers=bearer(changed["access_token"]))
    assert shown.json == changed["account"]
    own.post(f"{AUTH}/login", {"email": made.email, "password": NEW_PASSWORD})


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_registration_that_is_overtaken_by_itself_is_one(
    own: BoxOffice, monkeypatch: pytest.MonkeyPatch, before: bool
):
    """Before the address is looked up, which then is taken, or after it was found to be free."""
    sent: Any = {"json": registration(), "headers": key()}
    first: list[Any] = []

    def overtake(*_: Any) -> None:
        with ThreadPoolExecutor(1) as thread:
            first.append(thread.submit(own.send, "POST", f"{AUTH}/register", **sent).result())

    def look_up(*given: Any) -> None:
        monkeypatch.undo()
        for step in (overtake, accounts.require_acceptable)[:: 1 if before else -1]:
            step(*given)

    monkeypatch.setattr("web.routes.accounts.accounts.require_acceptable", look_up)
    again = own.send("POST", f"{AUTH}/register", **sent)
    assert (again.status_code, again.json) == (201, first[0].json)
    assert count(own.turnstile, REGISTERED) == 1


def test_a_refresh_whose_answer_was_lost_is_told_again(anybody: BoxOffice):
    tokens = anybody.post(f"{AUTH}/register", registration(), 201)
    headers, body = key(), {"refresh_token": tokens["refresh_token"]}
    first = anybody.send("POST", f"{AUTH}/refresh", json=body, headers=headers)
    again = anybody.send("POST", f"{AUTH}/refresh", json=body, headers=headers)
    assert (again.status_code, again.json) == (200, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    anybody.post(f"{AUTH}/refresh", {"refresh_token": first.json["refresh_token"]})


def test_a_refresh_token_that_comes_again_under_another_key_was_stolen(anybody: BoxOffice):
    tokens = anybody.post(f"{AUTH}/register", registration(), 201)
    body = {"refresh_token": tokens["refresh_token"]}
    first = anybody.send("POST", f"{AUTH}/refresh", json=body, headers=key()).json
    for _ in range(2):
        stolen = anybody.send("POST", f"{AUTH}/refresh", json=body, headers=key())
        assert stolen.status_code == 401
    anybody.post(f"{AUTH}/refresh", {"refresh_token": first["refresh_token"]}, 401)


def test_another_body_is_another_request(office: BoxOffice):
    _, admin = as_one(office)
    headers = key()
    admin.send("POST", "/api/v1/api-keys", json=NEW_KEY, headers=headers)
    other = admin.send("POST", "/api/v1/api-keys", json=NEW_KEY | {"name": "B"}, headers=headers)
    assert other.status_code == 422
    assert other.json["type"] == "/problems/idempotency-key-reused"


def test_a_key_belongs_to_an_actor_and_a_path(office: BoxOffice):
    headers, made = key(), set()
    for _ in range(2):
        _, admin = as_one(office)
        made.add(admin.send("POST", "/api/v1/api-keys", json=NEW_KEY, headers=headers).json["id"])
    assert len(made) == 2
    path = f"/api/v1/api-keys/{made.pop()}/revoke"
    revoked = [admin.send("POST", path, headers=headers) for _ in range(2)]
    assert [response.status_code for response in revoked] == [200, 200]
    assert revoked[1].json == revoked[0].json


def test_a_strangers_key_is_in_nobodys_way(anybody: BoxOffice):
    headers = {"Idempotency-Key": "1"}
    bodies = [registration() for _ in range(2)]

    def register(body: Json, ip: str) -> Any:
        environ = {"REMOTE_ADDR": ip}
        return anybody.send(
            "POST", f"{AUTH}/register", json=body, headers=headers, environ_base=environ
        )

    tokens = [register(body, f"10.9.{randrange(256)}.{n}") for n, body in enumerate(bodies)]
    assert [response.status_code for response in tokens] == [201, 201]
    emails = [response.json["account"]["email"] for response in tokens]
    assert emails == [body["email"] for body in bodies]
    guess = {**bodies[0], "password": "not the password"}
    assert register(guess, "10.8.0.1").status_code == 409
    assert register(bodies[0], "10.8.0.2").json == tokens[0].json


def test_a_registration_that_is_refused_is_in_nobodys_way(own: BoxOffice):
    body = registration()
    for _ in range(2):
        refused = own.post(f"{AUTH}/register", body | {"name": "  "}, 422)
        assert refused["type"] == "/problems/invalid-customer"
        assert [error["field"] for error in refused["errors"]] == ["name"]
    assert own.post(f"{AUTH}/register", body, 201)["account"]["email"] == body["email"]


def test_a_registration_that_finds_all_hashing_busy_has_made_nobody(
    own: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    def busy(_: str) -> str:
        raise Busy("not now")

    body = registration()
    with monkeypatch.context() as patch:
        patch.setattr("application.access.passwords.hash_of", busy)
        assert own.post(f"{AUTH}/register", body, 429)["type"] == "/problems/too-many-requests"
    assert count(own.turnstile, REGISTERED) == 0
    own.post(f"{AUTH}/register", body | {"phone": "+44 20 7946 0000"}, 201)
    assert count(own.turnstile, REGISTERED) == 1


@pytest.mark.parametrize("path", ["register", "login", "refresh"])
def test_another_body_from_the_same_address_is_refused(anybody: BoxOffice, path: str):
    registered = [registration() for _ in range(2)]
    sessions_of = [anybody.post(f"{AUTH}/register", body, 201) for body in registered]
    bodies = {
        "register": [registration(), registration()],
        "login": [{name: body[name] for name in ("email", "password")} for body in registered],
        "refresh": [{"refresh_token": begun["refresh_token"]} for begun in sessions_of],
    }[path]
    headers = key()
    answered = [
        anybody.send("POST", f"{AUTH}/{path}", json=body, headers=headers)
        for body in (*bodies, bodies[0])
    ]
    assert answered[1].status_code == 422
    assert answered[1].json["type"] == "/problems/idempotency-key-reused"
    assert answered[2].json == answered[0].json
    assert answered[2].status_code in (200, 201)


def test_who_has_left_is_told_again_and_nobody_else(anybody: BoxOffice):
    ended = [anybody.post(f"{AUTH}/register", registration(), 201) for _ in range(2)]
    shown, other = (bearer(tokens["access_token"]) for tokens in ended)
    headers = key()
    first, again = (
        anybody.send("POST", f"{AUTH}/logout", headers=shown | headers) for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (204, 204)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert anybody.send("GET", f"{AUTH}/me", headers=shown | headers).status_code == 401
    for strange in (shown, shown | key(), headers, bearer("forged") | headers):
        assert anybody.send("POST", f"{AUTH}/logout", headers=strange).status_code == 401
    # Another session's key of the same name is another one.
    out = anybody.send("POST", f"{AUTH}/logout", headers=other | headers)
    assert (out.status_code, "Idempotent-Replayed" in out.headers) == (204, False)


def test_a_new_password_is_told_again_to_the_session_that_it_ended(anybody: BoxOffice):
    tokens = anybody.post(f"{AUTH}/register", registration(), 201)
    change: Json = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    sent: Any = {"json": change, "headers": bearer(tokens["access_token"]) | key()}
    first, again = (anybody.send("POST", f"{AUTH}/password", **sent) for _ in range(2))
    assert (again.status_code, again.json) == (200, first.json)
    sent["json"] = {**change, "new_password": "a third horse battery"}
    assert anybody.send("POST", f"{AUTH}/password", **sent).status_code == 422


def test_what_comes_late_a_second_time_undoes_nothing(office: BoxOffice, anybody: BoxOffice):
    _, admin = as_one(office)
    somebody = account(office, ORGANIZER)
    path, headers = f"/api/v1/accounts/{somebody.id}", key()
    first = admin.send("POST", f"{path}/disable", headers=headers)
    admin.post(f"{path}/enable")
    again = admin.send("POST", f"{path}/disable", headers=headers)
    assert (again.json, again.json["disabled"]) == (first.json, True)
    anybody.post(f"{AUTH}/login", {"email": somebody.email, "password": PASSWORD})


def test_a_refusal_is_decided_anew(office: BoxOffice):
    _, admin = as_one(office)
    headers, taken = key(), account(office, ORGANIZER)
    body = {"email": address(), "password": PASSWORD, "role": "attendee"}
    path = "/api/v1/accounts"
    assert admin.send("POST", path, json=body, headers=headers).status_code == 422
    assert (
        admin.send(
            "POST", path, json=body | {"email": taken.email, "role": ORGANIZER}, headers=headers
        ).status_code
        == 409
    )
    body["role"] = ORGANIZER
    assert admin.send("POST", path, json=body, headers=headers).status_code == 201


def test_after_a_day_a_key_is_new_again(own: BoxOffice):
    _, admin = as_one(own)
    headers = key()
    first = admin.send("POST", "/api/v1/api-keys", json=NEW_KEY, headers=headers).json
    _grow_older(own.turnstile, timedelta(hours=23, minutes=59))
    again = admin.send("POST", "/api/v1/api-keys", json=NEW_KEY, headers=headers).json
    assert again == first
    tidy(own.turnstile)
    assert count(own.turnstile, access_answers) == 1
    _grow_older(own.turnstile, timedelta(minutes=1))
    renewed = admin.send("POST", "/api/v1/api-keys", json=NEW_KEY, headers=headers).json
    assert renewed["id"] != first["id"]
    assert admin.send("POST", "/api/v1/api-keys", json=NEW_KEY, headers=headers).json == renewed
    _grow_older(own.turnstile, timedelta(hours=24))
    tidy(own.turnstile)
    assert count(own.turnstile, access_answers) == 0


def _grow_older(turnstile: Turnstile, by: timedelta) -> None:
    with writing(turnstile.engine) as connection:
        (expires_at,) = connection.execute(select(access_answers.c.expires_at)).scalars()
        connection.execute(update(access_answers).values(expires_at=expires_at - by))


def test_what_breaks_off_before_the_answer_is_kept_has_not_happened(
    own: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    headers, body = key(), registration()
    monkeypatch.setattr("web.once.answers.keep", _breaks)
    assert own.send("POST", f"{AUTH}/register", json=body, headers=headers).status_code == 500
    monkeypatch.undo()
    assert [count(own.turnstile, t) for t in (accounts_table, sessions, access_answers)] == [0] * 3
    made = own.send("POST", f"{AUTH}/register", json=body, headers=headers)
    assert (made.status_code, "Idempotent-Replayed" in made.headers) == (201, False)


def _breaks(*_: Any) -> Any:
    raise RuntimeError("The process ends here.")


def test_no_secret_and_no_guess_at_a_password_rests_in_the_database(own: BoxOffice):
    _, admin = as_one(own)
    made = admin.send("POST", "/api/v1/api-keys", json=NEW_KEY, headers=key()).json
    body = registration()
    tokens = own.send("POST", f"{AUTH}/register", json=body, headers=key()).json
    with own.turnstile.engine.connect() as connection:
        rows = connection.execute(select(access_answers)).all()
        fingerprints = set(connection.execute(select(idempotency.c.fingerprint)).scalars())
    assert len(rows) == 3  # that of the registration also for its address
    for secret in (made["secret"], tokens["refresh_token"], tokens["account"]["email"]):
        assert all(secret.encode() not in bytes(row.sealed) for row in rows)
    asked = f"POST {AUTH}/register\n".encode() + msgspec.json.encode(body, order="deterministic")
    assert sha256(asked).hexdigest() not in {row.fingerprint for row in rows} | fingerprints
    assert vault_of(own.turnstile.engine).fingerprint(asked) in fingerprints


def test_an_erased_customers_answers_go_with_their_account(own: BoxOffice):
    body = registration(name="Zenobia Quuxington", email="zenobia@quuxington.example")
    headers = key()
    tokens = own.send("POST", f"{AUTH}/register", json=body, headers=headers).json
    person = BoxOffice(own.turnstile, bearer(tokens["access_token"]))
    own.catch_up()
    assert "access_answers" not in holding(own.turnstile)
    assert count(own.turnstile, access_answers) == 2
    person.post(f"/api/v1/customers/{tokens['account']['subject_id']}/erase")
    assert count(own.turnstile, access_answers) == 0
    # The key leads to the customer who is no more; whoever they are now takes another one.
    assert own.send("POST", f"{AUTH}/register", json=body, headers=headers).status_code == 422
    assert own.send("POST", f"{AUTH}/register", json=body, headers=key()).status_code == 201


def test_an_answer_that_was_altered_is_not_given(own: BoxOffice):
    _, admin = as_one(own)
    headers = key()
    admin.send("POST", "/api/v1/api-keys", json=NEW_KEY, headers=headers)
    with writing(own.turnstile.engine) as connection:
        connection.execute(update(access_answers).values(sealed=b"nonsense" * 8))
    again = admin.send("POST", "/api/v1/api-keys", json=NEW_KEY, headers=headers)
    assert (again.status_code, again.json["type"]) == (409, "/problems/answer-lost")
    assert count(own.turnstile, keys_table) == 1


def test_under_another_master_key_nothing_is_done_twice(own: BoxOffice):
    _, admin = as_one(own)
    headers = key()
    admin.send("POST", "/api/v1/api-keys", json=NEW_KEY, headers=headers)
    url = own.turnstile.settings.database_url
    renewed = compose(Settings(database_url=url, master_key="77" * 32, **UNLIMITED))
    later = BoxOffice(renewed, admin.credentials)
    again = later.send("POST", "/api/v1/api-keys", json=NEW_KEY, headers=headers)
    assert again.status_code == 422
    assert count(renewed, keys_table) == 1
    renewed.close()


@pytest.mark.parametrize("bad", ["", "x" * 256, "caf\u00e9"])
def test_a_key_that_is_none_is_refused(anybody: BoxOffice, bad: str):
    headers = {"Idempotency-Key": bad.encode().decode("latin-1")}
    response = anybody.send("POST", f"{AUTH}/register", json=registration(), headers=headers)
    assert response.status_code == 400
