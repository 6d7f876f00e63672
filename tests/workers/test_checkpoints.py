"""Checkpoints on a schedule, as the reactor's process takes them."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from application import keys
from application.checkpoints import listing, verify
from application.composition import Turnstile
from application.store import log
from tests.application.store.tampering import alter, tampering
from tests.workers.festival import box_office
from tests.workers.processes import eventually
from tests.workers.processes import turnstile as process
from tests.workers.selling import Sale
from tests.workers.threads import in_threads
from workers import checkpoints

KEY = keys.new_key()


@pytest.fixture
def selling(turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch) -> Turnstile:
    """A box office that has sold something and signs at once whatever is new."""
    monkeypatch.setattr(checkpoints, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(checkpoints, "REFUSED_SECONDS", 0.02)
    Sale(turnstile).hold()
    return signing(turnstile)


def signing(turnstile: Turnstile, minutes: int = 0) -> Turnstile:
    settings = replace(turnstile.settings, checkpoint_key=KEY.private, checkpoint_minutes=minutes)
    return replace(turnstile, settings=settings)


def running(*turnstiles: Turnstile) -> AbstractContextManager[None]:
    """The schedule of each, in a thread."""
    return in_threads(*(partial(checkpoints.run, one) for one in turnstiles))


def signed(turnstile: Turnstile) -> list[int]:
    """The positions of the checkpoints, the last one first."""
    with turnstile.engine.connect() as connection:
        return [checkpoint.position for checkpoint in listing(connection)]


def head(turnstile: Turnstile) -> int:
    with turnstile.engine.connect() as connection:
        return log.read_head(connection)


def test_whatever_is_new_gets_signed_once_by_any_number(
    selling: Turnstile, database_url: str
) -> None:
    with ExitStack() as opened:
        others = [signing(opened.enter_context(box_office(database_url))) for _ in range(2)]
        opened.enter_context(running(*others))
        eventually(lambda: signed(selling) == [head(selling)])
        first = head(selling)
        Sale(selling).hold()
        eventually(lambda: signed(selling)[0] == head(selling))
    assert signed(selling)[-1] == first
    assert verify(selling.engine, trusted=[KEY.public]).position == head(selling)


def test_nothing_is_signed_before_its_time(selling: Turnstile) -> None:
    assert checkpoints.take_if_due(signing(selling, minutes=10)) is not None
    Sale(selling).hold()
    assert checkpoints.take_if_due(signing(selling, minutes=10)) is None
    assert checkpoints.take_if_due(signing(selling, minutes=0)) is not None
    assert checkpoints.take_if_due(signing(selling, minutes=0)) is None


def test_without_a_key_nothing_is_signed_and_that_is_said(turnstile: Turnstile) -> None:
    Sale(turnstile).hold()
    with capture_logs() as logs, running(turnstile):
        eventually(lambda: logs)
    assert [(line["event"], line["log_level"]) for line in logs] == [("checkpoints.off", "warning")]
    assert checkpoints.take_if_due(turnstile) is None
    assert signed(turnstile) == []


def test_an_altered_log_is_reported_until_it_is_restored(selling: Turnstile) -> None:
    with selling.engine.connect() as connection:
        original = log.read(connection, limit=1)[0].metadata
    with tampering(selling.engine) as connection:
        alter(connection, 1, metadata='{"actor":"eve"}')
    with capture_logs() as logs, running(selling):
        eventually(lambda: [line for line in logs if line["event"] == "checkpoints.refused"])
        assert signed(selling) == []
        with tampering(selling.engine) as connection:
            alter(connection, 1, metadata=original)
        eventually(lambda: signed(selling) == [head(selling)])
    refused = next(line for line in logs if line["event"] == "checkpoints.refused")
    assert refused["log_level"] == "error"
    assert "Position 1:" in refused["reason"]


class Waits(threading.Event):
    """Notes how long it is waited for instead of waiting, and is set the second time."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        if len(self.seconds) == 2:
            self.set()
        return self.is_set()


def forge(connection: Connection) -> None:
    alter(connection, 1, metadata='{"actor":"eve"}')


def spoil(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE log_head SET hash = 'no bytes'")


@pytest.mark.parametrize(
    ("tamper", "said"), [(forge, "checkpoints.refused"), (spoil, "checkpoints.failed")]
)
def test_what_is_not_signed_is_not_read_again_soon(
    migrated_sqlite_url: str, tamper: Callable[[Connection], None], said: str
) -> None:
    """PostgreSQL has no hash that is none."""
    with box_office(migrated_sqlite_url) as turnstile, capture_logs() as logs:
        Sale(turnstile).hold()
        with tampering(turnstile.engine) as connection:
            tamper(connection)
        stop = Waits()
        checkpoints.run(signing(turnstile), stop)
    assert stop.seconds == [checkpoints.REFUSED_SECONDS, checkpoints.LOOK_SECONDS]
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [said]


def test_a_database_that_does_not_answer_is_asked_again(
    selling: Turnstile, database_url: str
) -> None:
    failures = iter(range(3))

    @event.listens_for(selling.engine, "before_cursor_execute")
    def fail(*_: object) -> None:
        if next(failures, None) is not None:
            raise OperationalError("", None, Exception("gone"))

    with box_office(database_url) as other, capture_logs() as logs, running(selling):
        eventually(lambda: signed(other) == [head(other)])
    retried = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert retried == ["checkpoints.retrying"] * 3


def test_the_process_of_the_reactor_signs(database_url: str) -> None:
    with box_office(database_url) as turnstile:
        Sale(turnstile).hold()
        environment = {"CHECKPOINT_KEY": KEY.private, "CHECKPOINT_MINUTES": "0"}
        with process("react", url=database_url, **environment) as react:
            eventually(lambda: signed(turnstile) == [head(turnstile)], pause=0.1)
            assert react.end() == 0
            assert KEY.private not in react.said
