"""The command line of auditors and operators, on a festival of a few lines."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from application.composition import compose
from application.importing import Names
from application.settings import Settings
from projections.engine.projector import Projector
from projections.registry import READ_MODELS
from web.cli import main
from workers.jobs import jobs_of

RECORD = [
    {
        "command": "create_event",
        "at": "2026-01-01T10:00:00Z",
        "event": "gig",
        "title": "Gig",
        "organizer": {"ref": "o", "name": "Organizer"},
        "starts_at": "2026-02-01T20:00:00Z",
        "ends_at": "2026-02-01T23:00:00Z",
        "currency": "GBP",
        "ticket_types": [{"ref": "all", "name": "Standing", "price": "10.00", "quantity": 10}],
    },
    {"command": "publish_event", "at": "2026-01-01T10:00:01Z", "event": "gig"},
    *(
        {
            "command": "register_customer",
            "at": "2026-01-02T10:00:00Z",
            "customer": name,
            "name": name,
            "email": f"{name}@example.org",
        }
        for name in ("ada", "ben")
    ),
    {
        "command": "place_order",
        "at": "2026-01-02T11:00:00Z",
        "order": "first",
        "event": "gig",
        "customer": "ada",
        "payment_method": "card",
        "tickets": [{"ref": "t1", "ticket_type": "all"}],
    },
    {"command": "pay_order", "at": "2026-01-02T11:01:00Z", "order": "first", "method": "card"},
    {
        "command": "transfer_ticket",
        "at": "2026-01-03T09:00:00Z",
        "ticket": "t1",
        "to_customer": "ben",
        "reason": "gift",
    },
    {"command": "scan_ticket", "at": "2026-02-01T20:05:00Z", "ticket": "t1", "event": "gig"},
]

Run = Callable[..., Result]


@pytest.fixture
def run(migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("status")` is what `turnstile status` comes to."""
    monkeypatch.setenv("DATABASE_URL", migrated_url)
    monkeypatch.setenv("COLUMNS", "100")
    record = tmp_path / "record.jsonl"
    record.write_text("".join(json.dumps(line) + "\n" for line in RECORD))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))

    assert run("import", str(record), "--source", "shop").exit_code == 0
    return run


def test_history_tells_what_happened_to_a_ticket(run: Run) -> None:
    said = run("history", "ticket", "t1", "--source", "shop").output
    told = [line.split()[3] for line in said.splitlines() if " by import:shop" in line]
    assert told == ["Ticket.Issued", "Ticket.Transferred", "Ticket.Admitted"]
    assert "2026-01-03 09:00:00" in said
    assert "redacted" in said


def test_history_shows_the_state_at_a_time_and_at_a_version(run: Run) -> None:
    ada, ben = (str(Names("shop").id("customer", name)) for name in ("ada", "ben"))
    at = run("history", "ticket", "t1", "--source", "shop", "--at", "2026-01-03T08:59", "--json")
    version = run("history", "ticket", "t1", "--source", "shop", "--version", "2", "--json")
    assert json.loads(at.output)["as_of"]["holder_id"] == ada
    assert json.loads(version.output)["as_of"]["holder_id"] == ben
    assert (
        "As of version 1"
        in run("history", "ticket", "t1", "--source", "shop", "--at", "2026-01-03T08:59").output
    )


def test_history_shows_what_changed_between_two_moments(run: Run) -> None:
    ada, ben = (str(Names("shop").id("customer", name)) for name in ("ada", "ben"))
    ticket = ("history", "ticket", "t1", "--source", "shop")
    said = run(*ticket, "--diff", "1", "2").output
    assert "from version 1 to 2" in said
    told = {line.split()[0]: line.split()[1:3] for line in said.splitlines() if line[:1] == "/"}
    assert told == {"/holder_id": [f"…{ada[-8:]}", f"…{ben[-8:]}"], "/transfers": ["0", "1"]}
    changed = json.loads(run(*ticket, "--diff", "2026-01-03T10:00", "2026-03-01", "--json").output)
    assert [change["path"] for change in changed["changes"]] == ["/inside", "/admissions"]
    assert run(*ticket, "--diff", "3", "3").output.endswith("Nothing changed.\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ticket", "t1"), "'t1' is not an id. For another system's reference, add --source."),
        (("ticket", "t9", "--source", "shop"), "There is no ticket"),
        (("order", "t1", "--source", "shop"), "There is no order"),
        (("ticket", "t1", "--source", "shop", "--at", "yesterday"), "is not a time like"),
        (("ticket", "t1", "--source", "shop", "--version", "9"), "Its latest version is 3."),
        (("ticket", "t1", "--source", "shop", "--at", "2025-01-01"), "There was no ticket"),
        (("ticket", "t1", "--version", "1", "--at", "2026-01-01", "--source", "shop"), "not more"),
        (("ticket", "t1", "--version", "1", "--diff", "1", "2", "--source", "shop"), "not more"),
        (("ticket", "t1", "--source", "shop", "--diff", "1", "2026-01-01"), "Give two versions"),
        (("ticket", "t1", "--source", "shop", "--diff", "1", "soon"), "is not a time like"),
    ],
)
def test_history_explains_what_it_cannot_show(
    run: Run, arguments: tuple[str, ...], says: str
) -> None:
    result = run("history", *arguments)
    assert result.exit_code != 0
    assert says in result.output


def test_rebuild_brings_read_models_to_the_end_of_the_log(run: Run) -> None:
    behind = json.loads(run("status", "--json").output)
    said = run("rebuild", "orders", "tickets").output
    now = {
        model["name"]: model["lag_events"] for model in json.loads(run("status", "--json").output)
    }
    assert all(model["lag_events"] == model["head"] > 0 for model in behind)
    assert (now["orders"], now["tickets"]) == (0, 0)
    assert now["catalogue"] > 0
    assert "orders: " in said


def test_rebuild_names_the_read_models_that_there_are(run: Run) -> None:
    result = run("rebuild", "ordres")
    assert result.exit_code == 1
    assert "No read model ordres; there are: catalogue, " in result.output


def test_a_database_that_is_not_migrated_is_said_so(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    result = CliRunner().invoke(main, ["status"])
    assert "run 'turnstile migrate' first" in result.output


def test_a_database_that_does_not_answer_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    result = CliRunner().invoke(main, ["status"])
    assert result.exit_code == 1
    assert "The database does not answer" in result.output
    assert "Traceback" not in result.output


def test_workers_import_what_they_are_handed(
    run: Run,
    migrated_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused: list[dict[str, object]] = []
    logged = SimpleNamespace(warning=lambda event, **fields: refused.append(fields))
    monkeypatch.setattr("workers.jobs.logger", logged)
    turnstile = compose(Settings(database_url=migrated_url, redis_url=redis_url))
    worker = jobs_of(turnstile).start_worker(threads=1)
    monkeypatch.setenv("REDIS_URL", redis_url)
    record = str(tmp_path / "record.jsonl")
    with (tmp_path / "record.jsonl").open("a") as lines:
        lines.write('{"command": "dance"}\n')
    first = run("import", record, "--source", "other", "--on-workers")
    again = run("import", record, "--source", "other", "--on-workers")
    worker.stop()
    turnstile.close()
    assert first.output.endswith(f"{len(RECORD)} applied, 0 already, 1 refused\n")
    assert again.output.endswith(f"0 applied, {len(RECORD)} already, 1 refused\n")
    assert [(fields["line"], fields["rule"]) for fields in refused] == 2 * [
        (len(RECORD) + 1, "unreadable")
    ]


def test_workers_share_rebuilds(
    run: Run, migrated_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turnstile = compose(Settings(database_url=migrated_url, redis_url=redis_url))
    worker = jobs_of(turnstile).start_worker(threads=1)
    monkeypatch.setenv("REDIS_URL", redis_url)
    run("import", str(tmp_path / "record.jsonl"))
    Projector(turnstile).catch_up()
    result = run("rebuild", "--on-workers")
    worker.stop()
    turnstile.close()
    head = re.findall(r"(\w+): \d+ rows at position (\d+)", result.output)
    assert {name for name, _ in head} == {model.name for model in READ_MODELS}
    assert len({position for _, position in head}) == 1


def test_workers_need_redis(run: Run, tmp_path: Path) -> None:
    result = run("import", str(tmp_path / "record.jsonl"), "--on-workers")
    assert result.exit_code == 1
    assert "set REDIS_URL" in result.output
