"""What happens when the database goes away, and that it is over once it is back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg2.extensions
import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from application.customers import change_customer
from application.store.group_commit import StoreUnavailable
from application.store.log import NewEntry
from application.store.work import Answer, Command, Context, Key, Work
from domain.event import Event
from domain.ids import uuid7
from domain.ticket import Ticket
from tests.application.store.conftest import OpenEngine
from tests.application.store.desk import Desk, command, placing
from tests.domain.given import ANNA, FESTIVAL, FIRST, on_sale, registered, terms
from tests.services import end_sessions
from tests.statements import hearing

KEY = Key("ada", "one", "a digest")


@pytest.fixture
def postgres_desk(migrated_postgres_url: str, open_database: OpenEngine) -> Desk:
    desk = Desk(open_database(migrated_postgres_url))
    desk.given(on_sale(terms(quantity=1000)), registered())
    return desk


@pytest.fixture
def operator(migrated_postgres_url: str, open_database: OpenEngine) -> Engine:
    """Connections that are never killed."""
    return open_database(migrated_postgres_url)


@contextmanager
def once_at(
    engine: Engine, sql: str, do: Callable[[Connection], None], *, after: bool = False
) -> Iterator[None]:
    """Do something before or after the next statement that contains `sql`, and only then."""
    to_do = [do]

    def react(connection: Connection, statement: str) -> None:
        if sql in statement and to_do:
            to_do.pop()(connection)

    with hearing(engine, **{"after" if after else "before": react}):
        yield
    assert not to_do


def killed_by(operator: Engine) -> Callable[[Connection], None]:
    def kill(connection: Connection) -> None:
        assert connection.connection.dbapi_connection is not None
        end_sessions(
            operator, "pid = :pid", pid=connection.connection.dbapi_connection.info.backend_pid
        )

    return kill


def test_a_session_killed_at_the_commit_leaves_the_outcome_open(
    postgres_desk: Desk, operator: Engine
):
    desk = postgres_desk
    before = desk.position()
    with (
        once_at(desk.batching, "COMMIT", killed_by(operator)),
        pytest.raises(StoreUnavailable),
    ):
        desk.place(KEY)
    assert desk.position() == before
    assert not desk.place(KEY).replayed
    assert desk.stored(FESTIVAL).committed == 1


def test_a_batch_killed_at_the_commit_fails_as_a_whole_and_the_next_goes_on(
    postgres_desk: Desk, operator: Engine
):
    with once_at(postgres_desk.batching, "COMMIT", killed_by(operator)):
        outcomes = postgres_desk.do_all(*(placing() for _ in range(3)))
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    postgres_desk.place()
    assert postgres_desk.stored(FESTIVAL).committed == 1


def lose_the_answer(_: Connection) -> None:
    lost = psycopg2.OperationalError("server closed the connection unexpectedly")
    raise OperationalError("COMMIT", None, lost, connection_invalidated=True)


def test_a_commit_whose_answer_was_lost_is_found_out_with_the_same_key(postgres_desk: Desk):
    desk = postgres_desk
    losing = once_at(desk.batching, "COMMIT", lose_the_answer, after=True)
    with losing, pytest.raises(StoreUnavailable):
        desk.place(KEY)
    assert desk.place(KEY).replayed
    desk.place()
    assert desk.stored(FESTIVAL).committed == 2


def test_a_batch_that_fails_after_its_commit_is_not_decided_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    def fail(_: str) -> None:
        raise RuntimeError("after the commit")

    with monkeypatch.context() as patched:
        patched.setattr(desk.signals, "ring", fail)
        outcomes = desk.do_all(placing(KEY), placing())
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 2
    assert desk.topics()["Order.Placed"] == 2
    assert desk.place(KEY).replayed
    assert desk.stored(FESTIVAL).committed == 2


def test_an_idle_connection_that_was_ended_does_not_fail_the_next_command(
    postgres_desk: Desk, operator: Engine
):
    postgres_desk.place()
    assert end_sessions(operator, "state = 'idle'") >= 1
    assert postgres_desk.place().body["status"] == "placed"
    assert Desk(operator).stored(FESTIVAL).committed == 2


def test_a_session_killed_before_the_commit_is_replaced_and_the_batch_decided_again(
    postgres_desk: Desk, operator: Engine, open_database: OpenEngine
):
    other = Desk(open_database(postgres_desk.engine.url.render_as_string(hide_password=False)))
    with once_at(other.batching, "FROM snapshots", killed_by(operator)):
        outcomes = other.do_all(placing(KEY), placing())
    assert not any(isinstance(outcome, Exception) for outcome in outcomes)
    assert postgres_desk.topics()["Order.Placed"] == 2
    assert postgres_desk.stored(FESTIVAL).committed == 2


def test_what_was_decided_before_a_session_was_killed_is_forgotten(
    postgres_desk: Desk, operator: Engine
):
    """The key that seals a name is asked for when all is decided."""
    desk = postgres_desk
    desk.do(change_customer, customer_id=ANNA, changes={"phone": "1"})
    renaming = command(change_customer, customer_id=ANNA, changes={"phone": "2"})
    with once_at(desk.batching, "SELECT number, wrapped_key", killed_by(operator)):
        placed, renamed = desk.do_all(placing(), renaming)
    assert isinstance(placed, Answer)
    assert isinstance(renamed, Answer)
    assert renamed.version == 3
    for stream_id in (FESTIVAL, ANNA):
        assert desk.cached(stream_id) == desk.stored(stream_id)
    assert desk.stored(FESTIVAL).committed == 1


def test_a_command_whose_session_was_killed_while_it_was_decided_is_decided_again(
    postgres_desk: Desk, operator: Engine
):
    def look(work: Work) -> Event:
        assert work.find(Ticket, FIRST) is None
        return work.load(Event, FESTIVAL)

    with once_at(postgres_desk.batching, "FROM snapshots", killed_by(operator)):
        (looked,) = postgres_desk.do_all(command(look))
    assert isinstance(looked, Answer)
    assert looked.body["id"] == FESTIVAL


def test_a_database_that_cannot_be_reached_is_said_to_be_unavailable(open_database: OpenEngine):
    desk = Desk(open_database("postgresql+psycopg2://nobody@127.0.0.1:1/nowhere"))
    with pytest.raises(StoreUnavailable):
        desk.place()


def test_what_the_database_cannot_take_fails_alone(postgres_desk: Desk):
    """SQLite takes any whole number."""
    desk = postgres_desk

    def unstorable(work: Work) -> None:
        work.record([NewEntry(uuid7(), 2**40, "Odd", "{}", "{}", datetime.now(UTC))])

    too_large = Command(unstorable, {}, Context(actor="ada"), lambda _: {})
    before, odd, after = desk.do_all(placing(), too_large, placing())
    assert isinstance(odd, ValueError)
    assert [type(outcome) for outcome in (before, after)] == [Answer, Answer]
    assert desk.stored(FESTIVAL).committed == 2
