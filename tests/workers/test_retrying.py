"""A retry takes what was parked, once and in order, whoever else is at work."""

import re
import signal
import threading
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select

from application.composition import Turnstile
from application.store import log
from application.store.database import writing
from application.store.tables import events
from domain.aggregate import Fact
from projections.customers import CUSTOMERS
from projections.engine import retrying
from projections.engine.parking import parked_counts, waiting_streams
from projections.engine.projector import Projector
from projections.engine.retrying import Retried, retry
from projections.engine.rows import Rows
from projections.engine.tables import parked as parked_events
from tests.workers.festival import box_office, rows_of
from tests.workers.processes import PATIENCE, eventually
from tests.workers.processes import turnstile as process
from tests.workers.projecting import Killed, at, die, head, parked, projecting
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
from tests.workers.threads import in_threads

MANY = 300
EVERYBODY = UUID(int=0)


class Poison:
    """A handler's bug: it fails on these versions of these customers until it is mended."""

    def __init__(self, *customers: UUID, versions: tuple[int, ...] = (2,)) -> None:
        self.customers = set(customers)
        self.versions = versions
        self.fault: Check = raises

    def __call__(self, fact: Fact) -> Any:
        bad = fact.originator_id in self.customers and fact.originator_version in self.versions
        return self.fault(fact) if bad else nothing_wrong(fact)

    def mended(self, *still: int) -> None:
        self.versions = still


def waiting(turnstile: Turnstile, name: str = "tally") -> list[dict[str, Any]]:
    with turnstile.engine.connect() as connection:
        return waiting_streams(connection, [name])


def times(turnstile: Turnstile) -> dict[int, datetime]:
    """When each event was parked, by position."""
    with turnstile.engine.connect() as connection:
        return {row.position: row.parked_at for row in connection.execute(select(parked_events))}


def read_models(turnstile: Turnstile, poison: Poison) -> tuple[Tally, Tally]:
    """One that the poison is for, and one that takes everything."""
    return Tally(turnstile, "tally", poison), Tally(turnstile, "healthy")


# In order


def test_what_was_parked_is_taken_in_order_beside_the_projector(database_url: str) -> None:
    with ExitStack() as opened:
        shop, reader, operator = [opened.enter_context(box_office(database_url)) for _ in range(3)]
        bad, worse, good = register(shop, customers=3)
        poison = Poison(bad, worse)
        tally, healthy = read_models(shop, poison)
        with projecting(reader, tally.model, healthy.model):
            for customer in (bad, worse, good) * 3:
                change(shop, customer)
            eventually(lambda: at(shop, tally.model) == head(shop))
            assert tally.taken() == {bad: [1], worse: [1], good: [1, 2, 3, 4]}
            poison.mended()

            assert retry(operator, tally.model) == Retried("tally", 6, 0, 0)

            assert tally.taken() == healthy.taken()
            assert parked(shop, tally.model) == []
            # The projector remembers the rows, and that these streams wait.
            for customer in (bad, good):
                change(shop, customer)
            eventually(lambda: at(shop, tally.model) == head(shop))
            assert tally.taken() == healthy.taken()
            assert tally.taken()[bad] == [1, 2, 3, 4, 5]
        assert parked(shop, tally.model) == []


def test_a_stream_that_fails_again_waits_on_with_its_new_error(turnstile: Turnstile) -> None:
    bad, mended = register(turnstile, customers=2, changes=5)
    poison = Poison(bad, mended)
    tally, _ = read_models(turnstile, poison)
    Projector(turnstile, [tally.model]).catch_up()
    before = {item["stream_id"]: item for item in waiting(turnstile)}
    parked_at = times(turnstile)
    poison.mended(4)
    poison.customers, poison.fault = {bad}, writes_null

    assert retry(turnstile, tally.model) == Retried("tally", 7, 1, 3)

    assert tally.taken() == {bad: [1, 2, 3], mended: [1, 2, 3, 4, 5, 6]}
    (still,) = waiting(turnstile)
    assert (still["stream_id"], still["events"]) == (bad, 3)
    assert still["since"] == parked_at[still["first_position"]]
    assert still["first_position"] == before[bad]["first_position"] + 2 * 2
    assert still["last_position"] == before[bad]["last_position"]
    assert before[bad]["error"] == "RuntimeError: This handler has a bug."
    assert re.fullmatch("IntegrityError: .*not.null.*", still["error"], re.IGNORECASE)
    assert str(bad) not in still["error"]

    change(turnstile, bad)
    Projector(turnstile, [tally.model]).catch_up()
    poison.mended()
    assert retry(turnstile, tally.model) == Retried("tally", 4, 0, 0)
    assert tally.taken()[bad] == list(range(1, 8))


def test_other_read_models_and_their_parked_streams_are_left_alone(turnstile: Turnstile) -> None:
    (bad,) = register(turnstile, changes=2)
    poison = Poison(bad)
    tally, other = Tally(turnstile, "tally", poison), Tally(turnstile, "other", poison)
    Projector(turnstile, [tally.model, other.model]).catch_up()
    poison.mended()
    retry(turnstile, tally.model)
    assert tally.taken() == {bad: [1, 2, 3]}
    assert other.taken() == {bad: [1]}
    assert len(parked(turnstile, other.model)) == 2


def test_a_long_stream_is_taken_bit_by_bit_while_it_grows(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "BATCH", 3)
    (bad,) = register(turnstile, changes=10)
    poison = Poison(bad)
    tally, _ = read_models(turnstile, poison)
    live = Projector(turnstile, [tally.model])
    live.catch_up()
    poison.mended()
    lengths: list[int] = []

    def grow(*arguments: Any) -> None:
        original(*arguments)
        lengths.append(len(parked(turnstile, tally.model)))
        if len(lengths) < 3:
            change(turnstile, bad)
            live.catch_up()

    original = retrying._log
    monkeypatch.setattr(retrying, "_log", grow)
    assert retry(turnstile, tally.model).taken == 12
    assert lengths == [7, 5, 3, 0, 0]
    assert tally.taken() == {bad: list(range(1, 14))}


def test_a_long_stream_that_fails_again_is_left_after_one_attempt(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "BATCH", 2)
    (bad,) = register(turnstile, changes=5)
    poison = Poison(bad)
    tally, _ = read_models(turnstile, poison)
    Projector(turnstile, [tally.model]).catch_up()
    attempts: list[Fact] = []

    def fail_and_give_up_in_the_end(fact: Fact) -> Any:
        attempts.append(fact)
        return raises(fact) if len(attempts) < 50 else die()

    poison.fault = fail_and_give_up_in_the_end
    assert retry(turnstile, tally.model) == Retried("tally", 0, 1, 5)


def test_a_row_that_the_projector_has_changed_between_two_streams_is_read_again(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, worse, good = register(turnstile, customers=3, changes=1)
    poison = Poison(bad, worse)
    tally = OfEverybody(turnstile, "tally", poison)
    live = Projector(turnstile, [tally.model])
    live.catch_up()
    poison.mended()

    def go_on(*arguments: Any) -> None:
        original(*arguments)
        change(turnstile, good)
        live.catch_up()

    original = retrying._log
    monkeypatch.setattr(retrying, "_log", go_on)
    assert retry(turnstile, tally.model) == Retried("tally", 2, 0, 0)
    assert tally.taken() == {EVERYBODY: [1, 1, 1, 2, 2, 3, 2, 4]}


class OfEverybody(Tally):
    """All in one row."""

    def _note(self, rows: Rows, event: Fact) -> None:
        rows.of(self.table, customer_id=EVERYBODY).versions += self.check(event)


def test_between_steps_of_a_retry_others_may_write(
    migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has one write lock, and no queue for it: whoever waits looks now and then."""
    monkeypatch.setattr(retrying, "BATCH", 1)
    slowly = Slowly()
    with box_office(migrated_sqlite_url) as turnstile:
        (bad,) = register(turnstile, changes=20)
        tally = Tally(turnstile, "tally", Poison(bad))
        Projector(turnstile, [tally.model]).catch_up()
        tally.check = slowly
        with in_threads(lambda _: retry(turnstile, tally.model)):
            assert slowly.begun.wait(PATIENCE)
            change(turnstile, bad)
            assert parked(turnstile, tally.model)
            slowly.hurry()
        assert tally.taken() == {bad: list(range(1, 22))}


def test_nothing_that_waits_is_nothing_to_retry(turnstile: Turnstile) -> None:
    tally, _ = read_models(turnstile, Poison())
    register(turnstile)
    assert retry(turnstile, tally.model) == Retried("tally", 0, 0, 0)
    assert tally.taken() == {}


def test_events_that_no_handler_wants_any_more_are_let_go(turnstile: Turnstile) -> None:
    (bad,) = register(turnstile, changes=2)
    tally, _ = read_models(turnstile, Poison(bad))
    Projector(turnstile, [tally.model]).catch_up()
    tally.model.handlers.clear()
    assert retry(turnstile, tally.model) == Retried("tally", 2, 0, 0)
    assert tally.taken() == {bad: [1]}


# Once


def test_several_retries_at_once_take_everything_once(database_url: str) -> None:
    with ExitStack() as opened:
        shop, reader, *operators = [
            opened.enter_context(box_office(database_url)) for _ in range(4)
        ]
        customers = register(shop, customers=20)
        poison = Poison(*customers[::2])
        tally, healthy = read_models(shop, poison)
        with projecting(reader, tally.model, healthy.model):
            for customer in customers * 2:
                change(shop, customer)
            eventually(lambda: at(shop, tally.model) == head(shop))
            poison.mended()
            with retrying_over_and_over(tally, *operators):
                for customer in customers * 2:
                    change(shop, customer)
                eventually(lambda: parked(shop, tally.model) == [])
            eventually(lambda: at(shop, tally.model) == head(shop))
        assert parked(shop, tally.model) == []
        assert tally.taken() == healthy.taken() == {key: [1, 2, 3, 4, 5] for key in customers}


def retrying_over_and_over(tally: Tally, *operators: Turnstile) -> AbstractContextManager[None]:
    """Each operator in a thread."""

    def run(operator: Turnstile, stop: threading.Event) -> None:
        while not stop.is_set():
            retry(operator, tally.model)

    return in_threads(*(partial(run, operator) for operator in operators))


# Killed


def test_a_retry_that_dies_has_taken_whole_steps_or_nothing(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = register(turnstile, customers=3, changes=2)
    poison = Poison(*customers)
    tally, healthy = read_models(turnstile, poison)
    Projector(turnstile, [tally.model, healthy.model]).catch_up()
    poison.mended()
    with monkeypatch.context() as patched:
        patched.setattr(retrying, "move", die)
        with pytest.raises(Killed):
            retry(turnstile, tally.model)
    assert tally.taken() == {customer: [1] for customer in customers}
    with monkeypatch.context() as patched:
        patched.setattr(retrying, "_log", die)
        with pytest.raises(Killed):
            retry(turnstile, tally.model)
    assert tally.taken() == {customers[0]: [1, 2, 3], customers[1]: [1], customers[2]: [1]}
    assert retry(turnstile, tally.model) == Retried("tally", 4, 0, 0)
    assert tally.taken() == healthy.taken()


def test_a_retry_killed_in_the_middle_is_finished_by_the_next(database_url: str) -> None:
    with box_office(database_url) as turnstile:
        register(turnstile, customers=MANY, changes=1)
        Projector(turnstile).catch_up()
        whole = rows_of(turnstile, [CUSTOMERS])
        park_everything(turnstile)
        with process("retry", CUSTOMERS.name, url=database_url) as running:
            eventually(lambda: count_parked(turnstile) < 2 * MANY, pause=0.001)
            assert running.end(signal.SIGKILL) == -signal.SIGKILL
        left = count_parked(turnstile)
        assert 0 < left < 2 * MANY
        assert len(rows_of(turnstile, [CUSTOMERS])["customers"]) == MANY - left // 2
        with process("retry", CUSTOMERS.name, url=database_url) as running:
            assert running.wait() == 0
            assert f"{left} parked events taken" in running.said
        assert count_parked(turnstile) == 0
        assert rows_of(turnstile, [CUSTOMERS]) == whole


def park_everything(turnstile: Turnstile) -> None:
    """As if a read model of customers had taken nothing so far."""
    with writing(turnstile.engine) as connection:
        for table in CUSTOMERS.tables:
            connection.execute(table.delete())
        waits = select(events.c.position, events.c.stream_id, events.c.recorded_at)
        for position, stream_id, at_ in connection.execute(waits).all():
            connection.execute(
                insert(parked_events).values(
                    read_model=CUSTOMERS.name,
                    position=position,
                    stream_id=stream_id,
                    error="A bug that was mended.",
                    parked_at=at_,
                )
            )
        assert log.read_head(connection) == 2 * MANY


def count_parked(turnstile: Turnstile) -> int:
    with turnstile.engine.connect() as connection:
        return parked_counts(connection).get(CUSTOMERS.name, (0, 0))[1]
