"""Queries answered by a streaming replica: a second PostgreSQL, copied from a first one."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

import migrations
from application.composition import compose
from application.settings import Settings
from application.store.database import for_batches, for_queries
from projections.engine.projector import Projector
from projections.engine.rebuild import rebuild
from projections.orders import ORDERS
from tests import services
from tests.services import Service
from tests.web.conftest import BoxOffice, Json, ticket_ids
from tests.workers.processes import PATIENCE, eventually
from web import reading

# One pair of servers for all these tests.
pytestmark = pytest.mark.xdist_group("replica")

Servers = tuple[Service, Service]
"""A primary and its replica."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy."""
    monkeypatch.setattr(reading, "WAIT_SECONDS", PATIENCE)


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """Those of a box office whose queries go to a replica."""
    with running_pair() as servers:
        yield migrated(servers)


@pytest.fixture(scope="module")
def replicated(settings: Settings) -> Iterator[BoxOffice]:
    """That box office, with a live projector on the primary."""
    with box_office(settings) as office:
        yield office


@pytest.fixture
def order(replicated: BoxOffice) -> Json:
    """A paid order of two tickets that the replica knows."""
    return order_at_replica(replicated)


@contextmanager
def running_pair() -> Iterator[Servers]:
    primary, replica = services.start_postgres_with_replica()
    try:
        yield primary, replica
    finally:
        replica.stop()
        primary.stop()


def migrated(servers: Servers) -> Settings:
    """Those of a new database, which is at the replica already."""
    primary, replica = servers
    url = services.create_database(primary.url, "turnstile_test")
    there = make_url(url).set(port=make_url(replica.url).port)
    settings = Settings(url, there.render_as_string())
    turnstile = compose(settings)
    migrations.upgrade(turnstile.engine)
    eventually(lambda: services.postgres_fault(str(settings.read_database_url)) is None)
    eventually(lambda: migrations.is_current(turnstile.readers))
    turnstile.close()
    return settings


@contextmanager
def box_office(settings: Settings) -> Iterator[BoxOffice]:
    turnstile, live = compose(settings), compose(settings)
    stop = threading.Event()
    projector = threading.Thread(target=Projector(live).run, args=(stop,))
    projector.start()
    try:
        yield BoxOffice(turnstile)
    finally:
        stop.set()
        projector.join()
        live.close()
        turnstile.close()


def order_at_replica(office: BoxOffice) -> Json:
    order = office.sold(office.event(), office.customer(), quantity=2)
    assert seen(office, f"/api/v1/orders/{order['id']}", order).status_code == 200
    return order


def seen(office: BoxOffice, path: str, command: Json) -> Any:
    """The answer to a query that must have seen what that command did."""
    headers = {"Turnstile-Position": str(command["position"])}
    return office.send("GET", path, headers=headers)


@contextmanager
def replay_paused(replica: Engine) -> Iterator[None]:
    run(replica, "SELECT pg_wal_replay_pause()")
    try:
        eventually(lambda: run(replica, "SELECT pg_get_wal_replay_pause_state() = 'paused'"))
        yield
    finally:
        eventually(lambda: resumed(replica))


def resumed(replica: Engine) -> bool:
    """Replay that goes on may end the statement that lets it: it removes what that could see."""
    try:
        run(replica, "SELECT pg_wal_replay_resume()")
        return not run(replica, "SELECT pg_is_wal_replay_paused()")
    except OperationalError:
        return False


def run(engine: Engine, statement: str) -> Any:
    with engine.connect() as connection:
        return connection.execute(text(statement)).scalar()


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """What is asked of the database of `engine` meanwhile."""
    heard: list[str] = []
    engines = (engine, for_queries(engine), for_batches(engine))

    def hear(_: Connection, __: Any, statement: str, *___: Any) -> None:
        heard.append(statement)

    for each in engines:
        event.listen(each, "before_cursor_execute", hear)
    yield heard
    for each in engines:
        event.remove(each, "before_cursor_execute", hear)


@contextmanager
def disturbed(
    engine: Engine, disturb: Callable[[Connection], None], times: int
) -> Iterator[list[Any]]:
    """Do that after the next queries for orders, on their connection; what errors came of it."""
    errors: list[Any] = []

    def react(connection: Connection, _: Any, statement: str, *__: Any) -> None:
        if "FROM orders" not in statement or len(errors) == times:
            return
        try:
            disturb(connection)
        except DBAPIError as error:
            errors.append(error.orig)
            raise

    event.listen(engine, "after_cursor_execute", react)
    yield errors
    event.remove(engine, "after_cursor_execute", react)


# Reading what one has written


def test_an_order_is_answered_by_the_replica_once_its_position_is_sent(replicated: BoxOffice):
    event, customer = replicated.event(), replicated.customer()
    replicated.order(event, customer)
    turnstile = replicated.turnstile
    for quantity in range(1, 6):
        order = replicated.order(event, customer, quantity=quantity)
        with (
            statements(turnstile.engine) as at_primary,
            statements(turnstile.readers) as at_replica,
        ):
            answer = seen(replicated, f"/api/v1/orders/{order['id']}", order)
        assert answer.status_code == 200, answer.text
        assert answer.json["lines"][0]["quantity"] == quantity
        assert int(answer.headers["Turnstile-Position"]) >= order["position"]
        assert at_primary == []
        assert any("FROM orders" in statement for statement in at_replica)


def test_the_log_is_read_from_the_replica(replicated: BoxOffice, order: Json):
    of_order = f"/api/v1/orders/{order['id']}"
    after = f"after={order['position'] - 1}&limit=1"
    paths = [f"{of_order}/history", f"{of_order}/as-of?version=1", f"/api/v1/log?{after}"]
    with statements(replicated.turnstile.engine) as at_primary:
        history, as_of, feed = [seen(replicated, path, order) for path in paths]
    assert [item["what"] for item in history.json["items"]] == ["Order.Placed", "Order.Paid"]
    assert (as_of.json["status"], as_of.json["version"]) == ("placed", 1)
    assert feed.json["items"][0]["position"] == order["position"]
    assert at_primary == []


def test_a_replica_that_lags_says_so_to_those_who_have_seen_more(
    replicated: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    event, customer = replicated.event(), replicated.customer()
    before = replicated.order(event, customer)
    seen(replicated, f"/api/v1/orders/{before['id']}", before)
    with replay_paused(replicated.turnstile.readers):
        monkeypatch.setattr(reading, "WAIT_SECONDS", 0.3)
        order = replicated.order(event, customer)
        paths = [f"/api/v1/orders/{order['id']}{part}" for part in ("", "/history")]
        for path in paths:
            answer = seen(replicated, path, order)
            assert answer.status_code == 503
            assert answer.json["type"] == "/problems/not-caught-up"
            assert int(answer.headers["Retry-After"]) > 0
            assert replicated.send("GET", path).status_code == 404
        old = replicated.send("GET", f"/api/v1/orders/{before['id']}")
        assert old.json["status"] == "placed"
        assert before["position"] <= int(old.headers["Turnstile-Position"]) < order["position"]
    monkeypatch.setattr(reading, "WAIT_SECONDS", PATIENCE)
    assert [seen(replicated, path, order).status_code for path in paths] == [200, 200]


# Writing


def test_commands_never_ask_the_replica(replicated: BoxOffice):
    with statements(replicated.turnstile.readers) as at_replica:
        event, customer = replicated.event(), replicated.customer()
        sold = replicated.sold(event, customer)
        held = replicated.order(event, customer)
        for ticket_id, status in ((ticket_ids(sold)[0], "ok"), (ticket_ids(held)[0], "error")):
            assert replicated.scan(event, ticket_id=ticket_id)["status"] == status
        replicated.patch(f"/api/v1/customers/{customer['id']}", {"phone": "1"})
        replicated.post(f"/api/v1/orders/{sold['id']}/refund", {})
    assert at_replica == []


def test_a_reader_cannot_write_even_where_its_server_would_let_it(settings: Settings):
    turnstile = compose(replace(settings, read_database_url=settings.database_url))
    with pytest.raises(DBAPIError, match="read-only transaction"):
        run(turnstile.readers, "DELETE FROM tracking")
    turnstile.close()


# Queries in the way of replay


def test_a_rebuild_on_the_primary_breaks_no_query_on_the_replica(
    replicated: BoxOffice, order: Json
):
    primary, replica = replicated.turnstile.engine, replicated.turnstile.readers
    before, path = table_of_orders(primary), f"/api/v1/orders/{order['id']}"

    def rebuild_thrice() -> None:
        for _ in range(3):
            rebuild(replicated.turnstile, ORDERS)

    rebuilding = threading.Thread(target=rebuild_thrice)
    rebuilding.start()
    answers = [replicated.send("GET", path)]
    while rebuilding.is_alive() or table_of_orders(replica) != table_of_orders(primary):
        answers.append(replicated.send("GET", path))
    answers.append(replicated.send("GET", path))
    assert before != table_of_orders(replica)
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, answers[0].text)}


def table_of_orders(engine: Engine) -> int:
    """The table behind the name, which every rebuild replaces."""
    found = run(engine, "SELECT 'orders'::regclass::oid")
    assert isinstance(found, int)
    return found


def test_a_query_that_replay_cancels_is_asked_again(replicated: BoxOffice, order: Json):
    def dawdle(connection: Connection) -> None:
        """Swap the table away that this transaction has read, which replay cannot then go past."""
        rebuild(replicated.turnstile, ORDERS)
        connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": PATIENCE})

    with disturbed(for_queries(replicated.turnstile.readers), dawdle, times=1) as errors:
        answer = replicated.send("GET", f"/api/v1/orders/{order['id']}")
    assert answer.status_code == 200, answer.text
    assert ["due to conflict with recovery" in str(error) for error in errors] == [True]


@pytest.mark.parametrize(
    ("times", "status"), [(reading.ATTEMPTS - 1, 200), (reading.ATTEMPTS, 503)]
)
def test_a_query_that_loses_its_connection_is_asked_again_but_not_for_ever(
    replicated: BoxOffice, order: Json, times: int, status: int
):
    def end(connection: Connection) -> None:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with disturbed(for_queries(replicated.turnstile.readers), end, times) as errors:
        answer = replicated.send("GET", f"/api/v1/orders/{order['id']}")
    assert len(errors) == times
    assert answer.status_code == status, answer.text


# A replica that is down, or is none


def test_when_the_replica_goes_down_queries_say_so_and_sales_go_on():
    with running_pair() as servers, box_office(migrated(servers)) as office:
        order = order_at_replica(office)
        servers[1].stop()
        for path in ("/api/v1/events", f"/api/v1/orders/{order['id']}/history"):
            for answer in (office.send("GET", path), seen(office, path, order)):
                assert answer.status_code == 503
                assert answer.json["type"] == "/problems/replica-unavailable"
                assert int(answer.headers["Retry-After"]) > 0
        event = office.event()
        assert office.scan(event, ticket_id=event["id"])["reason"] == "invalid"
        assert office.order(event, office.customer())["status"] == "placed"
        assert office.send("GET", "/api/v1/projections").status_code == 200
        ready = office.send("GET", "/health/ready")
        assert ready.status_code == 200
        assert ready.json["checks"]["replica"] == {
            "status": "warning",
            "detail": "It does not answer.",
        }


def test_when_the_primary_goes_down_queries_go_on(
    replicated: BoxOffice, order: Json, settings: Settings
):
    nobody_there = make_url(settings.database_url).set(port=1).render_as_string()
    turnstile = compose(replace(settings, database_url=nobody_there))
    office = BoxOffice(turnstile, replicated.credentials)
    assert seen(office, f"/api/v1/orders/{order['id']}", order).json["status"] == "paid"
    ada = {"name": "Ada Lovelace", "email": "ada@example.org", "country": "GB"}
    assert office.send("POST", "/api/v1/customers", json=ada).status_code == 503
    assert office.send("GET", "/health/ready").status_code == 503
    turnstile.close()


def test_readiness_tells_how_far_the_replica_is_behind(replicated: BoxOffice, order: Json):
    def said() -> Any:
        return replicated.send("GET", "/health/ready").json["checks"]["replica"]

    eventually(
        lambda: said() == {"status": "ok", "detail": f"At position {order['position']}, 0 behind."}
    )
    with replay_paused(replicated.turnstile.readers):
        replicated.customer()
        assert said() == {"status": "ok", "detail": f"At position {order['position']}, 1 behind."}


def test_a_process_with_another_box_offices_database_is_not_ready(
    replicated: BoxOffice, order: Json, migrated_postgres_url: str
):
    other = compose(Settings(migrated_postgres_url))
    BoxOffice(other).customer()
    mistaken = replace(replicated.turnstile, readers=other.engine)
    answer = BoxOffice(mistaken).send("GET", "/health/ready")
    assert answer.status_code == 503
    assert answer.json["checks"]["replica"]["status"] == "error"
    other.close()


def test_a_replica_is_optional_and_postgresql():
    environment = {"DATABASE_URL": "postgresql://primary/turnstile", "READ_DATABASE_URL": ""}
    alone = compose(Settings.from_environment(environment))
    assert alone.readers is alone.engine
    environment["READ_DATABASE_URL"] = "postgresql://replica/turnstile"
    assert compose(Settings.from_environment(environment)).readers.url.host == "replica"
    for wrong in ({"DATABASE_URL": "sqlite:///box.db"}, {"READ_DATABASE_URL": "sqlite:///box.db"}):
        with pytest.raises(ValueError, match="READ_DATABASE_URL"):
            compose(Settings.from_environment(environment | wrong))
