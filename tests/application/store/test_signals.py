"""Bells ring across processes for whoever waits, and wake nobody's backend otherwise."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import Engine, text

from application.store import signals
from application.store.database import open_engine, writing
from application.store.signals import LOG, Signals
from application.store.writes import writes_to
from tests.workers.processes import PATIENCE, eventually

FOREVER = 3_600.0
LISTENERS = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE :said
"""


@pytest.fixture
def engine(migrated_postgres_url: str) -> Iterator[Engine]:
    made = open_engine(migrated_postgres_url)
    yield made
    made.dispose()


@contextmanager
def somebody(engine: Engine) -> Iterator[Signals]:
    with closing(Signals(engine)) as made:
        yield made


def said(engine: Engine, what: str) -> list[int]:
    """The backends to which a listener said this last."""
    with engine.connect() as connection:
        return list(connection.scalars(text(LISTENERS), {"said": f"{what} {LOG}"}))


def announce(engine: Engine) -> None:
    """As another process does."""
    with somebody(engine) as other, writing(engine) as connection, writes_to(connection) as writes:
        other.announce(writes, LOG)


def has_rested(engine: Engine, waiting: Signals) -> list[int]:
    """Wait for nothing, until the listener has left; its backend."""
    others = said(engine, "%LISTEN")  # which are about to end
    waiting.wait(LOG, waiting.bells[LOG].heard(), 0.0)
    return eventually(lambda: [pid for pid in said(engine, "UNLISTEN") if pid not in others])


def test_who_has_not_waited_for_a_while_is_woken_no_more(engine: Engine):
    with somebody(engine) as waiting:
        has_rested(engine, waiting)
        heard = waiting.bells[LOG].heard()
        announce(engine)
        assert waiting.bells[LOG].heard() == heard


def test_who_waits_keeps_listening(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(signals, "LISTEN_SECONDS", 0.01)
    done = threading.Event()
    with somebody(engine) as waiting, ThreadPoolExecutor(1) as threads:
        waiter = threads.submit(
            waiting.wait_for, LOG, lambda: done.is_set() or None, PATIENCE, FOREVER
        )
        eventually(waiting.bells[LOG].heard)
        assert not waiter.done()
        time.sleep(20 * signals.LISTEN_SECONDS)
        assert said(engine, "LISTEN")
        assert waiting.bells[LOG].heard() == 1  # as it began to listen
        done.set()
        announce(engine)
        assert waiter.result(PATIENCE)


def test_who_waits_again_hears_of_what_came_meanwhile_and_of_what_comes(engine: Engine):
    with somebody(engine) as waiting, ThreadPoolExecutor(1) as threads:
        has_rested(engine, waiting)
        heard = waiting.bells[LOG].heard()
        announce(engine)
        waiting.wait(LOG, heard, PATIENCE)
        missed = waiting.bells[LOG].heard()
        assert missed > heard
        again = threads.submit(waiting.wait, LOG, missed, PATIENCE)
        eventually(lambda: waiting.bells[LOG].waiting)
        announce(engine)
        again.result(PATIENCE)
        assert waiting.bells[LOG].heard() > missed


def test_a_listener_whose_connection_was_ended_while_it_rested_listens_again(engine: Engine):
    with somebody(engine) as waiting:
        (pid,) = has_rested(engine, waiting)
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        heard = waiting.bells[LOG].heard()
        waiting.wait(LOG, heard, PATIENCE)
        assert waiting.bells[LOG].heard() > heard
