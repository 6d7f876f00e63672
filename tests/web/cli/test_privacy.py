"""The commands about personal data: erasing, retention, and keys carried elsewhere."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import update

from application.composition import compose
from application.import_lines import Names
from application.settings import Settings
from application.store.database import vault_of, writing
from application.store.sealing import SealBroken
from application.store.tables import customer_keys
from tests.services import SECRETS
from tests.web.cli.commands import Run, command
from tests.workers.tallies import change

ADA = ("customer", "ada", "--source", "shop")


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


def test_nobody_whose_key_is_missing_is_changed(
    run: Run, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("export-keys", "keys.jsonl")
    run("export-log", "log.jsonl")
    url = sqlite_url.replace("turnstile.db", "restored.db")
    monkeypatch.setenv("DATABASE_URL", url)
    run("import-log", "log.jsonl")
    ada = Names("shop").id("customer", "ada")
    with closing(compose(Settings(database_url=url))) as turnstile:
        with pytest.raises(SealBroken, match="import-keys"):
            change(turnstile, ada)
        assert "2 keys added" in run("import-keys", "keys.jsonl").stderr
        change(turnstile, ada)
    assert email() == "ada@example.org"


def test_another_key_of_a_customer_is_refused(run: Run, migrated_url: str) -> None:
    run("export-keys", "keys.jsonl")
    assert "0 keys added; 2 were there" in run("import-keys", "keys.jsonl").stderr
    ada = Names("shop").id("customer", "ada")
    with closing(compose(Settings(database_url=migrated_url))) as turnstile:
        another = vault_of(turnstile.engine).wrap(ada, bytes(32))
        with writing(turnstile.engine) as connection:
            hers = customer_keys.c.customer_id == ada
            connection.execute(update(customer_keys).where(hers).values(wrapped_key=another))
    refused = run("import-keys", "keys.jsonl")
    assert refused.exit_code == 1
    assert f"customer {ada} has another key here" in refused.stderr.replace("\n", " ")


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
        assert "was not wrapped by this master key" in run(*part).stderr
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


@pytest.mark.parametrize("part", ["export-keys", "import-keys"])
def test_a_file_of_keys_that_cannot_be_opened_is_told_plainly(run: Run, part: str) -> None:
    refused = run(part, "no/such/folder/keys.jsonl")
    assert refused.exit_code == 1
    assert "No such file or directory" in refused.stderr
    assert "Traceback" not in refused.output


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
