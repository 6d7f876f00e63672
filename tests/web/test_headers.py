"""What browsers may do with an answer, who may ask from other origins, and where callers are."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

from application.settings import Settings
from tests.web.conftest import EVENT, BoxOffice

Configured = Callable[..., BoxOffice]

SHOP, STRANGER = "https://shop.example.org", "https://evil.example.org"


@pytest.fixture
def configured(office: BoxOffice) -> Configured:
    """`configured(cors_origins=…)` is the same box office under other settings."""

    def configure(**changes: Any) -> BoxOffice:
        there = office.turnstile
        return BoxOffice(replace(there, settings=replace(there.settings, **changes)))

    return configure


def answers(office: BoxOffice) -> Iterator[Any]:
    """A query, a command, a refusal, what does not exist, and what is no JSON."""
    yield office.send("GET", "/api/v1/events")
    yield office.send("POST", "/api/v1/events", json=EVENT)
    yield office.send("POST", "/api/v1/events", json={})
    yield office.send("GET", "/nowhere")
    yield office.send("GET", "/metrics")


def test_a_browser_does_nothing_with_data_and_keeps_none_of_it(office: BoxOffice):
    for response in answers(office):
        assert response.headers.getlist("Content-Security-Policy") == [
            "default-src 'none'; frame-ancestors 'none'"
        ]
        assert response.headers.getlist("Cache-Control") == ["no-store"]
        assert response.headers.getlist("X-Content-Type-Options") == ["nosniff"]
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "Set-Cookie" not in response.headers
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Strict-Transport-Security" not in response.headers


def test_browsers_insist_on_tls_only_where_that_is_configured(configured: Configured):
    for response in answers(configured(hsts_seconds=3600)):
        assert response.headers["Strict-Transport-Security"] == "max-age=3600"


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_pages_run_only_their_own_scripts(office: BoxOffice, page: str):
    nonces = set()
    for _ in range(2):
        response = office.send("GET", page)
        policy = dict(
            part.strip().split(" ", 1)
            for part in response.headers["Content-Security-Policy"].split(";")
        )
        (nonce,) = re.findall(r"'nonce-([\w-]{22})'", policy["script-src"])
        assert policy["script-src"] == f"'self' 'nonce-{nonce}'"
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
        inline = re.findall(r"<script(?![^>]*src=)([^>]*)>", response.text)
        assert inline == [f' nonce="{nonce}"']
        nonces.add(nonce)
    assert len(nonces) == 2


def test_scripts_are_kept_and_the_document_is_asked_for_again(office: BoxOffice):
    with office.send("GET", "/docs/swagger/js/swagger-ui-bundle.js") as script:
        assert "max-age=86400" in script.headers["Cache-Control"]
    assert office.send("GET", "/openapi.json").headers["Cache-Control"] == "no-cache"


# Other origins


def test_pages_of_a_configured_origin_may_call_and_read_the_headers(configured: Configured):
    office = configured(cors_origins=(SHOP,))
    for method, path in (("GET", "/api/v1/events"), ("GET", "/nowhere")):
        response = office.send(method, path, headers={"Origin": SHOP})
        assert response.headers.getlist("Access-Control-Allow-Origin") == [SHOP]
        exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"Turnstile-Position", "ETag", "X-Request-ID", "Location"} <= set(exposed)
        assert {"Retry-After", "Idempotent-Replayed"} <= set(exposed)
        assert "Origin" in response.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize(
    "origin",
    [STRANGER, "null", f"{SHOP}.evil.example.org", f"{SHOP}:8443", "http://shop.example.org"],
)
def test_pages_of_other_origins_may_not(configured: Configured, origin: str):
    office = configured(cors_origins=(SHOP,))
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for method in ("GET", "OPTIONS"):
        response = office.client.open("/api/v1/events", method=method, headers=asked)
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Origin" in response.headers["Vary"]


def test_a_preflight_is_answered_whoever_asks(configured: Configured):
    office = configured(cors_origins=(SHOP,))
    asked = {"Origin": SHOP, "Access-Control-Request-Method": "POST", "X-Actor": "not one name"}
    response = office.client.options("/api/v1/orders", headers=asked)
    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == SHOP
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    taken = response.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"Authorization", "Content-Type", "Idempotency-Key", "If-Match"} <= set(taken)
    assert response.headers["X-Request-ID"]


def test_pages_of_every_origin_may_call_where_that_is_configured(configured: Configured):
    response = configured(cors_origins=("*",)).send(
        "GET", "/api/v1/events", headers={"Origin": STRANGER}
    )
    assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_origins_are_read_from_the_environment():
    given = Settings.from_environment({"CORS_ORIGINS": f" {SHOP}, http://[::1]:8080 ,"})
    assert given.cors_origins == (SHOP, "http://[::1]:8080")
    assert Settings.from_environment({}).cors_origins == ()


@pytest.mark.parametrize(
    "wrong", ["shop.example.org", f"{SHOP}/", f"{SHOP}/x", "https://*.example.org"]
)
def test_what_is_no_origin_is_refused(wrong: str):
    with pytest.raises(ValueError, match="CORS_ORIGINS lists origins"):
        Settings.from_environment({"CORS_ORIGINS": f"{SHOP},{wrong}"})


def test_nobody_answers_a_preflight_unless_configured(office: BoxOffice):
    asked = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    response = office.client.options("/api/v1/orders", headers=asked)
    assert "Access-Control" not in str(response.headers)


# Redirects


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example.org/",
        "//evil.example.org/..",
        "/api/v1//events",
        "/api/v1/events/",
        "/docs/",
        "/docs//evil.example.org",
        "/problems//evil.example.org",
        "/%2f%2fevil.example.org",
        "/\\evil.example.org",
        "/https://evil.example.org",
    ],
)
def test_nobody_is_sent_elsewhere(office: BoxOffice, path: str):
    environ = EnvironBuilder(base_url="http://evil.example.org").get_environ()
    response = office.client.open({**environ, "PATH_INFO": path})
    assert response.status_code == 404
    assert "Location" not in response.headers


# Proxies


def recorded_ip(office: BoxOffice, forwarded: str) -> str:
    headers = {"X-Forwarded-For": forwarded}
    made = office.post("/api/v1/events", EVENT, 201, **headers)
    history = office.get(f"/api/v1/events/{made['id']}/history")
    return str(history["items"][0]["metadata"]["ip"])


def test_an_address_cannot_be_forged(office: BoxOffice, configured: Configured):
    assert recorded_ip(office, "203.0.113.9") == "127.0.0.1"
    assert recorded_ip(configured(trusted_proxies=1), "198.51.100.1, 203.0.113.9") == "203.0.113.9"
    assert recorded_ip(configured(trusted_proxies=2), "198.51.100.1, 203.0.113.9") == "198.51.100.1"
