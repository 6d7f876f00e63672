"""Snapshots keep loading cheap, and change nothing else."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from application.orders import cancel_order
from application.presenting import show_event
from application.store import batch, log
from application.store import snapshots as loading
from application.store.database import writing
from application.store.mapper import to_fact, to_new_entry
from application.store.snapshots import EVERY, keep_snapshots, load_stream, load_streams, replay
from application.store.tables import snapshots
from domain.aggregate import Aggregate, Fact
from domain.errors import Forbidden
from domain.event import Event
from domain.gate import Unmatched
from domain.ids import uuid7
from tests import appending
from tests.application.store.conftest import OpenDesk
from tests.application.store.desk import Desk, command, placing
from tests.application.store.test_group_commit import spoil
from tests.domain.given import (
    ADULT,
    ANNA,
    FESTIVAL,
    NOW,
    ORDER,
    entry,
    led_to,
    paid,
    registered,
    transferred,
)

LONG = 100_000
SLICE = 5_000


class Replayed:
    """Counts the events that loading has replayed."""

    def __init__(self) -> None:
        self.events = 0

    def __call__(self, entry: log.Entry) -> Fact:
        self.events += 1
        return to_fact(entry)


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> Replayed:
    counter = Replayed()
    monkeypatch.setattr(loading, "to_fact", counter)
    return counter


def holds_and_releases(after: int) -> Iterator[Fact]:
    """What a busy festival's stream is made of: a hold, its release, and so on."""
    for version in range(after + 1, LONG + 1):
        kind: Callable[..., Any] = Event.TicketsHeld if version % 3 else Event.HoldReleased
        yield kind(
            originator_id=FESTIVAL,
            originator_version=version,
            timestamp=NOW,
            order_id=ORDER,
            quantities={ADULT: 1 if version % 3 else 2},
        )


def fill(desk: Desk) -> None:
    """Give the festival's stream a history, with the snapshots that the executor would keep."""
    event: Aggregate | None = desk.stored(FESTIVAL)
    assert event is not None
    facts = holds_and_releases(event.version)
    while slice_of_facts := list(islice(facts, SLICE)):
        with writing(desk.engine) as connection:
            entries = [to_new_entry(fact, "{}") for fact in slice_of_facts]
            appending.append(connection, log.lock_head(connection), entries, datetime.now(UTC))
            for fact in slice_of_facts:
                event = fact.mutate(event)
                assert event is not None
                if event.version % EVERY == 0 and event.version < LONG:
                    keep_snapshots(connection, [event])


def test_a_stream_of_100_000_events_is_loaded_by_replaying_few(
    desk: Desk, open_desk: OpenDesk, replayed: Replayed
):
    fill(desk)
    assert replayed.events < EVERY
    replayed.events = 0
    with desk.engine.connect() as connection:
        latest = load_stream(connection, FESTIVAL)
        assert latest is not None
        assert (latest.version, replayed.events) == (LONG, EVERY)
        replayed.events = 0
        both = load_streams(connection, [ANNA, FESTIVAL])
        assert both[FESTIVAL] == latest
        assert replayed.events == EVERY + 1
        replayed.events = 0
        earlier = load_stream(connection, FESTIVAL, until=LONG // 2 + 7)
        assert earlier is not None
        assert (earlier.version, replayed.events) == (LONG // 2 + 7, 7)
        assert latest == replay(None, log.read_stream(connection, FESTIVAL))
    replayed.events = 0
    other = open_desk()
    assert other.place().body["status"] == "placed"
    assert replayed.events <= EVERY + 1
    assert show_event(desk.stored(FESTIVAL)) == show_event(other.cached(FESTIVAL))


def versions(desk: Desk) -> list[int]:
    query = select(snapshots.c.version).order_by(snapshots.c.version)
    with desk.engine.connect() as connection:
        return list(connection.scalars(query.where(snapshots.c.stream_id == FESTIVAL)))


@pytest.fixture
def every_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "EVERY", 5)


@pytest.mark.usefixtures("every_5")
def test_the_executor_keeps_a_snapshot_whenever_a_stream_passes_another_mark(
    desk: Desk, replayed: Replayed
):
    assert desk.stored(FESTIVAL).version == 4
    desk.place()
    desk.do_all(*(placing() for _ in range(3)))
    desk.do_all(*(placing() for _ in range(8)))
    assert versions(desk) == [5, 16]
    replayed.events = 0
    assert desk.stored(FESTIVAL) == desk.cached(FESTIVAL)
    assert replayed.events == 0


@pytest.mark.usefixtures("every_5")
def test_a_snapshot_holds_nothing_of_a_command_that_was_undone(desk: Desk):
    desk.do_all(placing(), command(spoil, error=Forbidden("no"), save=1))
    assert versions(desk) == [5]
    assert desk.stored(FESTIVAL).ticket_types[ADULT].held == 1
    assert desk.cached(FESTIVAL) == desk.stored(FESTIVAL)


@pytest.mark.usefixtures("every_5")
def test_a_snapshot_equals_what_was_replayed(desk: Desk):
    placed = desk.place()
    desk.do(cancel_order, order_id=placed.body["id"])
    with desk.engine.connect() as connection:
        for stream_id in (FESTIVAL, ANNA, placed.body["id"]):
            loaded = load_stream(connection, stream_id)
            assert loaded == replay(None, log.read_stream(connection, stream_id))


def test_every_kind_of_aggregate_comes_back_from_its_snapshot(engine: Engine, replayed: Replayed):
    unmatched = Unmatched.present("forged", entry(), "invalid", None, NOW)
    aggregates = [led_to("ongoing"), paid(), transferred(), unmatched]
    desk = Desk(engine)
    desk.given(*aggregates)
    with writing(engine) as connection:
        keep_snapshots(connection, aggregates)
    for aggregate in aggregates:
        assert desk.stored(aggregate.id) == aggregate
    assert replayed.events == 0


def test_customers_are_in_no_snapshot(engine: Engine):
    customer = registered()
    with writing(engine) as connection:
        keep_snapshots(connection, [customer, paid()])
        kept = connection.execute(select(snapshots.c.topic)).scalars().all()
    assert kept == ["Order"]


@pytest.mark.usefixtures("every_5")
def test_a_stream_that_ends_with_its_snapshot_is_loaded_from_it(desk: Desk, replayed: Replayed):
    desk.place()
    latest = desk.stored(FESTIVAL)
    assert (versions(desk), latest.version) == ([5], 5)
    replayed.events = 0
    with desk.engine.connect() as connection:
        loaded = load_streams(connection, [uuid7(), FESTIVAL, ANNA])
    assert (set(loaded), loaded[FESTIVAL]) == ({FESTIVAL, ANNA}, latest)
    assert replayed.events == 1


@pytest.mark.usefixtures("every_5")
@pytest.mark.parametrize("class_version", [Event.class_version - 1, Event.class_version + 1])
def test_a_snapshot_of_another_class_version_is_ignored(desk: Desk, class_version: int):
    desk.place()
    assert versions(desk) == [5]
    times = '"created_on":"2026-06-01T12:00:00Z","modified_on":"2026-06-01T12:00:00Z"'
    other_shape = f'{{"v":{class_version},{times},"state":{{"another":"shape"}}}}'
    with writing(desk.engine) as connection:
        connection.execute(update(snapshots).values(payload=other_shape))
    assert desk.stored(FESTIVAL).ticket_types[ADULT].held == 1
    with desk.engine.connect() as connection:
        assert load_streams(connection, [FESTIVAL, ANNA])[FESTIVAL] == desk.stored(FESTIVAL)


@pytest.mark.usefixtures("every_5")
def test_a_class_that_moves_on_leaves_its_old_snapshots_behind(
    desk: Desk, open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
):
    desk.place()
    before = desk.stored(FESTIVAL)
    monkeypatch.setattr(Event, "class_version", Event.class_version + 1)
    assert desk.stored(FESTIVAL) == before
    open_desk().do_all(*(placing() for _ in range(5)))
    assert versions(desk) == [5, 10]
    assert desk.stored(FESTIVAL).ticket_types[ADULT].held == 6
