"""The commands about read models, on a festival of a few lines."""

import json
import re
import time
from contextlib import closing
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import delete, select

from application.composition import Turnstile, compose
from application.settings import Settings
from application.store.database import writing
from application.store.tables import events
from domain.customer import Customer
from projections.customers import CUSTOMERS
from projections.engine.projector import Projector
from projections.engine.tables import parked
from projections.open_holds import OPEN_HOLDS
from projections.orders import orders
from projections.registry import READ_MODELS
from tests.application.store.tampering import tampering
from tests.web.cli.commands import Run
from web.cli import console
from workers.jobs import jobs_of


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


@pytest.mark.parametrize("last_deleted", [1, 2**62])
def test_status_bears_a_log_that_lacks_events(
    run: Run, migrated_url: str, last_deleted: int
) -> None:
    turnstile = compose(Settings(migrated_url))
    with closing(turnstile), tampering(turnstile.engine) as connection:
        connection.execute(delete(events).where(events.c.position <= last_deleted))
    behind = json.loads(run("status", "--json").output)
    assert all((model["lag_seconds"] > 0) == (last_deleted == 1) for model in behind)


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


def test_who_asks_for_what_no_worker_begins_is_told(
    run: Run, migrated_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "BEGUN_SECONDS", 0.0)
    monkeypatch.setenv("REDIS_URL", redis_url)
    turnstile = compose(Settings(database_url=migrated_url, redis_url=redis_url))
    started: list[Any] = []
    late = Timer(1.0, lambda: started.append(jobs_of(turnstile).start_worker(threads=1)))
    late.start()
    result = run("rebuild", OPEN_HOLDS.name, "--on-workers")
    started[0].stop()
    turnstile.close()
    assert (result.exit_code, result.output.count(console.NOBODY_BEGINS)) == (0, 1)


def test_ctrl_c_ends_the_waiting_for_workers_only(
    run: Run, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setattr(console, "time", SimpleNamespace(sleep=press, monotonic=time.monotonic))
    result = run("rebuild", OPEN_HOLDS.name, "--on-workers")
    assert result.exit_code == 1
    assert "It goes on without you" in result.output


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
