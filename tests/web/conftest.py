"""A box office behind its real application, on both databases."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from marshmallow import Schema

import migrations
from application.composition import Turnstile, compose
from application.settings import Settings
from projections.engine.projector import Projector
from tests import services
from tests.keys import bearer, service_key
from web.app import create_app

Json = dict[str, Any]

ADULT, CHILD = 0, 1
UNLIMITED: Any = dict.fromkeys(
    ("rate_limit", "rate_limit_address", "rate_limit_log_in", "rate_limit_wrong_keys"), ""
)
"""Tests ask more of a box office in a minute than people do."""
EVENT: Json = {
    "title": "Midsummer Night",
    "organizer": {"name": "Village Hall"},
    "category": "theatre",
    "venue": "The Green",
    "timezone": "Europe/London",
    "starts_at": "2020-06-21T18:00:00Z",
    "ends_at": "2120-06-22T23:00:00Z",
    "currency": "GBP",
    "capacity": 100,
    "ticket_types": [
        {"name": "Adult", "price": "12.50", "quantity": 80},
        {"name": "Child", "price": "0.00", "reentry": False},
    ],
}


class BoxOffice:
    """Sends requests, and holds every answer to what is documented.

    They come from a service that may do everything, unless other `credentials` are given.
    """

    def __init__(self, turnstile: Turnstile, credentials: dict[str, str] | None = None) -> None:
        self.turnstile = turnstile
        self.app: Flask = create_app(turnstile)
        self.client = self.app.test_client()
        self.credentials = bearer(service_key(turnstile)) if credentials is None else credentials

    def send(self, method: str, path: str, headers: Any = None, **request: Any) -> Any:
        named = {**self.credentials, **(headers or {})}
        response: Any = self.client.open(path, method=method, headers=named, **request)
        assert response.headers["X-Request-ID"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Server"] == "turnstile"
        if response.status_code >= 400:
            assert response.mimetype == "application/problem+json", response.text
            assert response.json["status"] == response.status_code
            assert response.json["type"].startswith("/problems/")
        else:
            self._require_documented(method, path, response)
        return response

    def post(self, path: str, body: Any = None, status: int = 200, **headers: str) -> Json:
        return self._command("POST", path, body, status, headers)

    def patch(self, path: str, body: Any, status: int = 200, **headers: str) -> Json:
        return self._command("PATCH", path, body, status, headers)

    def get(self, path: str, status: int = 200, caught_up: bool = True) -> Any:
        if caught_up:
            self.catch_up()
        response = self.send("GET", path)
        assert response.status_code == status, response.text
        return response.json

    def catch_up(self) -> None:
        Projector(self.turnstile).catch_up()

    def event(self, publish: bool = True, **changes: Any) -> Json:
        event = self.post("/api/v1/events", EVENT | changes, 201)
        return self.post(f"/api/v1/events/{event['id']}/publish") if publish else event

    def customer(self, name: str = "Ada Lovelace", **details: str) -> Json:
        email = f"{name.split(maxsplit=1)[0].lower()}@example.org"
        body = {"name": name, "email": email, "country": "GB"} | details
        return self.post("/api/v1/customers", body, 201)

    def order(self, event: Json, customer: Json, kind: int = ADULT, quantity: int = 1) -> Json:
        body = {
            "event_id": event["id"],
            "customer_id": customer["id"],
            "lines": [{"ticket_type_id": event["ticket_types"][kind]["id"], "quantity": quantity}],
            "payment_method": "card",
        }
        return self.post("/api/v1/orders", body, 201)

    def sold(self, event: Json, customer: Json, kind: int = ADULT, quantity: int = 1) -> Json:
        order = self.order(event, customer, kind, quantity)
        return self.post(f"/api/v1/orders/{order['id']}/pay", {"method": "card"})

    def ticket(self, event: Json, customer: Json, kind: int = ADULT) -> Json:
        """A ticket as its holder sees it."""
        order = self.sold(event, customer, kind)
        return self.get(f"/api/v1/tickets/{ticket_ids(order)[0]}")  # type: ignore[no-any-return]

    def scan(self, event: Json, **attempt: Any) -> Json:
        return self.post("/api/v1/checkins", {"event_id": event["id"]} | attempt, 201)

    def _command(
        self, method: str, path: str, body: Any, status: int, headers: dict[str, str]
    ) -> Json:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.send(method, path, json={} if body is None else body, headers=named)
        assert response.status_code == status, response.text
        return response.json  # type: ignore[no-any-return]

    def _require_documented(self, method: str, path: str, response: Any) -> None:
        adapter = self.app.url_map.bind("localhost")
        endpoint, _ = adapter.match(path.split("?", maxsplit=1)[0], method)
        view: Any = self.app.view_functions[endpoint]
        documented = getattr(view, "_apidoc", {}).get("response", {}).get("responses", {})
        if documented:
            schema = documented[response.status_code][0].get("schema")
            if isinstance(schema, Schema):
                schema.load(response.json, unknown="raise")


def by_a_slow_clock(seconds: int = 0) -> str:
    """Two minutes ago, and so many seconds: what a scanner may well tell."""
    at = datetime.now(UTC) - timedelta(minutes=2, seconds=seconds)
    return at.isoformat().replace("+00:00", "Z")


def ticket_ids(order: Json) -> list[str]:
    return [ticket_id for line in order["lines"] for ticket_id in line["ticket_ids"]]


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def office(request: pytest.FixtureRequest) -> Iterator[BoxOffice]:
    """One for all tests of a process, which keep to the events and customers they make."""
    with _database(request) as url:
        turnstile = compose(Settings(database_url=url, **UNLIMITED))
        migrations.upgrade(turnstile.engine)
        yield BoxOffice(turnstile)
        turnstile.close()


@pytest.fixture
def anybody(office: BoxOffice) -> BoxOffice:
    """The same box office without credentials."""
    return BoxOffice(office.turnstile, {})


@contextmanager
def _database(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        folder = request.getfixturevalue("tmp_path_factory").mktemp("web")
        yield f"sqlite:///{folder / 'turnstile.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    url = services.create_database(server, "turnstile_test")
    yield url
    services.drop_database(server, url)
