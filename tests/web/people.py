"""People who come in by themselves: they register, log in, and show what they got for it."""

from uuid import uuid4

from tests.keys import bearer
from tests.web.conftest import BoxOffice, Json
from tests.web.world import PASSWORD

ME = "/api/v1/auth/me"


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


def all_items(office: BoxOffice, path: str) -> list[Json]:
    page = office.get(f"{path}?limit=200")
    items: list[Json] = page["items"]
    while page["next"]:
        page = office.get(f"{path}?limit=200&after={page['next']}")
        items += page["items"]
    return items
