"""The commands of auditors: verify, sign, prove and check."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from application import keys
from application.composition import compose
from application.gate import check_in
from application.import_lines import Names
from application.presenting import show_check_in
from application.settings import Settings
from application.store.work import Command, Context
from domain.ticket import Scan
from tests.application.store.tampering import alter, cut_off, tampering
from tests.web.cli.commands import RECORD, TICKET, Run, head, shell
from tests.workers.tallies import register

KEY = keys.new_key()
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
def run(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands that have a key to sign with."""
    monkeypatch.setenv("CHECKPOINT_KEY", KEY.private)
    return run


def tamper(url: str, change: Callable[[Any], object]) -> None:
    turnstile = compose(Settings(database_url=url))
    with tampering(turnstile.engine) as connection:
        change(connection)
    turnstile.close()


def test_an_untouched_log_is_verified(run: Run) -> None:
    position = head(run)
    result = run("verify")
    assert result.exit_code == 0
    assert f"Positions 1 to {position} are what was recorded" in result.stdout
    assert "No checkpoint was met on the way" in result.stdout
    assert f"up to position {position} was signed" in run("checkpoint").stdout
    result = run("verify", "--public-key", KEY.public)
    assert "They agree with every checkpoint (1)" in result.stdout
    assert KEY.public in result.stdout
    shown = json.loads(run("verify", "--from", "latest", "--json").stdout)["verified"]
    assert (shown["start"], shown["position"]) == (position, position)


def test_an_altered_log_is_named_by_its_position(run: Run, migrated_url: str) -> None:
    tamper(migrated_url, lambda connection: alter(connection, 4, metadata='{"actor":"eve"}'))
    for result in (run("verify"), run("verify", "--json"), run("checkpoint")):
        assert result.exit_code == 1
        assert "Position 4: what is recorded here does not fit its hash." in result.stderr
    assert run("checkpoints", "--json").stdout == "[]\n"


def test_copies_that_a_part_is_not_held_to_are_told(run: Run, migrated_url: str) -> None:
    assert run("checkpoint").exit_code == 0
    Path("kept.json").write_text(run("checkpoints", "--json").stdout)
    with closing(compose(Settings(database_url=migrated_url))) as turnstile:
        register(turnstile)
    assert run("checkpoint").exit_code == 0
    kept = ("--checkpoints", "kept.json")
    assert "1 of the copies given lie before" in run("verify", "--from", "latest", *kept).stdout
    assert "copies given" not in run("verify", *kept).stdout
    assert "copies given" not in run("verify", "--from", "latest").stdout


def test_checkpoints_kept_elsewhere_tell_of_a_log_cut_off(run: Run, migrated_url: str) -> None:
    position = head(run)
    assert run("checkpoint").exit_code == 0
    Path("kept.json").write_text(run("checkpoints", "--json").stdout)
    Path("one.json").write_text(run("checkpoint", "--json").stdout)
    tamper(migrated_url, lambda connection: cut_off(connection, 4))
    tamper(migrated_url, lambda connection: connection.exec_driver_sql("DELETE FROM checkpoints"))
    assert run("verify").exit_code == 0
    for file in ("kept.json", "one.json"):
        result = run("verify", "--checkpoints", file)
        assert result.exit_code == 1
        assert "Position 5: the log ends at 4" in result.stderr
        assert f"had come to {position}" in result.stderr


def test_signing_needs_a_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHECKPOINT_KEY")
    result = run("checkpoint")
    assert result.exit_code == 1
    assert "set CHECKPOINT_KEY" in result.stderr
    made = run("new-key")
    name, private = made.stdout.strip().split("=")
    monkeypatch.setenv(name, private)
    assert run("checkpoint").exit_code == 0
    assert json.loads(run("checkpoints", "--json").stdout)[0]["public_key"] in made.stderr
    assert run("checkpoints").stdout.count("\n") >= 2


def test_a_key_that_is_none_is_refused_without_being_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKPOINT_KEY", KEY.private[:-1])
    result = run("verify")
    assert result.exit_code == 1
    assert "CHECKPOINT_KEY is not a key" in result.stderr
    assert KEY.private[:-1] not in result.output


def test_only_what_the_pinned_key_has_signed_counts(run: Run) -> None:
    run("checkpoint")
    other = keys.new_key()
    assert "not trusted" in run("verify", "--public-key", other.public).stderr
    assert run("verify", "--public-key", "abc").exit_code == 2


def test_a_proof_is_checked_where_there_is_no_database(run: Run) -> None:
    assert "There is no checkpoint" in run("prove", *TICKET).stderr
    run("checkpoint")
    assert run("prove", *TICKET, "-o", "proof.json").exit_code == 0
    checked = shell(NOWHERE, "check-proof", "proof.json", "--public-key", KEY.public)
    assert checked.returncode == 0, checked.stderr
    said = checked.stdout.decode()
    assert [what in said for what in ("Issued", "Transferred", "Admitted")] == [True] * 3
    assert "versions 1 to 3, as recorded, none left out" in said
    assert "Nobody has said" not in said
    assert "Nobody has said" in run("check-proof", "proof.json").stdout
    history = json.loads(run("check-proof", "proof.json", "--json").stdout)["history"]
    assert history == json.loads(run("history", *TICKET, "--json").stdout)["history"]


def test_a_proof_that_was_altered_is_refused(run: Run) -> None:
    run("checkpoint")
    Path("proof.json").write_text(run("prove", *TICKET).stdout.replace("gift", "sale"))
    result = run("check-proof", "proof.json")
    assert result.exit_code == 1
    assert "What it shows is not what was recorded" in result.stderr
    other = keys.new_key()
    Path("proof.json").write_text(run("prove", *TICKET).stdout)
    assert "not trusted" in run("check-proof", "proof.json", "--public-key", other.public).stderr


def test_a_proof_shows_what_is_no_json_since_its_secret_is_hashed(
    run: Run, migrated_url: str
) -> None:
    names = Names("shop")
    scan = Scan(names.id("event", "gig"), additional_metadata={"secret": 'a"b'})
    shown = {"event_id": scan.event_id, "ticket_id": names.id("ticket", "t1")}
    with closing(compose(Settings(database_url=migrated_url))) as turnstile:
        attempt = Command(check_in, {"scan": scan, **shown}, Context(), show_check_in)
        turnstile.executor.execute(attempt)
    run("checkpoint")
    Path("proof.json").write_text(run("prove", *TICKET).stdout)
    checked = run("check-proof", "proof.json", "--json")
    assert checked.exit_code == 0, checked.output
    history = json.loads(checked.stdout)["history"]
    assert ["as_hashed" in item["data"] for item in history] == [False] * 3 + [True]


def test_prove_tells_of_what_it_leaves_out(run: Run) -> None:
    run("checkpoint")
    again = json.dumps(RECORD[-1]).replace("20:05", "20:06")
    Path("more.jsonl").write_text(again + "\n")
    assert run("import", "more.jsonl", "--source", "shop").exit_code == 0
    result = run("prove", *TICKET)
    assert len(json.loads(result.stdout)["events"]) == 3
    assert "1 later events are not in it" in result.stderr
