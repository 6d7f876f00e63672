"""A reader that tails the log while others write sees each event once, in order."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count, islice
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import Notification, StoredEvent
from sqlalchemy import Connection, Engine, Sequence, insert

from application.store import log
from application.store.database import is_postgres, open_engine, writing
from application.store.log import Entry, NewEntry
from application.store.recorders import LogRecorder
from application.store.signals import Signals
from application.store.tables import events
from tests import appending

WRITERS = 8
EVENTS = 20_000
NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Seen(NamedTuple):
    """What identifies an event, and where it stands."""

    position: int
    stream_id: UUID | str
    version: int


class Tail:
    """Reads on from where it stopped, as every projection does."""

    def __init__(self, recorder: LogRecorder) -> None:
        self.recorder = recorder
        self.seen: list[Seen] = []

    def read_on(self) -> None:
        """Read until there is no more for now."""
        while found := self.recorder.select_notifications(
            self.seen[-1].position if self.seen else 0, 500, inclusive_of_start=False
        ):
            self.seen.extend(map(identify, found))


def identify(event: Notification) -> Seen:
    return Seen(event.id, event.originator_id, event.originator_version)


def assert_each_event_once_in_order(seen: list[Seen], written: list[Seen]) -> None:
    """Every written event was seen, once, by position; positions have no gaps."""
    assert [event.position for event in seen] == list(range(1, len(written) + 1))
    assert seen == sorted(written)


@contextmanager
def recorder_on(url: str) -> Iterator[LogRecorder]:
    engine = open_engine(url)
    signals = Signals(engine)
    yield LogRecorder(engine, signals)
    signals.close()
    engine.dispose()


def write(url: str, total: int) -> list[Seen]:
    """Append `total` events of a few streams, in commits of different sizes; what was written.

    Runs in a process of its own.
    """
    written: list[Seen] = []
    streams = [uuid4() for _ in range(3)]
    next_versions = [count(1) for _ in streams]
    with recorder_on(url) as recorder:
        while len(written) < total:
            size = min(len(written) % 19 + 1, total - len(written))
            chosen = [len(written) % 3, (len(written) + 1) % 3]
            new = [
                StoredEvent(streams[at], next(next_versions[at]), "Topic", b"{}")
                for at in (chosen[n % 2] for n in range(size))
            ]
            positions = recorder.insert_events(new) or []
            written.extend(
                Seen(position, event.originator_id, event.originator_version)
                for position, event in zip(positions, new, strict=True)
            )
    return written


def test_a_tailing_reader_sees_each_event_of_8_writers_once_in_order(migrated_url: str):
    spawn = multiprocessing.get_context("spawn")
    with (
        recorder_on(migrated_url) as recorder,
        ThreadPoolExecutor(1) as beside,
        recorder.subscribe() as subscription,
        ProcessPoolExecutor(WRITERS, spawn) as processes,
    ):
        tail = Tail(recorder)
        subscribed = beside.submit(lambda: list(map(identify, islice(subscription, EVENTS))))
        share = EVENTS // WRITERS
        writers = [processes.submit(write, migrated_url, share) for _ in range(WRITERS)]
        while not all(writer.done() for writer in writers):
            tail.read_on()
            time.sleep(0.001)
        written = [event for writer in writers for event in writer.result()]
        tail.read_on()
        assert len(written) == EVENTS
        assert_each_event_once_in_order(tail.seen, written)
        assert_each_event_once_in_order(subscribed.result(timeout=60), written)


# The same check, on two writers whose commits are in a fixed order


class Writing:
    """One writer's transaction, in two steps: take a position, then commit."""

    def __init__(self, engine: Engine, take_position: Callable[[Connection], int]) -> None:
        self.connection = engine.connect()
        self.event = Seen(take_position(self.connection), uuid4(), 1)

    def commit(self) -> Seen:
        position, stream_id, version = self.event
        entry = Entry(position, UUID(str(stream_id)), version, "Topic", "{}", "{}", NOW, NOW)
        with self.connection:
            self.connection.execute(insert(events), entry._asdict())
            self.connection.commit()
        return self.event


def take_from_sequence(engine: Engine) -> Callable[[Connection], int]:
    """The mistake: positions are handed out outside the order of commits."""
    if not is_postgres(engine):
        counter = count(1)
        return lambda _: next(counter)
    sequence = Sequence("wrong_positions")
    with engine.begin() as connection:
        sequence.create(connection)
    return lambda connection: int(connection.scalar(sequence))


def test_the_check_catches_a_store_that_hands_out_positions_before_the_commit(engine: Engine):
    take_position = take_from_sequence(engine)
    tail = Tail(LogRecorder(engine, Signals(engine)))
    first = Writing(engine, take_position)
    second = Writing(engine, take_position)
    written = [second.commit()]
    tail.read_on()
    written.append(first.commit())
    tail.read_on()
    assert [event.position for event in tail.seen] == [2]
    with pytest.raises(AssertionError):
        assert_each_event_once_in_order(tail.seen, written)


def test_the_second_writer_gets_no_position_before_the_first_commits(engine: Engine):
    tail = Tail(LogRecorder(engine, Signals(engine)))
    taken = threading.Event()
    with ThreadPoolExecutor(1) as beside:
        with writing(engine) as connection:
            first = append_one(connection)
            second = beside.submit(append_alone, engine, taken)
            assert not taken.wait(0.2)
            tail.read_on()
            assert tail.seen == []
        written = [first, second.result()]
    tail.read_on()
    assert_each_event_once_in_order(tail.seen, written)


def append_one(connection: Connection) -> Seen:
    head, stream_id = log.lock_head(connection), uuid4()
    entry = NewEntry(stream_id, 1, "Topic", "{}", "{}", NOW)
    return Seen(appending.append(connection, head, [entry], NOW).position, stream_id, 1)


def append_alone(engine: Engine, taken: threading.Event) -> Seen:
    with writing(engine) as connection:
        seen = append_one(connection)
        taken.set()
    return seen
