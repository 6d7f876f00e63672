"""Checkpoints: each goes on from the last, signs nothing that was altered, and bears repeating."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, select, update

from application import checkpoints as taking
from application import keys, merkle
from application.checkpoints import (
    Checkpoint,
    NoCheckpoint,
    Unsigned,
    is_due,
    latest,
    listing,
    take_checkpoint,
    verify,
)
from application.merkle import Frontier, leaf
from application.store import tree
from application.store.chain import LogAltered
from application.store.database import writing
from application.store.tables import checkpoints, events, log_head, tree_nodes
from application.store.tree import StoredTree
from tests.application.store.conftest import OpenEngine
from tests.application.store.entries import STREAM, append, new, read_all
from tests.application.store.tampering import alter, chain_anew, tampering

KEY = keys.new_key()


@pytest.fixture
def narrow_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subtrees of 4, 16, 64 and 256 leaves are stored, so that a short log has many levels."""
    monkeypatch.setattr(merkle, "TILE", 2)
    monkeypatch.setattr(tree, "WIDTH", 4)
    monkeypatch.setattr(tree, "LEVELS", (8, 6, 4, 2, 0))


def take(engine: Engine, **options: Any) -> Checkpoint:
    taken = take_checkpoint(engine, KEY.private, **options)
    assert taken is not None
    return taken


def record(engine: Engine, number: int) -> None:
    with engine.connect() as connection:
        versions = connection.execute(select(func.count()).select_from(events)).scalar_one()
    append(engine, *(new(STREAM, versions + count) for count in range(1, number + 1)))


def root_of(engine: Engine) -> str:
    frontier = Frontier()
    for entry in read_all(engine):
        frontier.add(leaf(entry.hash))
    return frontier.root().hex()


def test_a_checkpoint_says_what_the_log_is_now(engine: Engine):
    assert take_checkpoint(engine, KEY.private) is None
    record(engine, 3)
    taken = take(engine)
    assert (taken.position, taken.hash) == (3, read_all(engine)[-1].hash.hex())
    assert taken.root == root_of(engine)
    assert taken.is_sound()
    assert taken.public_key == KEY.public
    with engine.connect() as connection:
        assert listing(connection) == [latest(connection)] == [taken]


def test_a_log_that_has_not_grown_has_its_checkpoint_already(engine: Engine):
    record(engine, 3)
    assert take(engine) == take(engine)


@pytest.mark.usefixtures("narrow_tree")
def test_each_checkpoint_goes_on_from_the_last(engine: Engine):
    for number in (1, 2, 1, 13, 47, 1, 191, 3, 60):
        record(engine, number)
        assert take(engine).root == root_of(engine)
    assert len(verify(engine).checkpoints) == 9


@pytest.mark.usefixtures("narrow_tree")
def test_any_part_of_the_tree_comes_from_what_is_stored(engine: Engine):
    record(engine, 83)
    take(engine)
    leaves = [leaf(entry.hash) for entry in read_all(engine)]
    with engine.connect() as connection:
        stored = StoredTree(connection, len(leaves))
        for start, end in ((0, 83), (0, 64), (64, 80), (80, 83), (82, 83), (16, 32), (5, 6)):
            frontier = Frontier()
            for one in leaves[start:end]:
                frontier.add(one)
            assert stored.root(start, end) == frontier.root()


def test_much_at_once_has_checkpoints_on_the_way(engine: Engine):
    record(engine, 10)
    assert take(engine, stretch=4).position == 10
    with engine.connect() as connection:
        assert [one.position for one in listing(connection)] == [10, 8, 4]
    assert len(verify(engine).checkpoints) == 3


def test_after_it_was_interrupted_the_next_one_goes_on_from_what_is_stored(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    record(engine, 600)
    keep = taking._keep

    def die_at_the_second(connection: Any, checkpoint: Checkpoint) -> None:
        if checkpoint.position == 600:
            raise KeyboardInterrupt
        keep(connection, checkpoint)

    monkeypatch.setattr(taking, "_keep", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        take(engine, stretch=300)
    with engine.connect() as connection:
        assert [one.position for one in listing(connection)] == [300]
        assert len(connection.execute(select(tree_nodes)).all()) == 1
    monkeypatch.undo()
    assert take(engine).root == root_of(engine)
    assert len(verify(engine).checkpoints) == 2


def test_two_at_once_say_the_same(engine: Engine, migrated_url: str, open_database: OpenEngine):
    record(engine, 700)
    engines = [open_database(migrated_url) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(take, engines)
    assert (one.position, one.root) == (other.position, other.root) == (700, root_of(engine))
    assert len(verify(engine).checkpoints) == 1


def test_an_altered_log_is_not_signed(engine: Engine):
    record(engine, 3)
    first = take(engine)
    record(engine, 3)
    with tampering(engine) as connection:
        alter(connection, 5, payload="{}")
    with pytest.raises(LogAltered) as altered:
        take(engine)
    assert altered.value.position == 5
    with engine.connect() as connection:
        assert listing(connection) == [first]


def test_a_log_written_anew_since_the_last_checkpoint_is_not_signed(engine: Engine):
    record(engine, 3)
    take(engine)
    with tampering(engine) as connection:
        alter(connection, 2, payload="{}")
        chain_anew(connection)
    with pytest.raises(LogAltered):
        take(engine)
    record(engine, 1)
    with pytest.raises(LogAltered):
        take(engine)


def test_a_log_that_has_not_grown_but_ends_in_another_hash_is_noticed(engine: Engine):
    record(engine, 3)
    take(engine)
    with writing(engine) as connection:
        connection.execute(update(log_head).values(hash=bytes(32)))
    with pytest.raises(LogAltered):
        take(engine)


@pytest.mark.parametrize("lost", ["altered", "deleted"])
def test_a_damaged_tree_is_noticed_before_it_is_signed(engine: Engine, lost: str):
    record(engine, 300)
    take(engine)
    record(engine, 1)
    with writing(engine) as connection:
        change = update(tree_nodes).values(hash=bytes(32))
        connection.execute(change if lost == "altered" else delete(tree_nodes))
    with pytest.raises(LogAltered):
        take(engine)


def test_from_a_checkpoint_whose_tree_is_not_here_nothing_is_verified(engine: Engine):
    record(engine, 300)
    kept = take(engine)
    assert verify(engine, since=300).position == 300
    with writing(engine) as connection:  # as an export does not carry it
        connection.execute(delete(tree_nodes))
    with pytest.raises(NoCheckpoint, match="from its start"):
        verify(engine, since=300)
    assert verify(engine, known=[kept]).position == 300


def test_a_new_key_starts_from_the_beginning(engine: Engine):
    record(engine, 3)
    take(engine)
    with tampering(engine) as connection:
        alter(connection, 2, payload="{}")
    record(engine, 1)
    assert take(engine).position == 4
    with pytest.raises(LogAltered) as altered:
        take_checkpoint(engine, keys.new_key().private)
    assert altered.value.position == 2


def test_a_forged_checkpoint_is_not_gone_on_from(engine: Engine):
    record(engine, 3)
    take(engine)
    record(engine, 1)
    with writing(engine) as connection:
        connection.execute(update(checkpoints).values(root="00" * 32))
    with pytest.raises(Unsigned):
        take(engine)


def test_one_is_due_when_the_log_has_grown_and_the_last_is_old_enough(engine: Engine):
    every = timedelta(minutes=10)

    def due(after: timedelta) -> bool:
        with engine.connect() as connection:
            return is_due(connection, KEY.public, every, datetime.now(UTC) + after)

    assert not due(every)
    record(engine, 1)
    assert due(timedelta(0))
    take(engine)
    assert not due(every)
    record(engine, 1)
    assert not due(timedelta(minutes=9))
    assert due(every)
    assert due(-timedelta(minutes=1)), "the last was of a clock that was ahead"


@pytest.mark.parametrize("recorded", [1, 5])
@pytest.mark.parametrize("harm", ["altered", "gone", "two gone"])
def test_the_event_that_a_checkpoint_ends_with_is_looked_at_by_whoever_starts_there(
    engine: Engine, recorded: int, harm: str
):
    record(engine, recorded)
    last = take(engine)
    with tampering(engine) as connection:
        if harm == "altered":
            alter(connection, last.position, payload='{"v":1,"amount":0}')
        else:
            behind = last.position - (2 if harm == "two gone" else 1)
            connection.execute(delete(events).where(events.c.position > behind))
    with pytest.raises(LogAltered) as found:
        verify(engine, since=last.position)
    assert found.value.position == max(1, last.position - (harm == "two gone"))
    with pytest.raises(LogAltered):
        take(engine)
