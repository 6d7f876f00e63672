"""The projector takes every event exactly once, whoever dies and whatever is lost."""

import random
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import select, text, update
from structlog.testing import capture_logs

from application.composition import Turnstile
from application.store.database import vault_of, writing
from application.store.signals import Signals
from application.store.tables import customer_keys
from domain.aggregate import Fact
from domain.customer import Customer
from projections.engine import leases, projector
from projections.engine.pace import Pace
from projections.engine.parking import waiting_streams
from projections.engine.projector import Projector
from projections.engine.read_model import ReadModel
from projections.engine.rebuild import Rebuilt, rebuild, rebuild_together
from projections.engine.retrying import retry
from projections.engine.tables import leases as leases_table
from projections.engine.waiting import wait_for
from projections.registry import READ_MODELS
from tests.later_version import from_a_later_version, know_the_later_version
from tests.workers.festival import (
    NAMES,
    box_office,
    forget_read_models,
    import_lines,
    let_leases_run_out,
    reached,
    record,
    rows_of,
)
from tests.workers.processes import PATIENCE, eventually
from tests.workers.processes import turnstile as process
from tests.workers.projecting import Killed, ask, at, die, head, parked, projecting
from tests.workers.tallies import (
    Check,
    Slowly,
    Tally,
    change,
    nothing_wrong,
    raises,
    register,
    writes_null,
)

LINES = 1_500  # of the festival's record: enough to sell, to transfer and to refund
FOREVER = 3_600.0
TAKE_OVER = 10  # seconds, as operators are promised
LISTENERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE 'LISTEN%'
"""


def holders(turnstile: Turnstile) -> dict[str, str]:
    with turnstile.engine.connect() as connection:
        return leases.holders(connection)


# Exactly once


def test_two_projectors_at_the_same_work_take_every_event_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "take", lambda connection, names, holder: set(names))
    monkeypatch.setattr(projector, "BATCH", 50)
    with ExitStack() as opened:
        writer, *readers = [opened.enter_context(box_office(database_url)) for _ in range(3)]
        tally = Tally(writer, "tally")
        customers = register(writer, customers=5)
        with projecting(readers[0], tally.model), projecting(readers[1], tally.model):
            for _ in range(40):
                for customer in customers:
                    change(writer, customer)
            eventually(lambda: at(writer, tally.model) == head(writer))
        assert tally.taken() == {key: list(range(1, 42)) for key in customers}


def test_a_projector_that_finds_the_read_models_elsewhere_begins_there(
    turnstile: Turnstile,
) -> None:
    tallies = [Tally(turnstile, name) for name in ("ours", "theirs")]
    models = [tally.model for tally in tallies]
    first, second = Projector(turnstile, models), Projector(turnstile, models)
    (customer,) = register(turnstile)
    first.catch_up()  # and remembers where that was
    for version in range(2, 6):
        change(turnstile, customer)
        second.catch_up()
        assert first.step(models) == 0
        taken = {customer: list(range(1, version + 1))}
        assert [tally.taken() for tally in tallies] == [taken, taken]
        first, second = second, first


def test_read_models_that_grew_with_the_log_are_those_built_from_all_of_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as opened:
        writer, *readers = [opened.enter_context(box_office(database_url)) for _ in range(3)]
        with monkeypatch.context() as patched, projecting(readers[0]), projecting(readers[1]):
            patched.setattr(leases, "take", lambda connection, names, holder: set(names))
            import_lines(writer, record()[:LINES])
            eventually(lambda: reached(writer) == head(writer))
        grown = rows_of(writer)
        for model in READ_MODELS:
            rebuild(writer, model)
        assert rows_of(writer) == grown
        assert grown["tickets"]


def test_rows_and_position_move_together_or_not_at_all(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = Tally(turnstile, "tally")
    (customer,) = register(turnstile)
    running = Projector(turnstile, [tally.model])
    with monkeypatch.context() as patched:
        patched.setattr(projector, "move", die)
        with pytest.raises(Killed):
            running.catch_up()
    assert tally.taken() == {}
    running.catch_up()
    assert tally.taken() == {customer: [1]}


def test_a_projector_killed_in_mid_catch_up_is_followed_by_another(festival_url: str) -> None:
    chance = random.Random()
    with box_office(festival_url) as turnstile:
        whole, end = rows_of(turnstile), head(turnstile)
        forget_read_models(turnstile)
        for part in (0.1, 0.5):
            with process("project", url=festival_url) as running:
                wait_until_past(turnstile, int(part * end))
                time.sleep(chance.uniform(0, 0.05))  # the last step takes 0.2 s
                running.end(signal.SIGKILL)
            assert reached(turnstile) < end
            with writing(turnstile.engine) as connection:
                let_leases_run_out(connection)
        with process("project", url=festival_url) as running:
            assert eventually(lambda: reached(turnstile) == end)
            assert running.end() == 0
        assert rows_of(turnstile) == whole


def wait_until_past(turnstile: Turnstile, position: int) -> None:
    eventually(lambda: reached(turnstile) >= position, pause=0.005)


def test_who_stands_by_takes_over_within_the_time_of_a_lease(postgres_url: str) -> None:
    with box_office(postgres_url) as turnstile, process("project", url=postgres_url) as first:
        held = eventually(lambda: holders(turnstile))
        with process("project", url=postgres_url) as second:
            eventually(lambda: ask(turnstile, LISTENERS) == 2)
            assert second.process.poll() is None
            first.end(signal.SIGKILL)
            register(turnstile)
            slack = PATIENCE / 2  # for a busy machine: a lease that never ends would last longer
            eventually(lambda: reached(turnstile) == head(turnstile), patience=TAKE_OVER + slack)
            assert set(holders(turnstile)) == set(held)
            assert not set(holders(turnstile).values()) & set(held.values())


def test_a_lease_of_a_clock_that_was_put_back_is_free(database_url: str) -> None:
    with box_office(database_url) as turnstile, writing(turnstile.engine) as connection:
        leases.offer(connection, ["orders"])
        assert leases.take(connection, ["orders"], "first") == {"orders"}
        assert leases.take(connection, ["orders"], "second") == set()
        connection.execute(update(leases_table).values(runs_until=leases_table.c.runs_until + 3600))
        assert leases.holders(connection) == {}
        assert leases.take(connection, ["orders"], "second") == {"orders"}
        assert leases.holders(connection) == {"orders": "second"}


def test_a_projector_that_is_told_to_end_hands_its_leases_back(database_url: str) -> None:
    with box_office(database_url) as turnstile, process("project", url=database_url) as running:
        assert set(eventually(lambda: holders(turnstile))) == set(NAMES)
        assert running.end(signal.SIGTERM) == 0
        assert holders(turnstile) == {}


def test_between_batches_others_may_write(
    migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has one write lock, and no queue for it: whoever waits looks now and then."""
    monkeypatch.setattr(projector, "BATCH", 1)
    slowly = Slowly()
    with box_office(migrated_sqlite_url) as turnstile:
        tally = Tally(turnstile, "tally", slowly)
        (customer,) = register(turnstile, changes=20)
        with projecting(turnstile, tally.model):
            assert slowly.begun.wait(PATIENCE)
            change(turnstile, customer)
            assert at(turnstile, tally.model) < head(turnstile) - 1
            slowly.hurry()


# Waking


def test_a_lost_notification_only_costs_the_time_to_poll(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Signals, "announce", lambda self, connection, bell: None)
    monkeypatch.setattr(Signals, "ring", lambda self, bell: None)
    with box_office(database_url) as writer, box_office(database_url) as reader:
        tally = Tally(writer, "tally")
        with projecting(reader, tally.model):
            eventually(lambda: holders(writer))
            (customer,) = register(writer)
            eventually(lambda: tally.taken() == {customer: [1]})


def test_a_notification_wakes_the_projector(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "POLL_SECONDS", FOREVER)
    tally = Tally(turnstile, "tally")
    with projecting(turnstile, tally.model):
        eventually(lambda: holders(turnstile))
        (customer,) = register(turnstile)
        for _ in range(3):
            position = change(turnstile, customer)
            assert wait_for(turnstile, tally.model.name, position, PATIENCE)
    assert tally.taken() == {customer: [1, 2, 3, 4]}


def test_a_notification_wakes_a_projector_in_another_process(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "POLL_SECONDS", FOREVER)
    with box_office(postgres_url) as writer, box_office(postgres_url) as reader:
        tally = Tally(writer, "tally")
        with projecting(reader, tally.model):
            eventually(lambda: holders(writer))
            eventually(lambda: ask(writer, LISTENERS))
            (customer,) = register(writer)
            for _ in range(3):
                position = change(writer, customer)
                assert wait_for(writer, tally.model.name, position, PATIENCE)
        assert tally.taken() == {customer: [1, 2, 3, 4]}


def test_in_a_rush_a_projector_listens_only_when_nothing_came(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "rest", lambda pace, taken: 0.001)
    told: list[int | str] = []
    tally = Tally(turnstile, "tally")
    with projecting(turnstile, tally.model) as running:
        step, wait = running.step, turnstile.signals.wait

        def note_step(models: Sequence[ReadModel]) -> int:
            told.append(step(models))
            return int(told[-1])

        def note_wait(*arguments: Any) -> None:
            told.append("waits")
            wait(*arguments)

        monkeypatch.setattr(running, "step", note_step)
        monkeypatch.setattr(turnstile.signals, "wait", note_wait)
        (customer,) = register(turnstile)
        for _ in range(3):
            assert wait_for(turnstile, tally.model.name, change(turnstile, customer), PATIENCE)
        eventually(lambda: told[-1] == "waits")
    before_waiting = [before for before, now in pairwise(told) if now == "waits"]
    assert sum(item for item in told if isinstance(item, int)) == 4
    assert set(before_waiting) == {0}


# What cannot be taken


@pytest.mark.parametrize("fault", [raises, writes_null])
def test_a_poisoned_event_parks_its_stream_for_that_read_model_only(
    turnstile: Turnstile, fault: Check
) -> None:
    bad, good, late = register(turnstile, customers=3, changes=3)

    def check(fact: Fact) -> Any:
        poisoned = fact.originator_id == bad and fact.originator_version == 2
        return fault(fact) if poisoned else nothing_wrong(fact)

    poisoned = Tally(turnstile, "poisoned", check)
    healthy = Tally(turnstile, "healthy")
    running = Projector(turnstile, [poisoned.model, healthy.model])
    running.catch_up()
    change(turnstile, late)
    last = change(turnstile, bad)
    running.catch_up()

    assert poisoned.taken() == {bad: [1], good: [1, 2, 3, 4], late: [1, 2, 3, 4, 5]}
    assert healthy.taken() == {
        bad: [1, 2, 3, 4, 5],
        good: [1, 2, 3, 4],
        late: [1, 2, 3, 4, 5],
    }
    assert len(parked(turnstile, poisoned.model)) == 4
    assert parked(turnstile, poisoned.model)[-1] == last
    assert parked(turnstile, healthy.model) == []
    assert at(turnstile, poisoned.model) == at(turnstile, healthy.model) == head(turnstile)

    poisoned.check = nothing_wrong
    rebuild(turnstile, poisoned.model)
    assert poisoned.taken() == healthy.taken()
    assert parked(turnstile, poisoned.model) == []


def test_what_was_undone_is_not_remembered(turnstile: Turnstile) -> None:
    def check(fact: Fact) -> str:
        return raises(fact) if fact.originator_version == 2 else nothing_wrong(fact)

    healthy, poisoned = Tally(turnstile, "healthy"), Tally(turnstile, "poisoned", check)
    running = Projector(turnstile, [healthy.model, poisoned.model])
    (customer,) = register(turnstile)
    running.catch_up()
    change(turnstile, customer)
    running.catch_up()
    assert healthy.taken() == {customer: [1, 2]}
    assert poisoned.taken() == {customer: [1]}


def test_what_is_sealed_with_another_key_holds_up_nobody_else(database_url: str) -> None:
    with box_office(database_url) as turnstile, box_office(database_url) as other:
        tally = Tally(turnstile, "tally")
        bad, good = register(turnstile, customers=2)
        vault = vault_of(turnstile.engine)
        with writing(turnstile.engine) as connection:
            bad_is = customer_keys.c.customer_id == bad
            query = select(customer_keys.c.wrapped_key).where(bad_is)
            key = connection.execute(query).scalar_one()
            another = vault.wrap(bad, bytes(32))
            connection.execute(update(customer_keys).where(bad_is).values(wrapped_key=another))
        running = Projector(turnstile, [tally.model])
        running.catch_up()
        change(other, good)  # which hears of the events that it has missed
        change(turnstile, good)
        running.catch_up()
        assert tally.taken() == {good: [1, 2, 3]}
        assert parked(turnstile, tally.model) == [1]
        assert at(turnstile, tally.model) == head(turnstile)

        assert retry(turnstile, tally.model).taken == 0
        with writing(turnstile.engine) as connection:
            connection.execute(update(customer_keys).where(bad_is).values(wrapped_key=key))
        assert retry(turnstile, tally.model).taken == 1
        assert tally.taken() == {good: [1, 2, 3], bad: [1]}


def test_an_event_that_cannot_be_read_parks_its_stream_for_whoever_handles_it(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch, changed_classes: None
) -> None:
    bad, good = register(turnstile, customers=2, changes=1)
    recorded_later = from_a_later_version(turnstile.engine, bad)
    last = change(turnstile, good)
    concerned, other = Tally(turnstile, "concerned"), Tally(turnstile, "other")
    other.model = ReadModel(
        "other",
        (other.table,),
        {Customer.Registered: other.model.handlers[Customer.Registered]},
    )
    Projector(turnstile, [concerned.model, other.model]).catch_up()

    assert concerned.taken() == {bad: [1, 2], good: [1, 2, 3]}
    assert other.taken() == {bad: [1], good: [1]}
    assert parked(turnstile, concerned.model) == recorded_later
    assert parked(turnstile, other.model) == []
    assert at(turnstile, concerned.model) == at(turnstile, other.model) == last
    with turnstile.engine.connect() as connection:
        (waiting,) = waiting_streams(connection, ["concerned", "other"])
    assert waiting["error"] == (
        f"Undecodable: Customer.Changed at position {recorded_later[0]} cannot be read: "
        "it is of version 2, and this program knows 1"
    )

    rebuild(turnstile, concerned.model)
    assert concerned.taken() == {bad: [1, 2], good: [1, 2, 3]}
    assert parked(turnstile, concerned.model) == recorded_later
    assert retry(turnstile, concerned.model).taken == 0

    know_the_later_version(monkeypatch)
    assert retry(turnstile, concerned.model).taken == 2
    assert concerned.taken() == {bad: [1, 2, 3, 4], good: [1, 2, 3]}


def test_what_cannot_be_read_parks_nothing_for_who_is_built_beside_it_and_does_not_handle_it(
    turnstile: Turnstile, changed_classes: None
) -> None:
    (bad,) = register(turnstile, changes=1)
    recorded_later = from_a_later_version(turnstile.engine, bad)
    concerned, other = Tally(turnstile, "concerned"), Tally(turnstile, "other")
    handle = other.model.handlers[Customer.Registered]
    other.model = ReadModel("other", (other.table,), {Customer.Registered: handle})
    models = (concerned.model, other.model)
    done = dict(rebuild_together(turnstile, dict.fromkeys(models, lambda *_: None)))
    assert [type(done[model]) for model in models] == [Rebuilt, Rebuilt]
    assert parked(turnstile, concerned.model) == recorded_later
    assert parked(turnstile, other.model) == []
    assert other.taken() == {bad: [1]}


def test_the_live_projector_goes_on_past_what_it_cannot_read(turnstile: Turnstile) -> None:
    bad, good = register(turnstile, customers=2, changes=1)
    tally = Tally(turnstile, "tally")
    with projecting(turnstile, tally.model):
        eventually(lambda: at(turnstile, tally.model) == head(turnstile))
        from_a_later_version(turnstile.engine, bad)
        change(turnstile, good)
        eventually(lambda: at(turnstile, tally.model) == head(turnstile))
    assert tally.taken() == {bad: [1, 2], good: [1, 2, 3]}


def test_many_poisoned_streams_do_not_hold_up_the_rest(turnstile: Turnstile) -> None:
    ids = register(turnstile, customers=200)
    bad = set(ids[::2])

    def check(fact: Fact) -> Any:
        return raises(fact) if fact.originator_id in bad else nothing_wrong(fact)

    tally = Tally(turnstile, "tally", check)
    Projector(turnstile, [tally.model]).catch_up()
    assert set(tally.taken()) == set(ids) - bad
    assert len(parked(turnstile, tally.model)) == len(bad)


def test_a_read_model_without_its_table_stops_no_other_and_goes_on_when_it_is_back(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "RETRY_SECONDS", 0.05)
    broken, healthy = Tally(turnstile, "broken"), Tally(turnstile, "healthy")
    (customer,) = register(turnstile)
    with capture_logs() as logs, projecting(turnstile, broken.model, healthy.model):
        eventually(lambda: broken.taken() == {customer: [1]})
        broken.drop()
        change(turnstile, customer)
        eventually(lambda: healthy.taken() == {customer: [1, 2]})
        change(turnstile, customer)
        eventually(lambda: healthy.taken() == {customer: [1, 2, 3]})
        assert parked(turnstile, broken.model) == []
        assert at(turnstile, broken.model) < at(turnstile, healthy.model)
        broken.create()
        eventually(lambda: broken.taken() == {customer: [2, 3]})
    assert "projector.one_by_one" in {line["event"] for line in logs}
    failed = {line["read_model"] for line in logs if line["event"] == "projector.failed"}
    assert failed == {broken.model.name}


def test_what_the_program_does_wrong_is_told_with_its_place(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [Tally(turnstile, name).model for name in ("ours", "theirs")]
    running = Projector(turnstile, models)
    running.catch_up()
    register(turnstile)

    def fail(*_: Any) -> Any:
        raise KeyError("a bug")

    monkeypatch.setattr(running, "_take", fail)
    with capture_logs() as logs:
        assert running.step(models) == 0
    assert [line["event"] for line in logs] == ["projector.one_by_one", *["projector.failed"] * 2]
    assert [type(line["exc_info"]) for line in logs] == [KeyError] * 3, logs


def test_a_read_model_that_lags_catches_up_and_joins_the_others(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "BATCH", 7)
    early, late = Tally(turnstile, "early"), Tally(turnstile, "late")
    (customer,) = register(turnstile, changes=19)
    Projector(turnstile, [early.model]).catch_up()
    both = Projector(turnstile, [early.model, late.model])
    both.catch_up()
    assert late.taken() == early.taken() == {customer: list(range(1, 21))}

    change(turnstile, customer)
    assert both.step([early.model, late.model])
    assert at(turnstile, early.model) == at(turnstile, late.model) == head(turnstile)
    assert not both.step([early.model, late.model])


def test_a_database_that_is_away_for_a_while_ends_no_projector(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "RETRY_SECONDS", 0.05)
    tally = Tally(turnstile, "tally")
    with projecting(turnstile, tally.model):
        eventually(lambda: holders(turnstile))
        with writing(turnstile.engine) as connection:
            connection.execute(text("ALTER TABLE tracking RENAME TO elsewhere"))
        time.sleep(0.3)
        with writing(turnstile.engine) as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO tracking"))
        (customer,) = register(turnstile)
        eventually(lambda: tally.taken() == {customer: [1]})
