"""What every command says of a box office that it cannot work on, or should not."""

from pathlib import Path

import pytest

import migrations
from application import jobs
from application.settings import Settings
from application.store.database import open_engine
from tests.services import SECRETS
from tests.web.cli.commands import Run, command
from web.cli.console import warn_of_development_secrets

POSTGRES = "postgresql://nobody@127.0.0.1:1/none"


def test_a_database_that_is_not_migrated_is_said_so(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    result = command("status")
    assert "run 'turnstile migrate' first" in result.output


@pytest.mark.parametrize("part", ["status", "verify", "export-log"])
def test_an_empty_log_is_not_made_by_asking_for_it(
    part: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    backup = tmp_path / "log.jsonl"
    backup.write_text("of yesterday")
    refused = command(part, *([str(backup)] if part == "export-log" else []))
    assert refused.exit_code == 1
    assert "There is no database" in refused.stderr
    assert backup.read_text() == "of yesterday"
    assert list(tmp_path.iterdir()) == [backup]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("foo", "A database is named by a URL"),
        ("", "A database is named by a URL"),
        ("postgresql://host:port/name", "A database is named by a URL"),
        ("postgresql+asyncpg://host/name", "not in postgresql+asyncpg"),
        ("mysql://host/name", "not in mysql"),
        ("sqlite://", "is a file"),
        ("sqlite:///:memory:", "is a file"),
    ],
)
def test_what_is_no_url_of_a_database_is_said_so(
    url: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    refused = command("status")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: DATABASE_URL: ")
    assert says in refused.stderr


def test_a_database_that_does_not_answer_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    result = command("status")
    assert result.exit_code == 1
    assert "The database does not answer" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("part", [("migrate",), ("status",), ("serve",), ("up",)])
def test_a_database_of_a_later_version_is_said_so(
    part: tuple[str, ...], postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    engine = open_engine(postgres_url)
    migrations.upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    refused = command(*part)
    assert refused.exit_code == 1
    assert "The database is at migration 9999" in refused.stderr
    assert "a later version of Turnstile" in refused.stderr


def test_jobs_are_not_asked_for_while_redis_does_not_answer(
    run: Run, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    refused = run("rebuild", "--on-workers")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: Redis does not answer: ")
    engine = open_engine(migrated_url)
    with engine.connect() as connection:
        assert jobs.unfinished(connection) == []
    engine.dispose()


@pytest.mark.parametrize(
    "part",
    [
        ("up", "--port", "65536"),
        ("project", "--metrics-port", "65536"),
        ("work", "--threads", "0"),
        ("create-key", "shop", "--all-scopes", "--days", "99999999"),
    ],
)
def test_a_number_that_nobody_can_mean_is_refused_with_its_limits(part: tuple[str, ...]) -> None:
    refused = command(*part)
    assert refused.exit_code == 2
    assert f"{part[-1]} is not in the range" in refused.stderr


def test_who_takes_the_log_as_it_is_stored_needs_no_secret(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name)
    for part in (
        ("migrate",),
        ("verify",),
        ("checkpoints",),
        ("export-log", "log.jsonl"),
        ("import-log", "log.jsonl"),
        ("export-keys", "keys.jsonl"),
        ("status",),
        ("parked",),
        ("compared",),
    ):
        assert run(*part).exit_code == 0


@pytest.mark.parametrize("name", ["MASTER_KEY", "SECRET_KEY"])
def test_production_refuses_to_start_on_a_secret_that_everybody_knows(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", POSTGRES)
    monkeypatch.delenv(name)
    for part in ("up", "serve", "project", "react", "work", "retention"):
        refused = command(part)
        assert refused.exit_code == 1
        assert f"set {name}; 'turnstile new-key {name}' makes one." in refused.stderr
    made = command("new-key", name).stdout.strip().partition("=")
    assert made[0] == name
    monkeypatch.setenv(name, made[2])
    assert "does not answer" in command("project").stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("MASTER_KEY", "ab" * 31), ("MASTER_KEY", "x" * 64), ("SECRET_KEY", "s" * 31)],
)
def test_a_malformed_secret_is_named_but_not_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv(name, value)
    refused = command("status")
    assert refused.exit_code == 1
    assert name in refused.stderr
    assert f"'turnstile new-key {name}' makes one" in refused.stderr
    assert value not in refused.output


def test_a_box_office_for_development_says_so(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    warn_of_development_secrets(Settings())
    assert capsys.readouterr().out + caplog.text == ""
    monkeypatch.delenv("MASTER_KEY")
    warn_of_development_secrets(Settings())
    said = capsys.readouterr().out + caplog.text
    assert "secrets.for_development_only" in said
    assert "['MASTER_KEY']" in said
    assert Settings().master_key not in said
