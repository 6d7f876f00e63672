"""The command line of personal data: secrets, erasing, retention, and keys carried elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from application import keys
from application.settings import Settings
from tests.e2e.test_command_line import RECORD
from tests.services import SECRETS
from web.cli import main
from web.console import warn_of_development_secrets

ADA = ("customer", "ada", "--source", "shop")
POSTGRES = "postgresql://nobody@127.0.0.1:1/none"

Run = Callable[..., Result]


@pytest.fixture
def run(migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("retention")` is what `turnstile retention` comes to, where a record was imported."""
    monkeypatch.setenv("DATABASE_URL", migrated_url)
    monkeypatch.chdir(tmp_path)
    Path("record.jsonl").write_text("".join(json.dumps(line) + "\n" for line in RECORD))
    assert command("import", "record.jsonl", "--source", "shop").exit_code == 0
    return command


def command(*arguments: str, fed: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=fed)


def email(kind: str = "customer", reference: str = "ada") -> str:
    shown = command("history", kind, reference, "--source", "shop", "--json")
    return str(json.loads(shown.stdout)["history"][0]["data"]["profile"]["email"])


def test_erasing_asks_first_and_cannot_be_undone(run: Run) -> None:
    assert run("erase-customer", *ADA[1:], fed="n\n").exit_code == 1
    assert email() == "ada@example.org"
    assert "is erased, at position" in run("erase-customer", *ADA[1:], fed="y\n").stdout
    assert run("erase-customer", *ADA[1:], "--yes").exit_code == 0
    assert email() == ""
    assert email(reference="ben") == "ben@example.org"
    history = json.loads(run("history", *ADA, "--json").stdout)["history"]
    assert [item["what"] for item in history] == ["Customer.Registered", "Customer.Erased"]
    assert run("verify").exit_code == 0
    assert "There is no customer" in run("erase-customer", "eve", "--source", "x", "--yes").stderr


def test_a_restored_log_shows_names_once_its_keys_are_restored(
    run: Run, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("export-keys", "old.jsonl")
    run("erase-customer", *ADA[1:], "--yes")
    assert "1 keys" in run("export-keys", "keys.jsonl.gz").stderr
    assert run("export-log", "log.jsonl").exit_code == 0
    monkeypatch.setenv("DATABASE_URL", sqlite_url.replace("turnstile.db", "restored.db"))
    assert run("import-log", "log.jsonl").exit_code == 0
    assert (email(), email(reference="ben")) == ("", "")
    assert "1 keys added; 0 were there, 0 are of" in run("import-keys", "keys.jsonl.gz").stderr
    assert (email(), email(reference="ben")) == ("", "ben@example.org")
    assert "0 keys added; 1 were there, 1 are of" in run("import-keys", "old.jsonl").stderr
    assert (email(), email(reference="ben")) == ("", "ben@example.org")


def test_keys_that_come_before_their_log_open_nothing_of_who_was_erased(
    run: Run, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("export-keys", "old.jsonl")
    run("erase-customer", *ADA[1:], "--yes")
    run("export-log", "log.jsonl")
    monkeypatch.setenv("DATABASE_URL", sqlite_url.replace("turnstile.db", "restored.db"))
    assert "2 keys added" in run("import-keys", "old.jsonl").stderr
    assert run("import-log", "log.jsonl").exit_code == 0
    assert (email(), email(reference="ben")) == ("", "ben@example.org")
    assert "1 keys" in run("export-keys", "-").stderr


def test_keys_open_with_their_own_master_key_only(
    run: Run, migrated_url: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("export-keys", "keys.jsonl")
    monkeypatch.setenv("MASTER_KEY", "ab" * 32)
    for part in (("history", *ADA), ("project",), ("retention",)):
        assert "does not open with this MASTER_KEY" in run(*part).stderr
    assert run("verify").exit_code == 0
    monkeypatch.setenv("DATABASE_URL", sqlite_url.replace("turnstile.db", "restored.db"))
    assert "Line 2: The key of customer" in run("import-keys", "keys.jsonl").stderr
    assert "0 keys" in run("export-keys", "-").stderr
    monkeypatch.setenv("DATABASE_URL", migrated_url)
    monkeypatch.setenv("OLD_MASTER_KEY", SECRETS["MASTER_KEY"])
    assert "2 keys open with the new" in run("rewrap-keys").stdout
    assert "0 keys open with the new" in run("rewrap-keys").stdout
    assert email() == "ada@example.org"
    monkeypatch.setenv("MASTER_KEY", "cd" * 32)
    monkeypatch.setenv("OLD_MASTER_KEY", SECRETS["MASTER_KEY"])
    assert run("rewrap-keys").exit_code == 1
    monkeypatch.setenv("MASTER_KEY", "ab" * 32)
    assert email() == "ada@example.org"


@pytest.mark.parametrize("text", ["", "{}\n", '{"format":"turnstile log 1"}\n', "\xff\n"])
def test_a_file_without_keys_is_refused(run: Run, text: str) -> None:
    Path("keys.jsonl").write_text(text, encoding="latin-1")
    refused = run("import-keys", "keys.jsonl")
    assert refused.exit_code == 1
    assert "Line 1: " in refused.stderr


def test_retention_says_how_many_it_would_erase(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "RETENTION_DAYS is not set" in run("retention").stderr
    monkeypatch.setenv("RETENTION_DAYS", "30")
    run("rebuild", "customers", "orders", "tickets", "gate_lists", "catalogue")
    for _ in range(2):
        assert run("retention", "--dry-run").stdout.startswith("2 customers would be erased")
    assert run("erase-customer", *ADA[1:], "--yes").exit_code == 0
    postponed = run("retention", "--dry-run")
    assert postponed.exit_code == 1
    assert "Nobody would be erased at present. The read model customers lags" in postponed.stderr


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


def test_settings_show_no_secret() -> None:
    settings = Settings(checkpoint_key=keys.new_key().private)
    shown = repr(settings)
    for secret in (settings.secret_key, settings.master_key, str(settings.checkpoint_key)):
        assert secret not in shown


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
