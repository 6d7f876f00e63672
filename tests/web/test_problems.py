"""Refusals: one form for all of them, and nothing inside it that is not for callers."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from application.store.group_commit import StoreUnavailable
from application.store.sealing import SealBroken
from application.store.tables import api_keys
from tests.later_version import from_a_later_version
from tests.web.conftest import BoxOffice
from web import routes
from web.problems import known_rules

SECRET_WORDS = ("password", "Traceback", "sqlalchemy", "psycopg2")


def test_a_rule_of_the_domain_is_a_conflict(office: BoxOffice):
    event = office.event(publish=False, ticket_types=[])
    problem = office.post(f"/api/v1/events/{event['id']}/publish", status=409)
    assert problem == {
        "type": "/problems/nothing-to-sell",
        "title": "An event needs a ticket type before it is published",
        "status": 409,
        "detail": "An event needs a ticket type before it is published",
        "request_id": problem["request_id"],
    }


def test_what_does_not_exist_is_not_found(office: BoxOffice):
    some = uuid4()
    problem = office.post(f"/api/v1/events/{some}/publish", status=404)
    assert problem["type"] == "/problems/not-found"
    assert problem["detail"] == f"There is no event {some}."
    for path in ("events", "orders", "tickets", "customers"):
        assert office.get(f"/api/v1/{path}/{some}", 404)["type"] == "/problems/not-found"
    for path in (
        f"events/{some}/sales",
        f"events/{some}/attendees",
        f"customers/{some}/statistics",
    ):
        office.get(f"/api/v1/{path}", 404)


def test_no_such_route_and_no_such_method(office: BoxOffice):
    assert office.send("GET", "/nowhere").json["type"] == "/problems/not-found"
    response = office.send("DELETE", "/api/v1/orders")
    assert response.status_code == 405
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))
    assert response.json["type"] == "/problems/method-not-allowed"


@pytest.mark.parametrize(
    "error", [StoreUnavailable("password"), OperationalError("x", {}, OSError())]
)
def test_a_database_that_does_not_answer_is_for_later(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    response = _failing(office, monkeypatch, error)
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.json["detail"] == "Try again in a moment."


@pytest.mark.parametrize(
    ("request_line", "takes_key"),
    [
        ("POST /api/v1/orders", True),
        ("PATCH /api/v1/events/{}", True),
        ("GET /api/v1/orders/{}", False),
    ],
)
def test_only_who_asked_for_a_command_is_told_of_the_key_that_finds_out(
    office: BoxOffice, request_line: str, takes_key: bool
):
    method, path = request_line.format(uuid4()).split()
    with office.app.test_request_context(path, method=method):
        unavailable: Any = office.app.handle_user_exception(StoreUnavailable("password"))
        assert ("Idempotency-Key" in unavailable.json["detail"]) == takes_key


def test_what_nobody_expected_tells_nothing_and_is_logged(
    office: BoxOffice,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    error = RuntimeError("password of sqlalchemy")
    response = _failing(office, monkeypatch, error)
    assert response.status_code == 500
    assert not any(word in response.text for word in SECRET_WORDS)
    # Where logs go depends on whether a command has set them up in this process before.
    assert response.headers["X-Request-ID"] in capsys.readouterr().out + caplog.text


def test_an_event_that_cannot_be_read_is_named_to_who_asks_for_it(office: BoxOffice):
    customer = office.customer()["id"]
    path = f"/api/v1/customers/{customer}"
    office.send("PATCH", path, json={"phone": "1"})
    later, _ = from_a_later_version(office.turnstile.engine, UUID(customer))
    for answer in (
        office.send("GET", f"{path}/as-of", query_string={"version": 3}),
        office.send("PATCH", path, json={"phone": "2"}),
    ):
        assert (answer.status_code, answer.json["type"]) == (500, "/problems/unreadable-event")
        assert answer.json["detail"].startswith(f"Customer.Changed at position {later} is")
    assert office.send("GET", f"{path}/as-of", query_string={"version": 2}).status_code == 200


def test_what_does_not_open_says_of_whom_it_is(office: BoxOffice, monkeypatch: pytest.MonkeyPatch):
    response = _failing(office, monkeypatch, SealBroken("What is sealed of customer 7"))
    assert response.status_code == 500
    assert response.json["type"] == "/problems/unreadable-event"
    assert response.json["detail"] == "What is sealed of customer 7"


def _failing(office, monkeypatch, error):
    def fail(connection):
        raise error

    monkeypatch.setattr(routes.projections, "status", fail)
    return office.send("GET", "/api/v1/projections")


def test_every_rule_is_explained(office: BoxOffice):
    for rule in known_rules():
        response = office.send("GET", f"/problems/{rule}")
        assert rule in response.text
    assert office.send("GET", "/problems/no-such-rule").status_code == 404


def test_the_request_is_named_by_the_caller_or_by_us(office: BoxOffice):
    given = office.send("GET", "/health/live", headers={"X-Request-ID": "abc-1"})
    assert given.headers["X-Request-ID"] == "abc-1"
    for bad in ("", "a b", "x" * 129, "caf\xe9"):
        made = office.send("GET", "/health/live", headers={"X-Request-ID": bad})
        assert len(made.headers["X-Request-ID"]) == 36


def test_who_asked_and_by_which_request_is_recorded(office: BoxOffice):
    body = {"name": "Ada", "email": "ada@example.org"}
    headers = {"X-Request-ID": "r-77", "X-Actor": "somebody else"}
    made = office.send("POST", "/api/v1/customers", json=body, headers=headers).json
    fact = office.get(f"/api/v1/customers/{made['id']}/history")["items"][0]
    role, key_id = fact["who"].split(":")
    assert role == "service"
    assert UUID(key_id) in keys_of(office)
    assert fact["metadata"]["request_id"] == "r-77"
    assert fact["metadata"]["ip"] == "127.0.0.1"


def keys_of(office: BoxOffice) -> list[UUID]:
    with office.turnstile.engine.connect() as connection:
        return list(connection.execute(select(api_keys.c.id)).scalars())
