"""Hostile requests, each with the answer that it must get, and what it may leave in the log."""

from pathlib import Path
from typing import Any

import pytest

from application.store import log
from tests.contract.hostile import GROUPS, Try, forged
from tests.web.conftest import BoxOffice
from tests.web.world import World, filled, populated

TRIES = [
    pytest.param(attempt, id=f"{group}: {attempt.what}")
    for group, attempts in GROUPS.items()
    for attempt in attempts
]
LEAKS = (
    "Traceback",
    'File "',
    "site-packages",
    "sqlalchemy",
    "psycopg",
    "sqlite",
    "[SQL",
    "SELECT ",
    "INSERT ",
    "/etc/passwd",
    "root:",
    str(Path(__file__).parents[2]),
)
"""What tells an attacker how we are made, unless they have sent it themselves."""


@pytest.fixture(scope="module")
def besieged(office: BoxOffice, quick_passwords: None) -> World:
    """One for all of these, since nothing that they try may change it."""
    world = populated(office)
    world.credentials |= forged(world)
    return world


def test_there_are_many_of_them_and_each_is_named_once():
    assert len(TRIES) >= 100
    assert len({attempt.id for attempt in TRIES}) == len(TRIES)


@pytest.mark.parametrize("attempt", TRIES)
def test_gets_the_answer_that_it_must(besieged: World, attempt: Try):
    before = _position(besieged)
    answer = _sent(besieged, attempt)
    status, _, rule = attempt.answer.partition(" ")
    assert answer.status_code == int(status), answer.text[:500]
    if rule:
        assert answer.json["type"] == f"/problems/{rule}"
        assert answer.mimetype == "application/problem+json"
    for name, value in filled(attempt.shows, besieged.ids).items():
        assert answer.json[name] == value
    assert _position(besieged) - before == attempt.records
    _require_discretion(answer, attempt)


def _sent(world: World, attempt: Try) -> Any:
    method, _, url = filled(attempt.request, world.ids).partition(" ")
    headers = {**world.credentials[attempt.who], **attempt.headers}
    if attempt.raw is not None:
        headers.setdefault("Content-Type", "application/json")
        content: dict[str, Any] = {"data": attempt.raw}
    else:
        content = {"json": filled(attempt.body, world.ids)} if attempt.body is not None else {}
    return world.office.client.open(url, method=method, headers=headers, **content)


def _position(world: World) -> int:
    with world.office.turnstile.engine.connect() as connection:
        return log.read_head(connection)


def _require_discretion(answer: Any, attempt: Try) -> None:
    """Neither our insides nor a page that runs what was sent."""
    text = answer.text + str(answer.headers)
    assert [leak for leak in LEAKS if leak in text and leak not in attempt.sent] == []
    assert answer.mimetype != "text/html"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "evil.example" not in text
