"""What our recorders do beyond the library's published cases."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing import persistence as library
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import StoredEvent, Tracking
from sqlalchemy import inspect

from application.store import recorders
from application.store.recorders import Factory
from application.store.tables import events

OpenFactory = Callable[[], Factory]
FOREVER = 60.0


@pytest.fixture
def open_factory(database_url: str) -> Iterator[OpenFactory]:
    """`open_factory()` is a factory with an engine of its own, as in another process."""
    factories: list[Factory] = []

    def open_one() -> Factory:
        factories.append(Factory({"DATABASE_URL": database_url}))
        return factories[-1]

    yield open_one
    for factory in factories:
        factory.close()


@pytest.fixture
def log(open_factory: OpenFactory) -> library.ApplicationRecorder:
    return open_factory().application_recorder()


def stored(state: bytes = b"{}", originator_id: UUID | str | None = None) -> StoredEvent:
    return StoredEvent(originator_id or uuid4(), 1, "Topic", state)


class Dog(Aggregate):
    @event("Registered")
    def __init__(self, name: str) -> None:
        self.name = name
        self.tricks: list[str] = []

    @event("TrickAdded")
    def add_trick(self, trick: str) -> None:
        self.tricks.append(trick)


def test_an_application_of_the_library_runs_on_our_log(database_url: str):
    environment = {
        "PERSISTENCE_MODULE": "application.store.recorders",
        "DATABASE_URL": database_url,
        "IS_SNAPSHOTTING_ENABLED": "y",
    }
    application: Application[UUID] = Application(environment)
    dog = Dog("Fido")
    dog.add_trick("roll over")
    application.save(dog)
    application.take_snapshot(dog.id)
    dog.add_trick("fetch ball")
    application.save(dog)
    copy: Dog = application.repository.get(dog.id)
    assert copy.tricks == ["roll over", "fetch ball"]
    assert [item.id for item in application.notification_log.select(1, 10)] == [1, 2, 3]
    application.close()


def test_without_a_database_url_there_is_no_factory():
    with pytest.raises(OSError, match="DATABASE_URL"):
        Factory({})


@pytest.mark.parametrize(("create", "made"), [("y", True), ("n", False), ("", True)])
def test_tables_are_made_unless_the_environment_says_no(database_url: str, create: str, made: bool):
    factory = Factory({"DATABASE_URL": database_url, "CREATE_TABLE": create})
    factory.application_recorder()
    assert inspect(factory.engine).has_table(events.name) is made
    factory.close()


def test_what_is_missing_is_an_error_of_the_librarys(database_url: str):
    factory = Factory({"DATABASE_URL": database_url, "CREATE_TABLE": "n"})
    recorder = factory.application_recorder()
    with pytest.raises((library.OperationalError, library.ProgrammingError)):
        recorder.max_notification_id()
    factory.close()


@pytest.mark.parametrize("of", [{"state": b"\xff"}, {"originator_id": "no uuid"}], ids=str)
def test_what_the_log_cannot_hold_is_refused(log: library.ApplicationRecorder, of: dict[str, Any]):
    with pytest.raises(library.DataError):
        log.insert_events([stored(), stored(**of)])
    assert log.max_notification_id() is None


def test_an_id_may_be_given_as_text(log: library.ApplicationRecorder):
    event = stored(originator_id=str(uuid4()))
    log.insert_events([event])
    (found,) = log.select_events(event.originator_id)
    assert str(found.originator_id) == event.originator_id


def test_a_reader_that_decided_on_less_than_it_has_read_appends_nothing(
    open_factory: OpenFactory,
):
    recorder = open_factory().process_recorder()
    recorder.insert_events([stored()], tracking=Tracking("upstream", 7))
    with pytest.raises(library.IntegrityError):
        recorder.insert_events([stored()], tracking=Tracking("upstream", 7))
    assert (recorder.max_notification_id(), recorder.max_tracking_id("upstream")) == (1, 7)


def test_a_subscription_is_woken_by_a_writer_of_its_process(
    log: library.ApplicationRecorder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recorders, "POLL_SECONDS", FOREVER)
    assert_seen_soon(log, writer=log)


def test_a_subscription_sees_what_another_process_wrote(open_factory: OpenFactory):
    reader, writer = (open_factory().application_recorder() for _ in range(2))
    assert_seen_soon(reader, writer)


def test_postgres_wakes_a_subscription_in_another_process(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recorders, "POLL_SECONDS", FOREVER)
    factories = [Factory({"DATABASE_URL": postgres_url}) for _ in range(2)]
    reader, writer = (factory.application_recorder() for factory in factories)
    assert_seen_soon(reader, writer)
    for factory in factories:
        factory.close()


def assert_seen_soon(
    reader: library.ApplicationRecorder, writer: library.ApplicationRecorder
) -> None:
    """One event at a time, each written only when the one before was seen."""
    started = time.monotonic()
    with reader.subscribe() as subscription, ThreadPoolExecutor(1) as beside:
        for position in range(1, 4):
            seen = beside.submit(next, subscription)
            assert writer.insert_events([stored()]) == [position]
            assert seen.result(timeout=FOREVER / 2).id == position
    assert time.monotonic() - started < FOREVER / 2


def test_a_subscription_can_begin_in_the_middle_and_choose_topics(
    log: library.ApplicationRecorder,
):
    stream = uuid4()
    log.insert_events(
        [StoredEvent(stream, version, f"Topic{version % 2}", b"{}") for version in range(1, 8)]
    )
    with log.subscribe(gt=3, topics=["Topic1"]) as subscription:
        assert [item.id for item in islice(subscription, 2)] == [5, 7]
