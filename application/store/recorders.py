"""The log behind eventsourcing's own interfaces: `PERSISTENCE_MODULE=application.store.recorders`.

Applications built with the library, and its published tests, use the same log as group commit.
A stored event's state must be UTF-8 text, and its originator's id a UUID.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy.exc
from eventsourcing import persistence as library
from eventsourcing.utils import Environment, EnvType, resolve_topic, strtobool
from sqlalchemy import Connection, Engine, insert, select, update

import migrations
from application.settings import Settings
from application.store import log
from application.store.database import open_engine, writing
from application.store.group_commit import Executor, StoreUnavailable
from application.store.sealing import Keys
from application.store.signals import LOG, Signals
from application.store.tables import snapshots, tracking
from application.store.vault import Vault
from application.store.work import Command, Context, Work
from application.store.writes import writes_to
from domain.errors import AlreadyExists

R = TypeVar("R", bound="_Recorder")

_CONTEXT = Context(actor="eventsourcing")

POLL_SECONDS = 0.25
"""Subscriptions look so often even when no bell rings."""


@contextmanager
def _library_errors() -> Iterator[None]:
    """The one place where errors become the library's."""
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        kind = getattr(library, type(error).__name__, library.PersistenceError)
        raise kind(str(error)) from error
    except sqlalchemy.exc.TimeoutError as error:
        raise library.OperationalError(str(error)) from error
    except AlreadyExists as error:
        raise library.IntegrityError(str(error)) from error
    except StoreUnavailable as error:
        raise library.OperationalError(str(error)) from error
    except ValueError as error:
        raise library.DataError(str(error)) from error


class _Recorder:
    """A recorder on the database of `engine`; `signals` wakes its subscriptions."""

    def __init__(self, engine: Engine, signals: Signals) -> None:
        self.engine = engine
        self.signals = signals

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _library_errors(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _library_errors(), writing(self.engine) as connection:
            yield connection


class SnapshotRecorder(_Recorder, library.AggregateRecorder):
    """Snapshots, in the table that group commit keeps its own in."""

    def insert_events(self, stored_events: Sequence[library.StoredEvent], **kwargs: Any) -> None:
        with self._writing() as connection:
            rows = [
                {
                    "stream_id": _uuid(event.originator_id),
                    "version": event.originator_version,
                    "topic": event.topic,
                    "payload": event.state.decode(),
                }
                for event in stored_events
            ]
            if rows:
                connection.execute(insert(snapshots), rows)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> list[library.StoredEvent]:
        version = snapshots.c.version
        query = select(snapshots).order_by(version.desc() if desc else version).limit(limit)
        if gt is not None:
            query = query.where(version > gt)
        if lte is not None:
            query = query.where(version <= lte)
        with self._reading() as connection:
            rows = connection.execute(
                query.where(snapshots.c.stream_id == _uuid(originator_id))
            ).all()
        return [
            library.StoredEvent(row.stream_id, row.version, row.topic, row.payload.encode())
            for row in rows
        ]


class StreamRecorder(_Recorder, library.AggregateRecorder):
    """The log for whoever asks by stream only, and needs no positions.

    Appends of several threads share transactions, like the commands of a web process.
    """

    def __init__(self, engine: Engine, signals: Signals) -> None:
        super().__init__(engine, signals)
        self._executor = Executor(engine, signals)

    def insert_events(
        self, stored_events: Sequence[library.StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        self._append(stored_events)
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> list[library.StoredEvent]:
        with self._reading() as connection:
            entries = log.read_stream(
                connection,
                _uuid(originator_id),
                after=gt,
                until=lte,
                limit=limit,
                descending=desc,
            )
        return [
            library.StoredEvent(entry.stream_id, entry.version, entry.topic, entry.payload.encode())
            for entry in entries
        ]

    def _append(self, stored_events: Sequence[library.StoredEvent]) -> list[int]:
        """Append the events; their positions."""
        if not stored_events:
            return []
        now = datetime.now(UTC)
        with _library_errors():
            entries = [_new_entry(event, now) for event in stored_events]
            last = self._executor.execute(
                Command(_record, {"entries": entries}, _CONTEXT, _nothing)
            ).position
        return list(range(last - len(entries) + 1, last + 1))


class LogRecorder(StreamRecorder, library.ApplicationRecorder):
    """The whole log: every event has a position, without gaps, in the order of commits."""

    def insert_events(
        self, stored_events: Sequence[library.StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        return self._append(stored_events)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> list[library.Notification]:
        after = 0 if start is None else start - int(inclusive_of_start)
        with self._reading() as connection:
            entries = log.read(connection, after=after, until=stop, limit=limit, topics=topics)
        return [
            library.Notification(
                originator_id=entry.stream_id,
                originator_version=entry.version,
                topic=entry.topic,
                state=entry.payload.encode(),
                id=entry.position,
            )
            for entry in entries
        ]

    def max_notification_id(self) -> int | None:
        with self._reading() as connection:
            return log.read_head(connection) or None

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> library.Subscription[library.ApplicationRecorder]:
        return LogSubscription(self, gt, topics)


class LogSubscription(library.ListenNotifySubscription[LogRecorder]):
    """Yields events as they are appended, woken by the bell of the log."""

    def stop(self) -> None:
        super().stop()
        self._recorder.signals.ring(LOG)

    def _pull(self) -> None:
        """Take what is there; return when there may be more: the bell rang, or time passed."""
        heard = self._recorder.signals.bells[LOG].heard()
        super()._pull()
        if not self._has_been_stopped:
            self._recorder.signals.wait(LOG, heard, POLL_SECONDS)
        self._has_been_notified.set()


class TrackingRecorder(_Recorder, library.TrackingRecorder):
    """How far each reader has come: one row for each, which only moves forward."""

    def insert_tracking(self, tracking: library.Tracking) -> None:
        with self._writing() as connection:
            _move(connection, tracking)

    def max_tracking_id(self, application_name: str) -> int | None:
        query = select(tracking.c.position).where(tracking.c.name == application_name)
        with self._reading() as connection:
            return connection.execute(query).scalar()


class ProcessRecorder(LogRecorder, TrackingRecorder, library.ProcessRecorder):
    """Appends what a reader decided together with how far it has come."""

    def insert_events(
        self, stored_events: Sequence[library.StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        moved = kwargs.get("tracking")
        return self._append(stored_events) if moved is None else self._take(stored_events, moved)

    def _take(
        self, stored_events: Sequence[library.StoredEvent], moved: library.Tracking
    ) -> list[int]:
        """Append the events, and move a position with them; the events' own positions."""
        now = datetime.now(UTC)
        with self._writing() as connection:
            new = [_new_entry(event, now) for event in stored_events]
            head = log.lock_head(connection)
            if new:
                with writes_to(connection) as writes:
                    log.write(writes, head, new, now, Keys(connection))
                    self.signals.announce(writes, LOG)
            _move(connection, moved)
        self.signals.ring(LOG)
        return list(range(head.position + 1, head.position + 1 + len(new)))


class Factory(library.InfrastructureFactory[TrackingRecorder]):
    """Makes recorders on the database of `DATABASE_URL`.

    It is brought to the latest migration first, unless `CREATE_TABLE` is off.
    """

    DATABASE_URL = "DATABASE_URL"
    CREATE_TABLE = "CREATE_TABLE"

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        url = self.env.get(self.DATABASE_URL)
        if not url:
            keys = ", ".join(self.env.create_keys(self.DATABASE_URL))
            raise OSError(f"There is no database URL in the environment under {keys}.")
        self.engine = open_engine(url, Vault(Settings().master_key))
        self.signals = Signals(self.engine)

    def aggregate_recorder(self, purpose: str = "events") -> library.AggregateRecorder:
        if purpose == "snapshots":
            return self._made(SnapshotRecorder)
        return self._made(StreamRecorder)

    def application_recorder(self) -> library.ApplicationRecorder:
        return self._made(LogRecorder)

    def tracking_recorder(
        self, tracking_recorder_class: type[TrackingRecorder] | None = None
    ) -> TrackingRecorder:
        topic = self.env.get(self.TRACKING_RECORDER_TOPIC)
        named: type[TrackingRecorder] = resolve_topic(topic) if topic else TrackingRecorder
        return self._made(tracking_recorder_class or named)

    def process_recorder(self) -> library.ProcessRecorder:
        return self._made(ProcessRecorder)

    def close(self) -> None:
        self.signals.close()
        self.engine.dispose()

    def _made(self, recorder_class: type[R]) -> R:
        if strtobool(self.env.get(self.CREATE_TABLE) or "yes"):
            with _library_errors():
                migrations.upgrade(self.engine)
        return recorder_class(self.engine, self.signals)


def _new_entry(event: library.StoredEvent, now: datetime) -> log.NewEntry:
    return log.NewEntry(
        _uuid(event.originator_id),
        event.originator_version,
        event.topic,
        event.state.decode(),
        "{}",
        now,
    )


def _record(work: Work, entries: Sequence[log.NewEntry]) -> None:
    work.record(entries)


def _nothing(_: None) -> dict[str, Any]:
    return {}


def _move(connection: Connection, moved: library.Tracking) -> None:
    """Move a position forward; the first is inserted, and so fails any that is not ahead."""
    values = {"position": moved.notification_id, "moved_at": datetime.now(UTC)}
    ahead = update(tracking).where(
        tracking.c.name == moved.application_name, tracking.c.position < moved.notification_id
    )
    if connection.execute(ahead.values(values)).rowcount == 0:
        connection.execute(insert(tracking).values(name=moved.application_name, **values))


def _uuid(originator_id: UUID | str) -> UUID:
    return originator_id if isinstance(originator_id, UUID) else UUID(originator_id)
