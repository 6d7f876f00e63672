"""Statements that connections for batches prepare."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from application.store import prepared
from application.store.database import POOL_SIZE, Holder, for_batches
from application.store.prepared import execute
from tests.application.store.conftest import OpenEngine
from tests.workers.processes import eventually

ADD = "INSERT INTO things (id) VALUES (%s)"
COUNT = "SELECT count(*) FROM things WHERE id >= %s"


@pytest.fixture
def engine(postgres_url: str, open_database: OpenEngine) -> Engine:
    engine = open_database(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE things (id int PRIMARY KEY)"))
    return engine


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with for_batches(engine).connect() as connection:
        yield connection


def known_to_server(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) or 0)


def test_a_statement_is_prepared_once_and_gives_its_rows(connection: Connection) -> None:
    for number in range(3):
        assert execute(connection, [ADD, COUNT], [number, 1]) == [(number,)]
    assert known_to_server(connection) == 2
    assert execute(connection, ["BEGIN", "COMMIT"], []) == []


def test_a_connection_in_ordinary_use_prepares_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        assert execute(connection, [ADD, COUNT], [1, 1]) == [(1,)]
        assert known_to_server(connection) == 0
    with engine.connect() as connection:
        assert execute(connection, [COUNT], [0]) == [(1,)]


def test_after_a_failure_all_is_prepared_anew(connection: Connection) -> None:
    execute(connection, [ADD], [1])
    with pytest.raises(IntegrityError) as refused:
        execute(connection, [ADD, COUNT], [1, 0])
    assert "Key (id)" not in str(refused.value)
    assert execute(connection, [ADD, COUNT], [2, 0]) == [(2,)]
    assert known_to_server(connection) == 2


def test_what_was_prepared_outlives_an_undone_transaction(connection: Connection) -> None:
    execute(connection, ["BEGIN", ADD], [1])
    execute(connection, ["ROLLBACK"], [])
    assert execute(connection, [ADD, COUNT], [1, 0]) == [(1,)]


def test_a_table_that_takes_the_place_of_another_is_written_to(connection: Connection) -> None:
    execute(connection, [ADD], [1])
    for statement in (
        "CREATE TABLE newer (id int PRIMARY KEY)",
        "ALTER TABLE things RENAME TO older",
        "ALTER TABLE newer RENAME TO things",
        "DROP TABLE older",
    ):
        connection.execute(text(statement))
    assert execute(connection, [ADD, COUNT], [7, 0]) == [(1,)]


def test_no_connection_keeps_more_than_so_many(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "MOST", 5)
    for number in range(20):
        execute(connection, [f"SELECT %s::int + {number}"], [1])
        assert known_to_server(connection) <= 5
    assert execute(connection, ["SELECT %s::int"], [4]) == [(4,)]


def leave_open(engine: Engine) -> None:
    with Holder(engine).transaction() as connection:
        execute(connection, ["BEGIN", ADD], [1])


def test_a_transaction_that_was_left_open_is_undone_and_an_error(engine: Engine) -> None:
    with pytest.raises(RuntimeError, match="not ended"):
        leave_open(engine)
    with engine.connect() as connection:
        assert execute(connection, [COUNT], [0]) == [(0,)]


def test_threads_that_need_connections_at_once_share_them(engine: Engine) -> None:
    with ThreadPoolExecutor(16) as threads:
        assert len(set(threads.map(for_batches, [engine] * 64))) == 1


def leave_off(engine: Engine) -> None:
    with Holder(engine).transaction() as connection:
        execute(connection, ["BEGIN", ADD], [1])
        raise RuntimeError


def test_what_is_raised_while_holding_undoes_it(engine: Engine) -> None:
    with pytest.raises(RuntimeError):
        leave_off(engine)
    with engine.connect() as connection:
        assert execute(connection, [COUNT], [0]) == [(0,)]


def backend(holder: Holder) -> int:
    with holder.transaction() as connection:
        return int(execute(connection, ["SELECT pg_backend_pid()"], [])[0][0])


def test_a_connection_is_kept_until_something_goes_wrong(engine: Engine) -> None:
    holder = Holder(engine)
    kept = backend(holder)
    assert backend(holder) == kept
    assert for_batches(engine).pool.checkedout() == 1  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError), holder.transaction():
        raise RuntimeError
    assert backend(holder) != kept


def test_a_connection_goes_back_with_whoever_kept_it(engine: Engine) -> None:
    """Else those would soon wait in vain who come later."""
    assert len({backend(Holder(engine)) for _ in range(3 * POOL_SIZE)}) == 1


def test_a_connection_that_is_kept_ends_with_its_engine(engine: Engine) -> None:
    backend(Holder(engine))
    holder = Holder(engine)
    kept = backend(holder)
    engine.dispose()
    alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
    with engine.connect() as connection:
        assert eventually(lambda: execute(connection, [alive], [kept]) == [(0,)])
    assert backend(holder) != kept
