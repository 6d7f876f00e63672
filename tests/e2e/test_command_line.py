"""The command line of auditors and operators, on a festival of a few lines."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from application.composition import Turnstile, compose
from application.importing import Names
from application.settings import Settings
from application.store.database import writing
from application.store.tables import events
from domain.customer import Customer
from projections.customers import CUSTOMERS
from projections.engine.projector import Projector
from projections.engine.tables import parked
from projections.orders import orders
from projections.registry import READ_MODELS
from tests.later_version import from_a_later_version
from tests.workers.tallies import change
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


def test_history_shows_what_a_later_version_recorded_but_does_not_replay_it(
    run: Run, migrated_url: str
) -> None:
    with closing(compose(Settings(database_url=migrated_url))) as turnstile:
        change(turnstile, Names("shop").id("customer", "ada"))
        later, _ = from_a_later_version(turnstile.engine, Names("shop").id("customer", "ada"))
    ada = ("history", "customer", "ada", "--source", "shop")
    assert run(*ada, "--version", "2").output.count("Customer.Changed") == 3
    replayed = run(*ada, "--version", "3")
    assert replayed.exit_code == 1
    assert replayed.output.startswith(
        f"Error: Customer.Changed at position {later} cannot be read: it is of version 2"
    )


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


def test_rebuild_tells_what_was_wrong_and_a_dry_run_leaves_it(run: Run, migrated_url: str) -> None:
    assert "There were no live rows to compare with." in run("rebuild", "orders").output
    sound = run("rebuild", "orders", "--dry-run").output
    assert "orders: dry run, the live rows are left as they are" in sound
    assert "are equal.\n" in sound
    with (
        closing(compose(Settings(database_url=migrated_url))) as turnstile,
        writing(turnstile.engine) as connection,
    ):
        connection.execute(orders.update().values(total=1))
    for said in (run("rebuild", "orders", "--dry-run").output, run("rebuild", "orders").output):
        assert "0 missing, 0 extra, 1 different." in said
        assert re.search(r"orders: different: id [0-9a-f-]+: total 1 instead of 1000\n", said)
    assert "are equal.\n" in run("rebuild", "orders", "--dry-run").output


def test_compared_lists_what_rebuilds_found(run: Run) -> None:
    assert "Nothing was rebuilt yet." in run("compared").output
    for arguments in (("orders",), ("customers",), ("customers", "--dry-run")):
        assert run("rebuild", *arguments).exit_code == 0
    listed = [line.split() for line in run("compared").output.splitlines()]
    assert [line[0] for line in listed[1:4]] == ["customers", "customers", "orders"]
    assert [line[3:5] for line in listed[1:4]] == [
        ["no", "equal"],
        ["yes", "unfilled"],
        ["yes", "unfilled"],
    ]
    kept = json.loads(run("compared", "customers", "--json").output)
    assert [item["outcome"] for item in kept] == ["equal", "unfilled"]
    assert kept[0]["equal"] > 0
    assert run("compared", "nothing").exit_code == 1


def test_parked_shows_what_waits_and_retry_takes_it(run: Run, migrated_url: str) -> None:
    assert "Nothing is parked." in run("parked").output
    with closing(compose(Settings(database_url=migrated_url))) as turnstile:
        Projector(turnstile, [CUSTOMERS]).catch_up()
        poison(turnstile)
        said = run("parked", "customers").output
        assert re.search(r"customers: stream \S+, since \S+ \S+: the event at position 4\n", said)
        assert "\n  A bug.\n" in said
        assert "Nothing is parked." in run("parked", "orders").output
        waiting = json.loads(run("parked", "--json").output)
        assert {item["read_model"] for item in waiting} == {"customers"}
        assert len(waiting) == 2

        again = run("retry", "customers")
        assert again.exit_code == 1
        assert "0 parked events taken" in again.output
        assert (
            "2 events of 2 streams wait still; 'turnstile parked customers' shows" in again.output
        )
        assert "IntegrityError: " in run("parked", "customers").output
        with writing(turnstile.engine) as connection:
            for table in CUSTOMERS.tables:
                connection.execute(table.delete())
        done = run("retry", "customers")
        assert (done.exit_code, done.stdout) == (0, "customers: 2 parked events taken\n")
    assert "Nothing is parked." in run("parked").output


def poison(turnstile: Turnstile) -> None:
    """Park every customer, as if its handler had failed."""
    with writing(turnstile.engine) as connection:
        registered = select(events.c.position, events.c.stream_id, events.c.recorded_at).where(
            events.c.topic == Customer.Registered.TOPIC
        )
        for position, stream_id, parked_at in connection.execute(registered).all():
            row = {"position": position, "stream_id": stream_id, "parked_at": parked_at}
            connection.execute(
                parked.insert().values(read_model="customers", error="A bug.", **row)
            )


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
    logged = SimpleNamespace(
        warning=lambda event, **fields: refused.append(fields), info=lambda event, **fields: None
    )
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
    head = re.findall(
        r"(\w+): \d+ rows at position (\d+); compared at position \2: \d+ equal, 0 ", result.output
    )
    assert {name for name, _ in head} == {model.name for model in READ_MODELS}
    assert len({position for _, position in head}) == 1


def test_workers_need_redis(run: Run, tmp_path: Path) -> None:
    result = run("import", str(tmp_path / "record.jsonl"), "--on-workers")
    assert result.exit_code == 1
    assert "set REDIS_URL" in result.output
