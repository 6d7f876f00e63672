"""The servers under the tests: where they come from, and that no test sees another's data."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from tests import services
from tests.conftest import PostgresTemplate
from tests.services import Service, ServiceUnavailable

ROOT = Path(__file__).parents[1]
NOWHERE = "postgresql://postgres@127.0.0.1:1/postgres"
EMBEDDED = Service("embedded", "embedded")

Answering = Callable[..., None]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Makes the servers at these URLs, and no others, seem to answer."""

    def answer(*urls: str) -> None:
        def fault(url: str) -> str | None:
            return None if url in urls else "connection refused"

        monkeypatch.setattr(services, "postgres_fault", fault)
        monkeypatch.setattr(services, "redis_fault", fault)

    monkeypatch.setattr(services, "start_postgres", lambda: EMBEDDED)
    monkeypatch.setattr(services, "start_valkey", lambda: EMBEDDED)
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    return answer


LOCAL_POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"
LOCAL_POSTGRES_OF_USER = "postgresql://ada@127.0.0.1:5432/postgres"
LOCAL_REDIS = "redis://127.0.0.1:6379/0"


def test_a_given_server_is_preferred_to_a_local_one(answering: Answering):
    answering("postgresql://given/db", "redis://given", LOCAL_POSTGRES, LOCAL_REDIS)
    given = {"TEST_DATABASE_URL": "postgresql://given/db", "TEST_REDIS_URL": "redis://given"}
    assert services.find_postgres(given) == Service("postgresql://given/db", "given")
    assert services.find_redis(given) == Service("redis://given", "given")


def test_a_given_server_that_does_not_answer_is_not_replaced(answering: Answering):
    answering(LOCAL_POSTGRES, LOCAL_REDIS)
    with pytest.raises(ServiceUnavailable, match=r"TEST_DATABASE_URL.*connection refused"):
        services.find_postgres({"TEST_DATABASE_URL": "postgresql://given/db"})
    with pytest.raises(ServiceUnavailable, match=r"TEST_REDIS_URL.*connection refused"):
        services.find_redis({"TEST_REDIS_URL": "redis://given"})


def test_a_local_server_is_preferred_to_an_embedded_one(answering: Answering):
    answering(LOCAL_POSTGRES, LOCAL_POSTGRES_OF_USER, LOCAL_REDIS)
    assert services.find_postgres({}) == Service(LOCAL_POSTGRES, "local")
    assert services.find_redis({}) == Service(LOCAL_REDIS, "local")


def test_a_local_postgres_is_entered_as_the_current_user_where_postgres_may_not(
    answering: Answering,
):
    answering(LOCAL_POSTGRES_OF_USER)
    assert services.find_postgres({}) == Service(LOCAL_POSTGRES_OF_USER, "local")


def test_without_any_server_one_is_started(answering: Answering):
    answering()
    assert services.find_postgres({}) is EMBEDDED
    assert services.find_redis({}) is EMBEDDED


@pytest.mark.parametrize("forced", [True, False])
def test_an_embedded_server_can_be_forced(answering: Answering, forced: bool):
    answering("postgresql://given/db", LOCAL_POSTGRES, LOCAL_REDIS)
    environ = {"TURNSTILE_TEST_EMBEDDED": str(int(forced))}
    given = environ | {"TEST_DATABASE_URL": "postgresql://given/db"}
    assert services.find_postgres(given).origin == ("embedded" if forced else "given")
    assert services.find_redis(environ).origin == ("embedded" if forced else "local")


def test_a_machine_that_can_have_no_server_is_told_what_to_do(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
):
    def start() -> Service:
        raise ServiceUnavailable("no space left")

    answering()
    monkeypatch.setattr(services, "start_postgres", start)
    with pytest.raises(ServiceUnavailable, match=r"set TEST_DATABASE_URL.*no space left"):
        services.find_postgres({})


def test_a_server_that_cannot_be_reached_is_at_fault():
    assert "Connection refused" in (services.postgres_fault(NOWHERE) or "")
    assert services.postgres_fault("no URL at all")
    assert "Connection refused" in (services.redis_fault("redis://127.0.0.1:1/0") or "")


@pytest.mark.parametrize(
    ("start", "fault"),
    [
        (services.start_postgres, services.postgres_fault),
        (services.start_valkey, services.redis_fault),
    ],
    ids=["postgres", "redis"],
)
def test_an_embedded_server_answers_until_it_is_stopped(
    start: Callable[[], Service],
    fault: Callable[[str], str | None],
    monkeypatch: pytest.MonkeyPatch,
):
    # Not under tmp_path, which only the current user may enter.
    folder = services.temporary_folder()
    monkeypatch.setattr(services, "temporary_folder", lambda: folder)
    service = start()
    assert fault(service.url) is None
    service.stop()
    assert fault(service.url)
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_postgres_of_our_own_has_what_it_acknowledged_when_it_is_started_again(number: int):
    server = services.start_own_postgres()
    try:
        url = services.create_database(server.url, "turnstile_test")
        assert make_table_and_count(url) == 1
        server.end(number)
        assert services.postgres_fault(server.url)
        server.start()
        assert run(url, "SELECT count(*) FROM seat") == 1
    finally:
        server.remove()
    assert not server.folder.exists()


@pytest.mark.parametrize("nth", [1, 2])
def test_a_database_is_empty_in_every_test(database_url: str, nth: int):
    assert make_table_and_count(database_url) == 1


def make_table_and_count(url: str) -> int:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE seat (n int)"))
        connection.execute(text("INSERT INTO seat VALUES (1)"))
        seats = connection.scalar(text("SELECT count(*) FROM seat"))
    engine.dispose()
    assert isinstance(seats, int)
    return seats


def test_a_dropped_database_is_gone_though_connections_were_left_open(postgres_server: str):
    url = services.create_database(postgres_server, "turnstile_test")
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect():
        services.drop_database(postgres_server, url)
    with pytest.raises(OperationalError, match="does not exist"):
        engine.connect()


def test_copies_of_a_template_have_its_tables_and_not_each_others_rows(
    postgres_template: PostgresTemplate,
):
    prepared: list[str] = []

    def prepare(url: str) -> None:
        prepared.append(url)
        make_table_and_count(url)

    first = postgres_template("seats", prepare)
    second = postgres_template("seats", prepare)
    run(first, "INSERT INTO seat VALUES (2)")
    assert run(first, "SELECT count(*) FROM seat") == 2
    assert run(second, "SELECT count(*) FROM seat") == 1
    assert len(prepared) == 1


def run(url: str, statement: str) -> object:
    engine = create_engine(url)
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        value = result.scalar() if result.returns_rows else None
    engine.dispose()
    return value


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.mark.parametrize("nth", [1, 2])
def test_a_redis_database_is_empty_in_every_test(redis_client: redis.Redis, nth: int):
    assert redis_client.dbsize() == 0
    redis_client.set("gate", nth)


def test_a_redis_database_is_claimed_once_and_never_the_default_one(redis_url: str):
    with services.claimed_redis_database(redis_url) as other:
        assert other not in {redis_url, services.redis_database_url(redis_url, 0)}
        assert redis_url != services.redis_database_url(redis_url, 0)


def test_a_redis_database_that_somebody_filled_is_left_alone(redis_url: str):
    with services.claimed_redis_database(redis_url) as free:
        pass
    with redis.Redis.from_url(free) as somebody:
        somebody.set("theirs", 1)
    try:
        with services.claimed_redis_database(redis_url) as ours:
            assert ours != free
        with redis.Redis.from_url(free) as somebody:
            assert somebody.get("theirs") == b"1"
    finally:
        services.flush_redis(free)


def test_what_a_killed_test_run_left_in_redis_is_removed(redis_url: str):
    left = claim_and_die(redis_url)
    with services.claimed_redis_database(redis_url) as url, redis.Redis.from_url(url) as client:
        assert url == left
        assert client.dbsize() == 0


def claim_and_die(server: str) -> str:
    """In a process of its own, since only its end gives up the claim."""
    script = (
        "import os, sys, redis; from tests import services\n"
        "with services.claimed_redis_database(sys.argv[1]) as url:\n"
        "    redis.Redis.from_url(url).set('ours', 1); print(url, flush=True); os._exit(9)"
    )
    command = [sys.executable, "-c", script, server]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 9, result.stderr
    return result.stdout.strip()
