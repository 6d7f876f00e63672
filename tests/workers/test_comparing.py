"""A rebuild tells what was wrong with the live rows, and stands in nobody's way."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import inspect, text

from application.composition import Turnstile
from application.store.database import writing
from domain.aggregate import Fact
from domain.ids import uuid7
from projections.customers import CUSTOMERS
from projections.engine import rebuild as engine
from projections.engine.comparing import (
    DIFFERENT,
    EQUAL,
    UNFILLED,
    WITHHELD,
    Comparison,
    TableComparison,
    compare_table,
    kept,
    latest,
)
from projections.engine.parking import parked_counts
from projections.engine.positions import positions
from projections.engine.projector import Projector
from projections.engine.rebuild import compare, rebuild
from projections.engine.shadow import SUFFIX
from tests.workers.festival import box_office, let_leases_run_out, rows_of
from tests.workers.processes import eventually
from tests.workers.processes import turnstile as process
from tests.workers.projecting import Killed, at, die, head
from tests.workers.tallies import Tally, change, nothing_wrong, raises, register

ASK_WHO_WAITS = """
SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
WHERE datname = current_database() AND NOT granted
"""


@pytest.fixture
def tally(turnstile: Turnstile) -> Tally:
    return Tally(turnstile, "tally")


def filled(turnstile: Turnstile, tally: Tally, customers: int = 3, changes: int = 2) -> list[UUID]:
    """Customers whom the live rows know."""
    ids = register(turnstile, customers, changes)
    Projector(turnstile, [tally.model]).catch_up()
    return ids


def counts(found: Comparison | TableComparison) -> tuple[int, int, int, int]:
    return found.equal, found.missing, found.extra, found.different


def last_kept(turnstile: Turnstile, name: str = "tally") -> Comparison | None:
    with turnstile.engine.connect() as connection:
        return latest(connection, name)


def spoil(turnstile: Turnstile, tally: Tally, altered: UUID, deleted: UUID) -> UUID:
    """Change the live rows behind the engine's back; the id of the row that was added."""
    added, table = uuid7(), tally.table
    with writing(turnstile.engine) as connection:
        connection.execute(
            table.update().where(table.c.customer_id == altered).values(versions=" 1 1")
        )
        connection.execute(table.delete().where(table.c.customer_id == deleted))
        connection.execute(table.insert().values(customer_id=added, versions=" 7"))
    return added


def leftovers(turnstile: Turnstile, tally: Tally) -> list[str]:
    """What is there of shadows and of tables that were swapped out."""
    tables = inspect(turnstile.engine).get_table_names()
    shadow = tally.model.name + SUFFIX
    with turnstile.engine.connect() as connection:
        tracked = positions(connection, [shadow])
    return [name for name in tables if "__" in name] + list(tracked)


# What it finds


def test_sound_rows_are_all_equal(turnstile: Turnstile, tally: Tally) -> None:
    filled(turnstile, tally)
    register(turnstile)
    found = rebuild(turnstile, tally.model).comparison
    assert (found.outcome, counts(found)) == (EQUAL, (3, 0, 0, 0))
    assert found.position < head(turnstile) == at(turnstile, tally.model)
    assert found.started_at <= found.compared_at
    assert found.swapped_at is not None
    assert last_kept(turnstile) == found


def test_rows_that_were_changed_behind_its_back_are_named_and_healed(
    turnstile: Turnstile, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[dict[str, Any]] = []
    logged = SimpleNamespace(warning=lambda event, **fields: warned.append(fields))
    monkeypatch.setattr(engine, "logger", logged)
    altered, deleted, sound = filled(turnstile, tally)
    whole = tally.taken()
    added = spoil(turnstile, tally, altered, deleted)

    found = rebuild(turnstile, tally.model).comparison

    assert (found.outcome, counts(found)) == (DIFFERENT, (1, 1, 1, 1))
    (table,) = found.tables
    named = {example.fault: UUID(example.key["customer_id"]) for example in table.examples}
    assert named == {"missing": deleted, "extra": added, "different": altered}
    assert tally.taken() == whole
    assert sound in whole
    assert last_kept(turnstile) == found
    assert [(fields["read_model"], fields["tables"]) for fields in warned] == [("tally", ["tally"])]


def test_many_differences_are_counted_and_a_few_are_shown(
    turnstile: Turnstile, tally: Tally
) -> None:
    filled(turnstile, tally, customers=40, changes=0)
    with writing(turnstile.engine) as connection:
        connection.execute(tally.table.update().values(versions=""))
    found = rebuild(turnstile, tally.model).comparison
    assert counts(found) == (0, 0, 0, 40)
    (table,) = found.tables
    assert len({example.key["customer_id"] for example in table.examples}) == 5


def test_a_report_keeps_no_texts_but_shows_other_values(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    (customer_id,) = register(turnstile)
    Projector(turnstile, [CUSTOMERS]).catch_up()
    customers, words = CUSTOMERS.tables
    with writing(turnstile.engine) as connection:
        connection.execute(customers.update().values(name="Mallory", erased=True))
        connection.execute(words.update().where(words.c.word == "anna").values(word="mallory"))
    found = rebuild(turnstile, CUSTOMERS).comparison
    of_customers, of_words = found.tables
    (example,) = of_customers.examples
    assert UUID(example.key["id"]) == customer_id
    assert example.columns["name"] == (WITHHELD, WITHHELD)
    assert example.columns["erased"] in (("true", "false"), ("1", "0"))
    assert len(example.columns) == 2
    assert {item.key["word"] for item in of_words.examples} == {WITHHELD}
    with turnstile.engine.connect() as connection:
        stored = connection.execute(text("SELECT tables FROM comparisons")).scalar_one()
    assert not {"mallory", "anna"} & set(stored.lower().split('"'))


def test_parked_events_explain_what_is_missing(turnstile: Turnstile) -> None:
    bad, good = register(turnstile, customers=2, changes=2)

    def check(fact: Fact) -> Any:
        return raises(fact) if fact.originator_id == bad else nothing_wrong(fact)

    tally = Tally(turnstile, "tally", check)
    Projector(turnstile, [tally.model]).catch_up()
    found = compare(turnstile, tally.model)
    assert (found.outcome, found.parked_before, found.parked_after) == (EQUAL, 3, 3)
    tally.check = nothing_wrong
    found = rebuild(turnstile, tally.model).comparison
    assert counts(found) == (1, 1, 0, 0)
    assert (found.parked_before, found.parked_after) == (3, 0)
    assert tally.taken() == {bad: [1, 2, 3], good: [1, 2, 3]}


def test_a_read_model_that_is_new_has_nothing_to_compare(
    turnstile: Turnstile, tally: Tally
) -> None:
    (customer_id,) = register(turnstile)
    found = rebuild(turnstile, tally.model).comparison
    assert (found.outcome, counts(found), found.tables) == (UNFILLED, (0, 0, 0, 0), [])
    assert found.swapped_at is not None
    assert tally.taken() == {customer_id: [1]}


def test_a_read_model_that_lags_is_compared_where_it_stands(
    turnstile: Turnstile, tally: Tally
) -> None:
    filled(turnstile, tally)
    stands = at(turnstile, tally.model)
    register(turnstile, customers=4)
    found = rebuild(turnstile, tally.model).comparison
    assert (found.position, found.outcome, found.equal) == (stands, EQUAL, 3)
    assert len(tally.taken()) == 7
    assert at(turnstile, tally.model) == head(turnstile)


def test_every_comparison_is_kept(turnstile: Turnstile, tally: Tally) -> None:
    filled(turnstile, tally)
    made = [
        compare(turnstile, tally.model),
        rebuild(turnstile, tally.model).comparison,
        compare(turnstile, tally.model),
    ]
    with turnstile.engine.connect() as connection:
        assert kept(connection, "tally") == kept(connection) == made[::-1]
        assert kept(connection, "other") == []


# A dry run


def test_a_dry_run_leaves_the_live_rows_and_nothing_else(
    turnstile: Turnstile, tally: Tally
) -> None:
    altered, deleted, _ = filled(turnstile, tally)
    spoil(turnstile, tally, altered, deleted)
    wrong = tally.taken()
    found = compare(turnstile, tally.model)
    assert (found.outcome, counts(found)) == (DIFFERENT, (1, 1, 1, 1))
    assert found.swapped_at is None
    assert last_kept(turnstile) == found
    assert tally.taken() == wrong
    assert leftovers(turnstile, tally) == []


# While others go on


def test_the_projector_goes_on_during_a_comparison(
    turnstile: Turnstile, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = filled(turnstile, tally)
    live = Projector(turnstile, [tally.model])
    with box_office(turnstile.settings.database_url) as shop:

        def meanwhile(*arguments: Any) -> TableComparison:
            change(shop, ids[0])
            live.catch_up()
            return original(*arguments)

        original = compare_table
        monkeypatch.setattr(engine, "compare_table", meanwhile)
        found = rebuild(turnstile, tally.model).comparison
    assert found.outcome == EQUAL
    assert found.position == head(turnstile) - 1
    assert tally.taken()[ids[0]] == [1, 2, 3, 4]


def test_what_moved_before_the_snapshot_is_taken_first(
    turnstile: Turnstile, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = filled(turnstile, tally)
    live = Projector(turnstile, [tally.model])
    attempts: list[int] = []

    def overtaken(*arguments: Any) -> None:
        original(*arguments)
        attempts.append(head(turnstile))
        if len(attempts) < 3:
            change(turnstile, ids[0])
            live.catch_up()

    original = engine._Build._level
    monkeypatch.setattr(engine._Build, "_level", overtaken)
    found = rebuild(turnstile, tally.model).comparison
    assert len(attempts) == 3
    assert (found.outcome, found.position) == (EQUAL, attempts[-1])


def test_a_comparison_that_never_finds_both_at_one_position_is_given_up(
    turnstile: Turnstile, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = filled(turnstile, tally)
    live = Projector(turnstile, [tally.model])
    monkeypatch.setattr(engine, "LEVEL_SECONDS", 0.2)
    original = engine._Build._level

    def overtaken(*arguments: Any) -> None:
        original(*arguments)
        change(turnstile, ids[0])
        live.catch_up()

    monkeypatch.setattr(engine._Build, "_level", overtaken)
    with pytest.raises(engine.RebuildFailed, match="moved on at every attempt"):
        rebuild(turnstile, tally.model)
    monkeypatch.undo()
    assert rebuild(turnstile, tally.model).comparison.outcome == EQUAL


# Interrupted


@pytest.mark.parametrize(
    ("owner", "where"),
    [(engine, "compare_table"), (engine._Build, "_swap")],
    ids=["comparing", "swapping"],
)
def test_whoever_dies_leaves_the_live_rows_to_the_next(
    turnstile: Turnstile, tally: Tally, monkeypatch: pytest.MonkeyPatch, owner: Any, where: str
) -> None:
    altered, deleted, _ = filled(turnstile, tally)
    whole = tally.taken()
    spoil(turnstile, tally, altered, deleted)
    wrong = tally.taken()
    with monkeypatch.context() as patched:
        patched.setattr(owner, where, die)
        with pytest.raises(Killed):
            rebuild(turnstile, tally.model)
    assert tally.taken() == wrong
    interrupted = last_kept(turnstile)
    assert (interrupted is None) == (where == "compare_table")
    assert interrupted is None or interrupted.swapped_at is None
    assert counts(rebuild(turnstile, tally.model).comparison) == (1, 1, 1, 1)
    assert tally.taken() == whole
    assert leftovers(turnstile, tally) == []


@contextmanager
def in_the_way(turnstile: Turnstile, statement: str) -> Iterator[Callable[[], bool]]:
    """A transaction that has run that statement; whether anybody waits for it."""
    with turnstile.engine.connect() as obstacle, turnstile.engine.connect() as other:
        obstacle.execute(text(statement))
        yield lambda: bool(other.execute(text(ASK_WHO_WAITS)).scalar_one())


@pytest.mark.parametrize(
    ("statement", "compared"),
    [
        ("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE", False),
        ("SELECT * FROM customers LIMIT 1", True),
    ],
    ids=["comparing", "swapping"],
)
def test_a_process_killed_in_mid_rebuild_is_followed_by_another(
    migrated_postgres_url: str, statement: str, compared: bool
) -> None:
    with box_office(migrated_postgres_url) as turnstile:
        register(turnstile, customers=5, changes=1)
        Projector(turnstile).catch_up()
        with writing(turnstile.engine) as connection:
            connection.execute(CUSTOMERS.tables[0].update().values(name="Mallory"))
        wrong = rows_of(turnstile, [CUSTOMERS])
        with (
            process("rebuild", CUSTOMERS.name, url=migrated_postgres_url) as running,
            in_the_way(turnstile, statement) as somebody_waits,
        ):
            eventually(somebody_waits, pause=0.001)
            assert running.end(signal.SIGKILL) == -signal.SIGKILL
        assert rows_of(turnstile, [CUSTOMERS]) == wrong
        found = last_kept(turnstile, CUSTOMERS.name)
        assert (found is not None) == compared
        assert found is None or found.swapped_at is None

        with writing(turnstile.engine) as connection:
            let_leases_run_out(connection)
        with process("rebuild", CUSTOMERS.name, url=migrated_postgres_url) as running:
            assert running.wait() == 0
            assert "0 missing, 0 extra, 5 different" in running.said
        assert rows_of(turnstile, [CUSTOMERS]) != wrong
        assert compare(turnstile, CUSTOMERS).outcome == EQUAL
        with turnstile.engine.connect() as connection:
            assert parked_counts(connection) == {}
