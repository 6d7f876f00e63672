"""The library's published cases for recorders, on both databases, otherwise unchanged."""

from collections.abc import Iterator
from typing import ClassVar

import pytest
from eventsourcing import persistence as library
from eventsourcing.tests import persistence as published
from eventsourcing.utils import Environment

from application.store.recorders import (
    Factory,
    LogRecorder,
    ProcessRecorder,
    StreamRecorder,
    TrackingRecorder,
)


class OnADatabase:
    """What `unittest` cases cannot ask for as arguments: a fresh database, and its factory."""

    database: ClassVar[str]
    env: Environment
    made_by: Factory

    @pytest.fixture(autouse=True)
    def _fresh_database(self, request: pytest.FixtureRequest) -> Iterator[None]:
        url = request.getfixturevalue(self.database)
        module = "application.store.recorders"
        self.env = Environment("Box", {"PERSISTENCE_MODULE": module, "DATABASE_URL": url})
        self.made_by = Factory(self.env)
        yield
        self.made_by.close()


class OnSQLite(OnADatabase):
    database = "sqlite_url"


class OnPostgres(OnADatabase):
    database = "postgres_url"


class MakesStreamRecorder(OnADatabase):
    def create_recorder(self) -> library.AggregateRecorder:
        return self.made_by.aggregate_recorder()


class MakesSnapshotRecorder(OnADatabase):
    def create_recorder(self) -> library.AggregateRecorder:
        return self.made_by.aggregate_recorder("snapshots")


class MakesLogRecorder(OnADatabase):
    def create_recorder(self) -> library.ApplicationRecorder:
        return self.made_by.application_recorder()


class MakesTrackingRecorder(OnADatabase):
    def create_recorder(self) -> library.TrackingRecorder:
        return self.made_by.tracking_recorder()


class MakesProcessRecorder(OnADatabase):
    def create_recorder(self) -> library.ProcessRecorder:
        return self.made_by.process_recorder()


class OurTrackingRecorder(TrackingRecorder):
    """What an application makes of ours."""


class ExpectsOurs(OnADatabase):
    def expected_factory_class(self) -> type[Factory]:
        return Factory

    def expected_aggregate_recorder_class(self) -> type[library.AggregateRecorder]:
        return StreamRecorder

    def expected_application_recorder_class(self) -> type[library.ApplicationRecorder]:
        return LogRecorder

    def expected_tracking_recorder_class(self) -> type[library.TrackingRecorder]:
        return TrackingRecorder

    def tracking_recorder_subclass(self) -> type[library.TrackingRecorder]:
        return OurTrackingRecorder

    def expected_process_recorder_class(self) -> type[library.ProcessRecorder]:
        return ProcessRecorder


class TestStreamsOnSQLite(OnSQLite, MakesStreamRecorder, published.AggregateRecorderTestCase): ...


class TestStreamsOnPostgres(
    OnPostgres, MakesStreamRecorder, published.AggregateRecorderTestCase
): ...


class TestSnapshotsOnSQLite(
    OnSQLite, MakesSnapshotRecorder, published.AggregateRecorderTestCase
): ...


class TestSnapshotsOnPostgres(
    OnPostgres, MakesSnapshotRecorder, published.AggregateRecorderTestCase
): ...


class TestLogOnSQLite(
    OnSQLite,
    MakesLogRecorder,
    published.ApplicationRecorderTestCase[library.ApplicationRecorder],
):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestLogOnPostgres(
    OnPostgres,
    MakesLogRecorder,
    published.ApplicationRecorderTestCase[library.ApplicationRecorder],
):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestTrackingOnSQLite(OnSQLite, MakesTrackingRecorder, published.TrackingRecorderTestCase): ...


class TestTrackingOnPostgres(
    OnPostgres, MakesTrackingRecorder, published.TrackingRecorderTestCase
): ...


class TestProcessOnSQLite(OnSQLite, MakesProcessRecorder, published.ProcessRecorderTestCase): ...


class TestProcessOnPostgres(
    OnPostgres, MakesProcessRecorder, published.ProcessRecorderTestCase
): ...


class TestNonInterleavingOnSQLite(
    OnSQLite, MakesLogRecorder, published.NonInterleavingNotificationIDsBaseCase
): ...


class TestNonInterleavingOnPostgres(
    OnPostgres, MakesLogRecorder, published.NonInterleavingNotificationIDsBaseCase
): ...


class TestFactoryOnSQLite(
    OnSQLite, ExpectsOurs, published.InfrastructureFactoryTestCase[Factory]
): ...


class TestFactoryOnPostgres(
    OnPostgres, ExpectsOurs, published.InfrastructureFactoryTestCase[Factory]
): ...
