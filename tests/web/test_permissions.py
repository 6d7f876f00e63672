"""Who may do what: every route, tried by every kind of caller, and by another's owner."""

import re
from uuid import uuid4

import pytest
from flask import Response

from application.access.identity import SERVICE
from tests.keys import bearer
from tests.web.conftest import EVENT, BoxOffice, Json
from tests.web.world import EVERYBODY, PASSWORD, PEOPLE, World, api_key, filled, populated
from web.app import create_app
from web.blueprint import Blueprint
from web.permissions import RULES
from web.routes import ROUTES

OLGAS = "olga admin shop olgas_shop"
"""Who may act on what is Olga's, an organizer: her, and whoever acts for her or for everybody."""
ORGANIZERS = "olga otto admin shop olgas_shop ottos_shop"

ORDER: Json = {
    "event_id": "{event}",
    "customer_id": "{ada}",
    "lines": [{"ticket_type_id": "{type}", "quantity": 1}],
    "payment_method": "card",
}
KEY: Json = {"name": "Gate", "role": "gate", "event_ids": ["{event}"]}
ACCOUNT: Json = {"email": "{new}@example.org", "password": PASSWORD, "role": "auditor"}
LOG_IN: Json = {"email": "{new}@example.org", "password": PASSWORD}

TABLE: tuple[tuple[str, str, Json | None, str], ...] = (
    ("POST", "/api/v1/events", EVENT | {"organizer": {"name": "Own"}}, ORGANIZERS),
    (
        "POST",
        "/api/v1/events",
        EVENT | {"organizer": {"id": "{olga}", "name": "Olga"}},
        OLGAS,
    ),
    ("PATCH", "/api/v1/events/{event}", {"title": "Changed"}, OLGAS),
    (
        "PATCH",
        "/api/v1/events/{moved}",
        {"organizer": {"id": "{otto}", "name": "Otto"}},
        "admin shop ottos_shop",  # who comes after those who have given it to him
    ),
    *(
        ("POST", f"/api/v1/events/{{draft}}/{verb}", {}, OLGAS)
        for verb in ("publish", "start", "complete", "cancel")
    ),
    ("GET", "/api/v1/events", None, EVERYBODY),
    ("GET", "/api/v1/events?status=draft", None, ORGANIZERS + " auditor"),
    ("GET", "/api/v1/events?status=draft&organizer_id={olga}", None, OLGAS + " auditor"),
    ("GET", "/api/v1/events/{event}", None, EVERYBODY),
    ("GET", "/api/v1/events/summary", None, ORGANIZERS + " auditor"),
    ("GET", "/api/v1/events/low-capacity", None, ORGANIZERS + " auditor"),
    ("GET", "/api/v1/events/{event}/sales", None, OLGAS + " auditor"),
    ("GET", "/api/v1/events/{event}/attendees", None, OLGAS),
    ("GET", "/api/v1/events/{event}/figures", None, OLGAS + " auditor"),
    (
        "GET",
        "/api/v1/events/{event}/figures/scan_count/sources",
        None,
        "auditor admin shop",
    ),
    ("POST", "/api/v1/events/{event}/ticket-types", {"name": "A", "price": "1.00"}, OLGAS),
    ("PATCH", "/api/v1/events/{event}/ticket-types/{type}", {"name": "B"}, OLGAS),
    ("GET", "/api/v1/ticket-types/top", None, ORGANIZERS + " auditor"),
    ("POST", "/api/v1/customers", {"name": "C", "email": "c@example.org"}, "admin shop"),
    ("PATCH", "/api/v1/customers/{ada}", {"phone": "1"}, "ada admin shop"),
    ("GET", "/api/v1/customers", None, "admin shop"),
    ("GET", "/api/v1/customers/{ada}", None, "ada admin shop"),
    ("GET", "/api/v1/customers/{ada}/statistics", None, "ada admin shop"),
    ("GET", "/api/v1/customers/{ada}/export", None, "ada admin shop"),
    ("POST", "/api/v1/customers/{gone}/erase", {}, "admin shop"),
    ("POST", "/api/v1/orders", ORDER, "ada " + OLGAS),
    ("POST", "/api/v1/orders/{order}/pay", {"method": "card"}, OLGAS),
    ("POST", "/api/v1/orders/{order}/cancel", {}, "ada " + OLGAS),
    ("POST", "/api/v1/orders/{order}/refund", {}, OLGAS),
    ("GET", "/api/v1/orders", None, "ada bob " + ORGANIZERS),
    ("GET", "/api/v1/orders?customer_id={ada}", None, "ada " + ORGANIZERS),
    ("GET", "/api/v1/orders?event_id={event}", None, "ada bob " + OLGAS),
    ("GET", "/api/v1/orders/{order}", None, "ada " + OLGAS),
    ("GET", "/api/v1/tickets/{ticket}", None, "ada " + OLGAS),
    (
        "POST",
        "/api/v1/tickets/{ticket}/transfer",
        {"to_customer_id": "{ada}"},
        "ada " + OLGAS,
    ),
    ("POST", "/api/v1/tickets/{ticket}/block", {}, OLGAS),
    ("POST", "/api/v1/tickets/{ticket}/unblock", {}, OLGAS),
    ("POST", "/api/v1/checkins", {"event_id": "{event}", "secret": "forged"}, "gate " + OLGAS),
    ("GET", "/stats", None, ORGANIZERS + " auditor"),
    *(
        ("GET", f"/stats{path}?event_id={{event}}", None, OLGAS + " auditor")
        for path in ("", "/daily", "/hourly", "/scans", "/transfers", "/invalid-attempts")
    ),
    *(
        ("GET", f"/api/v1/{path}/{view}", None, "auditor admin shop")
        for path in (
            "events/{event}",
            "orders/{order}",
            "tickets/{ticket}",
            "customers/{ada}",
        )
        for view in ("history", "as-of?version=1", "diff?from=1&to=1", "proof")
    ),
    ("GET", "/api/v1/log", None, "auditor admin shop"),
    ("GET", "/api/v1/log/checkpoints", None, "auditor admin shop"),
    ("GET", "/api/v1/projections", None, "auditor admin shop"),
    ("GET", "/api/v1/projections/orders", None, "auditor admin shop"),
    ("POST", "/api/v1/projections/nothing/rebuild", {}, "admin shop"),
    ("POST", "/api/v1/projections/nothing/retry", {}, "admin shop"),
    ("POST", "/api/v1/auth/register", LOG_IN | {"name": "New"}, EVERYBODY),
    ("POST", "/api/v1/auth/refresh", {"refresh_token": "nonsense"}, ""),
    ("POST", "/api/v1/auth/login", {"email": "{new}@y.org", "password": "wrong"}, ""),
    ("POST", "/api/v1/auth/password", {}, PEOPLE),
    ("POST", "/api/v1/auth/email", {}, PEOPLE),
    ("GET", "/api/v1/auth/me", None, PEOPLE),
    ("POST", "/api/v1/accounts", ACCOUNT, "admin"),
    ("GET", "/api/v1/accounts", None, "admin"),
    ("POST", "/api/v1/accounts/{nothing}/disable", {}, "admin"),
    ("POST", "/api/v1/accounts/{nothing}/enable", {}, "admin"),
    ("DELETE", "/api/v1/accounts/{nothing}", None, "admin"),
    ("POST", "/api/v1/api-keys", KEY, "olga admin"),
    ("GET", "/api/v1/api-keys", None, "olga otto admin"),
    ("POST", "/api/v1/api-keys/{nothing}/revoke", {}, "olga otto admin"),
    ("GET", "/health/live", None, EVERYBODY),
    ("GET", "/health/ready", None, EVERYBODY),
    ("GET", "/metrics", None, "auditor admin shop"),
    ("GET", "/problems/sold-out", None, EVERYBODY),
    ("GET", "/docs", None, EVERYBODY),
    ("GET", "/redoc", None, EVERYBODY),
    ("GET", "/docs/redoc/nothing.js", None, EVERYBODY),
    ("GET", "/openapi.json", None, EVERYBODY),
    ("POST", "/api/v1/auth/logout", {}, PEOPLE),  # the last one, since it ends the sessions
)


@pytest.fixture(scope="module")
def world(office: BoxOffice) -> World:
    return populated(office)


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"), TABLE, ids=[f"{row[0]} {row[1]}" for row in TABLE]
)
def test_only_those_may_who_should(
    world: World, method: str, path: str, body: Json | None, allowed: str
):
    for who in EVERYBODY.split():
        answer = world.tried(who, method, path, body)
        assert answer.status_code < 500, (who, answer.text)
        if who in allowed.split():
            assert answer.status_code not in (401, 403), (who, answer.text)
        elif who == "nobody" or "auth/refresh" in path or "auth/login" in path:
            assert answer.status_code == 401, (who, answer.text)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        else:
            assert answer.status_code == 403, (who, answer.text)


@pytest.mark.parametrize(
    ("scope", "listed", "shown"), [("stats:read", 403, 404), ("events:read", 200, 200)]
)
def test_a_service_sees_drafts_if_it_may_read_events(
    office: BoxOffice, scope: str, listed: int, shown: int
):
    draft = office.event(publish=False)
    _, secret = api_key(office, SERVICE, scopes=[scope])
    service = BoxOffice(office.turnstile, bearer(secret))
    service.get("/api/v1/events?status=draft", listed)
    service.get(f"/api/v1/events/{draft['id']}", shown)


def test_every_route_was_tried(office: BoxOffice):
    adapter = office.app.url_map.bind("localhost")
    ids = dict.fromkeys(re.findall(r"{(\w+)}", str(TABLE)), str(uuid4()))
    tried = {
        adapter.match(filled(path, ids).split("?")[0], method)[0] for method, path, *_ in TABLE
    }
    assert tried == {rule.endpoint for rule in office.app.url_map.iter_rules()}


def test_a_route_without_a_rule_is_not_served(office: BoxOffice, monkeypatch: pytest.MonkeyPatch):
    extra = Blueprint("extra", "/extra", "Not thought of")

    @extra.plain("")
    def leak() -> Response:
        """Leak"""
        return Response("leaked")

    monkeypatch.setattr("web.app.ROUTES", (*ROUTES, extra))
    with pytest.raises(RuntimeError, match=r"extra\.leak"):
        create_app(office.turnstile)
    monkeypatch.setitem(RULES, "extra.gone", ())
    monkeypatch.setitem(RULES, "extra.leak", ())
    with pytest.raises(RuntimeError, match=r"extra\.gone"):
        create_app(office.turnstile)
