"""The commands of those who say who may come in."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, update

from application.access import accounts, api_keys, sessions
from application.composition import compose
from application.settings import Settings
from application.store.tables import sessions as sessions_table
from tests.keys import bearer, service_key
from tests.web.conftest import BoxOffice
from web.cli import main
from workers.tidying import tidy

PASSWORD = "correct horse battery"
Run = Callable[..., Result]


@pytest.fixture
def run(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a `turnstile` command with that on its standard input."""
    monkeypatch.setenv("DATABASE_URL", migrated_url)
    monkeypatch.setenv("COLUMNS", "300")

    def invoke(*arguments: str, given: str = "") -> Result:
        return CliRunner().invoke(main, arguments, input=given)

    return invoke


def test_the_first_admin_is_made_here_and_logs_in(run: Run, migrated_url: str):
    made = run("create-admin", "Root@example.org", "--password-stdin", given=f"{PASSWORD}\n")
    assert made.exit_code == 0, made.output
    assert made.stdout == ""
    with closing(compose(Settings(migrated_url))) as turnstile:
        root, _ = accounts.log_in(turnstile.access, "root@example.org", PASSWORD)
        assert root.role == "admin"
    again = run("create-admin", "root@example.org", "--password-stdin", given=f"{PASSWORD}\n")
    assert again.exit_code == 1
    assert "There is an account with this e-mail address" in again.stderr


def test_a_password_is_asked_for_twice_and_not_shown(run: Run):
    made = run("create-admin", "root@example.org", given=f"{PASSWORD}\n{PASSWORD}\n")
    assert made.exit_code == 0, made.output
    assert PASSWORD not in made.output
    assert run("create-admin", "b@example.org", given=f"{PASSWORD}\nanother\n").exit_code == 1
    weak = run("create-admin", "c@example.org", "--password-stdin", given="short\n")
    assert weak.exit_code == 1
    assert "10 to 200 characters" in weak.stderr


def test_an_organizer_gets_an_id_or_has_one(run: Run):
    arguments = ("--role", "organizer", "--password-stdin")
    made = run("create-account", "olga@example.org", *arguments, given=f"{PASSWORD}\n")
    assert "They act for the organizer" in made.stderr
    organizer_id = str(uuid4())
    has = ("otto@example.org", *arguments, "--subject", organizer_id)
    assert organizer_id in run("create-account", *has, given=f"{PASSWORD}\n").stderr
    lost = ("ada@example.org", "--role", "attendee", "--password-stdin")
    assert "An attendee is a customer" in run("create-account", *lost, given=PASSWORD).stderr


def test_a_key_is_printed_once_and_alone(run: Run, migrated_url: str):
    with closing(compose(Settings(migrated_url))) as turnstile:
        event_id = BoxOffice(turnstile, bearer(service_key(turnstile))).event()["id"]
    made = run("create-key", "North gate", "--gate", event_id, "--days", "2")
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    with closing(compose(Settings(migrated_url))) as turnstile, turnstile.engine.connect() as c:
        key = api_keys.with_secret(c, secret)
    assert [str(event) for event in key.event_ids] == [event_id]
    assert key.expires_at is not None
    assert timedelta(days=1) < key.expires_at - datetime.now(UTC) < timedelta(days=2)
    listed = run("keys").stdout
    assert secret not in listed
    assert all(said in listed for said in (str(key.id), "gate:", "good"))
    assert "log:read" not in listed, "one of all scopes, which would take a screen"
    assert run("revoke-key", str(key.id)).exit_code == 0
    assert "revoked" in run("keys").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create-key", "Nothing"), "names its scopes"),
        (("create-key", "Both", "--gate", str(uuid4()), "--scope", "log:read"), "names its scopes"),
        (("create-key", "Odd", "--scope", "everything"), "Invalid value for '--scope'"),
        (("create-key", "Typo", "--gate", str(uuid4())), "There is no event"),
        (
            ("create-key", "Vain", "--scope", "metrics:read", "--organizer", str(uuid4())),
            "can do nothing by metrics:read",
        ),
        (("revoke-key", str(uuid4())), "There is no API key"),
        (("create-admin", "nobody"), "This is no e-mail address"),
    ],
)
def test_what_makes_no_sense_is_explained(run: Run, arguments: tuple[str, ...], said: str):
    refused = run(*arguments)
    assert refused.exit_code != 0
    assert said in refused.stderr


def test_sessions_that_are_over_are_forgotten(run: Run, migrated_url: str):
    run("create-admin", "root@example.org", "--password-stdin", given=f"{PASSWORD}\n")
    with closing(compose(Settings(migrated_url))) as turnstile:
        admin, _ = accounts.log_in(turnstile.access, "root@example.org", PASSWORD)
        with turnstile.access.changing() as connection:
            over, _ = sessions.begin(connection, admin)
            goes_on, _ = sessions.begin(connection, admin)
            ended: Any = datetime.now(UTC) - timedelta(seconds=1)
            connection.execute(
                update(sessions_table).where(sessions_table.c.id == over).values(expires_at=ended)
            )
        tidy(turnstile)
        with turnstile.engine.connect() as connection:
            left = connection.execute(select(sessions_table.c.id)).scalars().all()
    assert left == [goes_on]
