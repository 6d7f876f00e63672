"""Who asks too much is told to wait, and nobody else has to."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from limits import parse
from sqlalchemy import Connection

from application.access import access as remembering
from application.access import accounts, api_keys, passwords
from application.access.identity import AUDITOR
from application.composition import Turnstile, compose
from application.settings import Settings
from tests.keys import bearer, service_key
from tests.web.conftest import BoxOffice
from tests.web.world import access_token, account
from web import limits

PASSWORD = "correct horse battery"

Limited = Callable[..., BoxOffice]


@pytest.fixture
def limited(office: BoxOffice) -> Iterator[Limited]:
    """A process of the box office with these limits, and no credentials."""
    opened: list[Turnstile] = []

    def open_one(**limits: Any) -> BoxOffice:
        opened.append(compose(replace(office.turnstile.settings, **limits)))
        return BoxOffice(opened[-1], {})

    yield open_one
    for turnstile in opened:
        turnstile.close()


def asked(office: BoxOffice, times: int, address: str = "10.0.0.1", **headers: str) -> list[int]:
    environ = {"REMOTE_ADDR": address}
    return [
        office.send("GET", "/api/v1/events", headers=headers, environ_base=environ).status_code
        for _ in range(times)
    ]


def test_one_address_is_told_to_wait_and_another_is_not(limited: Limited):
    office = limited(rate_limit="3 per minute")
    assert asked(office, 4) == [200, 200, 200, 429]
    assert asked(office, 1, address="10.0.0.2") == [200]


def test_the_answer_says_what_is_left_and_how_long_to_wait(limited: Limited):
    office = limited(rate_limit="2 per minute")
    answers = [office.send("GET", "/api/v1/events") for _ in range(3)]
    assert [answer.headers["RateLimit-Limit"] for answer in answers] == ["2"] * 3
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert all(1 <= int(answer.headers["RateLimit-Reset"]) <= 60 for answer in answers)
    assert ["Retry-After" in answer.headers for answer in answers] == [False, False, True]
    assert answers[2].json["type"] == "/problems/too-many-requests"


def test_a_caller_is_limited_wherever_they_are(limited: Limited):
    office = limited(rate_limit="2 per minute")
    address = f"{uuid4()}@example.org"
    accounts.create(office.turnstile.access, address, PASSWORD, "auditor")
    tokens = office.post("/api/v1/auth/login", {"email": address, "password": PASSWORD})
    credentials = bearer(tokens["access_token"])
    answers = [asked(office, 1, f"10.0.1.{number}", **credentials)[0] for number in range(3)]
    assert answers == [200, 200, 429]
    assert asked(office, 1, "10.0.1.0") == [200]


def test_people_behind_one_address_share_what_it_may_ask(limited: Limited):
    office = limited(rate_limit="", rate_limit_address="2 per minute")
    first, second = (bearer(access_token(office, account(office, AUDITOR))) for _ in range(2))
    statuses = [asked(office, 1, **who)[0] for who in (first, second, first, second)]
    assert statuses == [200, 200, 429, 429]
    assert asked(office, 1, address="10.0.0.2", **first) == [200]


def test_bad_credentials_count_as_well(limited: Limited):
    office = limited(rate_limit="2 per minute")
    assert asked(office, 3, **bearer("turnstile_nonsense")) == [401, 401, 429]


def test_wrong_keys_from_one_address_are_soon_not_looked_up_any_more(
    limited: Limited, office: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remembering, "REMEMBER_SECONDS", 0.0)
    guessed = limited(rate_limit_wrong_keys="3 per minute")
    looked_up: list[str] = []
    with_secret = api_keys.with_secret

    def look_up(connection: Connection, secret: str) -> api_keys.ApiKey:
        looked_up.append(secret)
        return with_secret(connection, secret)

    monkeypatch.setattr(api_keys, "with_secret", look_up)
    assert asked(guessed, 1, **office.credentials) == [200]
    for number, status in enumerate([401] * 3 + [429] * 2):
        assert asked(guessed, 1, **bearer(f"turnstile_guess_{number}")) == [status]
    assert len(looked_up) == 4
    unknown_here = bearer(service_key(office.turnstile))
    assert asked(guessed, 1, **unknown_here) == [429]
    assert asked(guessed, 1, address="10.0.0.2", **unknown_here) == [200]
    for _ in range(2):
        assert asked(guessed, 1, **unknown_here) == asked(guessed, 1, **office.credentials) == [200]
        with guessed.turnstile.access.changing():
            pass  # whatever somebody else has changed, these were good
    assert asked(guessed, 1) == [200]
    refused = guessed.send(
        "GET",
        "/api/v1/events",
        headers=bearer("turnstile_x"),
        environ_base={"REMOTE_ADDR": "10.0.0.1"},
    )
    assert refused.headers["Retry-After"] == "60"


def test_a_key_that_was_good_is_looked_up_once_more(
    limited: Limited, office: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remembering, "REMEMBER_SECONDS", 0.0)
    guessed = limited(rate_limit_wrong_keys="2 per minute")
    secret = service_key(office.turnstile)
    assert asked(guessed, 2, **bearer(secret)) == [200, 200]
    with office.turnstile.access.changing() as connection:
        api_keys.revoke(connection, api_keys.with_secret(connection, secret).id)
    assert asked(guessed, 4, **bearer(secret)) == [401] * 3 + [429]


def test_keys_have_a_limit_of_their_own_or_none(limited: Limited, office: BoxOffice):
    free = limited(rate_limit="1 per minute", rate_limit_address="1 per minute")
    assert asked(free, 3, **office.credentials) == [200, 200, 200]
    bound = limited(rate_limit="1 per minute", rate_limit_keys="2 per minute")
    assert asked(bound, 3, **office.credentials) == [200, 200, 429]
    other = bearer(service_key(office.turnstile))
    assert asked(bound, 1, **other) == [200]


@pytest.mark.parametrize("way", ["register", "login", "refresh", "email", "password"])
def test_attempts_to_come_in_from_one_address_are_few(limited: Limited, way: str):
    office = limited(rate_limit_log_in="2 per minute")
    office.credentials = bearer(access_token(office, account(office, AUDITOR)))
    statuses = [office.send("POST", f"/api/v1/auth/{way}", json={}).status_code for _ in range(3)]
    assert statuses == [422, 422, 429]
    assert asked(office, 1) == [200]


def test_log_ins_from_one_address_are_few(limited: Limited):
    office = limited(rate_limit_log_in="2 per minute")
    attempt = {"email": "nobody@example.org", "password": PASSWORD}
    statuses = [
        office.send("POST", "/api/v1/auth/login", json=attempt).status_code for _ in range(3)
    ]
    assert statuses == [401, 401, 429]
    assert asked(office, 1) == [200]


def test_an_ipv6_network_counts_as_one_address(limited: Limited):
    office = limited(rate_limit_address="2 per minute", rate_limit="")
    assert asked(office, 1, address="2001:db8:0:1::1") == [200]
    assert asked(office, 2, address="2001:db8:0:1:f::2") == [200, 429]
    assert asked(office, 1, address="2001:db8:0:2::1") == [200]
    assert asked(office, 2, address="::ffff:10.4.4.4") == [200, 200]
    assert asked(office, 1, address="10.4.4.4") == [429]
    assert asked(office, 1, address="::ffff:10.4.4.5") == [200]


def test_passwords_that_wait_to_be_looked_at_leave_threads_to_others(office: BoxOffice):
    with ExitStack() as taken:
        for _ in range(passwords.AT_ONCE + passwords.MOST_WAITING):
            taken.callback(passwords._room_to_wait.release)
            assert passwords._room_to_wait.acquire(blocking=False)
        attempt = {"email": "nobody@example.org", "password": PASSWORD}
        refused = office.send("POST", "/api/v1/auth/login", json=attempt)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert office.send("POST", "/api/v1/auth/login", json=attempt).status_code == 401


def test_a_weak_new_password_is_refused_before_the_present_one_is_looked_at(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    email = f"{uuid4()}@example.org"
    account = accounts.create(office.turnstile.access, email, PASSWORD, "auditor")
    monkeypatch.setattr(passwords, "is_right", pytest.fail)
    with pytest.raises(passwords.WeakPassword):
        accounts.prepare_password(office.turnstile.access, account.id, PASSWORD, "short")


def test_wrong_passwords_for_an_account_are_few_and_right_ones_are_not_counted(office: BoxOffice):
    email, wrong = f"{uuid4()}@example.org", {"password": "a wrong password"}
    accounts.create(office.turnstile.access, email, PASSWORD, "auditor")
    right = {"email": email, "password": PASSWORD}
    log_in = "/api/v1/auth/login"
    statuses = [
        office.send("POST", log_in, json=right | (wrong if number % 2 else {})).status_code
        for number in range(20)
    ]
    assert statuses == [200, 401] * 10
    refused = office.send("POST", log_in, json=right)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "900")
    elsewhere = office.send("POST", log_in, json=right, environ_base={"REMOTE_ADDR": "10.9.9.9"})
    assert elsewhere.status_code == 200


@pytest.mark.parametrize("storage", ["memory", "redis"])
def test_wrong_passwords_from_elsewhere_do_not_shut_out_who_logged_in_here_before(
    limited: Limited,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    storage: str,
):
    monkeypatch.setattr(limits, "WRONG_PASSWORDS", parse("4 per 15 minutes"))
    monkeypatch.setattr(limits, "WRONG_PASSWORDS_IN_ALL", parse("6 per 15 minutes"))
    redis_url = request.getfixturevalue("redis_url") if storage == "redis" else None
    office, email = limited(redis_url=redis_url), f"{uuid4()}@example.org"
    accounts.create(office.turnstile.access, email, PASSWORD, "auditor")

    def tried(address: str, password: str) -> int:
        body, environ = {"email": email, "password": password}, {"REMOTE_ADDR": address}
        return int(
            office.send("POST", "/api/v1/auth/login", json=body, environ_base=environ).status_code
        )

    assert tried("10.1.0.1", PASSWORD) == 200
    assert [tried(f"10.2.0.{number}", "a wrong password") for number in range(7)] == (
        [401] * 6 + [429]
    )
    assert tried("10.3.0.1", PASSWORD) == 429
    assert tried("10.1.0.1", PASSWORD) == 200
    assert [tried("10.1.0.1", "a wrong password") for _ in range(5)] == [401] * 4 + [429]
    assert tried("10.1.0.1", PASSWORD) == 429


def test_each_log_in_makes_an_address_known_for_as_long_again(office: BoxOffice):
    email = f"{uuid4()}@example.org"
    until: list[float] = []
    with office.app.test_request_context():
        office.app.preprocess_request()
        strategy, place = limits._limiter().limiter, limits._place(email)
        for _ in range(2):
            limits.know_address(email)
            until.append(strategy.get_window_stats(limits.KNOWN_ADDRESS, *place).reset_time)
    assert until[1] > until[0]


def test_an_address_is_not_known_by_asking_for_what_is_somebody_elses(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "WRONG_PASSWORDS_IN_ALL", parse("3 per 15 minutes"))
    mine, theirs = f"{uuid4()}@example.org", f"{uuid4()}@example.org"
    for email in (mine, theirs):
        accounts.create(office.turnstile.access, email, PASSWORD, "auditor")
    tokens = office.post("/api/v1/auth/login", {"email": mine, "password": PASSWORD})
    taken = office.send(
        "POST",
        "/api/v1/auth/email",
        json={"email": theirs, "password": PASSWORD},
        headers=bearer(tokens["access_token"]),
    )
    assert taken.status_code == 409
    wrong = {"email": theirs, "password": "a wrong password"}
    answers = [office.send("POST", "/api/v1/auth/login", json=wrong) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401] * 3 + [429]


def test_processes_count_together_in_redis_and_go_on_without_it(limited: Limited, redis_url: str):
    first, second = (limited(rate_limit="2 per minute", redis_url=redis_url) for _ in range(2))
    assert asked(first, 1) + asked(second, 2) == [200, 200, 429]
    alone = limited(rate_limit="2 per minute", redis_url="redis://127.0.0.1:1/0")
    assert asked(alone, 3) == [200, 200, 429]


def test_nobody_is_kept_out_where_redis_is_down_and_nothing_else_is_limited(limited: Limited):
    office, email = limited(redis_url="redis://127.0.0.1:1/0"), f"{uuid4()}@example.org"
    accounts.create(office.turnstile.access, email, PASSWORD, "auditor")
    wrong = {"email": email, "password": "not the password"}
    assert office.send("POST", "/api/v1/auth/login", json=wrong).status_code == 401
    office.post("/api/v1/auth/login", {"email": email, "password": PASSWORD})


@pytest.mark.parametrize("name", ["RATE_LIMIT", "RATE_LIMIT_LOG_IN", "RATE_LIMIT_WRONG_KEYS"])
def test_a_limit_that_is_none_is_refused_at_the_start(name: str):
    with pytest.raises(ValueError, match=name):
        Settings.from_environment({name: "often"})
    assert getattr(Settings.from_environment({name: ""}), name.lower()) == ""
