"""A request is named in its log lines, in its SQL, and in the jobs that it asks for."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import structlog
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from application import tracing
from application.store.database import for_queries, open_engine
from projections.open_holds import OPEN_HOLDS
from tests.web.conftest import BoxOffice
from tests.workers.processes import eventually
from web import metering, problems
from workers import jobs
from workers.jobs import jobs_of

SECRET = "token-that-nobody-may-see"

Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """What was logged, with the ids that the processor of `configure_logs` adds."""
    for module in (metering, problems, jobs):  # their own may be bound to an earlier test's logs
        monkeypatch.setattr(module, "logger", structlog.get_logger())
    with capture_logs(processors=[tracing.add_request_id]) as lines:
        yield lines


def requests(lines: Lines) -> Lines:
    return [line for line in lines if line["event"] == "web.request"]


def logging_all(office: BoxOffice) -> BoxOffice:
    there = office.turnstile
    return BoxOffice(replace(there, settings=replace(there.settings, access_log=True)))


# Lines


def test_a_request_is_logged_by_route_and_without_what_is_secret(office: BoxOffice, lines: Lines):
    customer = office.customer()
    office.catch_up()
    asked = logging_all(office)
    asked.send(
        "GET",
        f"/api/v1/customers/{customer['id']}?token={SECRET}",
        headers={"X-Request-ID": "r-1"},
    )
    (line,) = requests(lines)
    assert line["route"] == "/api/v1/customers/<uuid:customer_id>"
    assert (line["method"], line["status"], line["request_id"]) == ("GET", 200, "r-1")
    assert 0 < line["milliseconds"] < 10_000
    assert SECRET not in repr(lines)
    assert asked.credentials["Authorization"].split()[1] not in repr(lines)
    assert customer["id"] not in repr(lines)


def test_unless_asked_for_only_who_was_kept_out_or_waited_long_is_logged(
    office: BoxOffice, lines: Lines, monkeypatch: pytest.MonkeyPatch
):
    office.send("GET", "/health/live")
    assert requests(lines) == []
    office.send("GET", "/nowhere/at/all")
    assert requests(lines) == []
    office.send("GET", "/nowhere/at/all", headers={"Authorization": "Bearer nonsense"})
    assert [(line["status"], line["route"]) for line in requests(lines)] == [(401, "none")]
    monkeypatch.setattr(metering, "SLOW_SECONDS", 0.0)
    office.send("GET", "/health/live")
    assert (requests(lines)[1]["status"], requests(lines)[1]["log_level"]) == (200, "warning")


def test_a_failure_is_logged_under_the_id_that_its_caller_is_told(
    office: BoxOffice, lines: Lines, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(office.app.view_functions, "health.live", lambda: 1 / 0)
    problem = office.send("GET", "/health/live")
    named = {line["event"]: line["request_id"] for line in lines}
    assert named == dict.fromkeys(("web.failed", "web.request"), problem.json["request_id"])


def test_after_a_request_the_thread_works_for_nobody(office: BoxOffice):
    office.send("GET", "/health/live", headers={"X-Request-ID": "r-2"})
    assert tracing.request_id() == ""


@contextmanager
def working_for(request_id: str) -> Iterator[None]:
    """Work for that request inside the block, and afterwards for nobody."""
    tracing.begin(request_id)
    try:
        yield
    finally:
        tracing.end()


def test_another_id_given_to_a_line_stays():
    with working_for("r-3"):
        assert tracing.add_request_id(None, "", {"request_id": "r-4"}) == {"request_id": "r-4"}
        assert tracing.add_request_id(None, "", {}) == {"request_id": "r-3"}
    assert tracing.add_request_id(None, "", {}) == {}


# SQL


@pytest.fixture
def postgres(migrated_postgres_url: str) -> Iterator[Engine]:
    engine = open_engine(migrated_postgres_url)
    yield for_queries(engine)
    engine.dispose()


def shown_statement(engine: Engine, request_id: str) -> str:
    """A statement for that request, as PostgreSQL shows it to an operator."""
    mine = text("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() AND 1 = :one")
    with engine.connect() as connection, working_for(request_id):
        return str(connection.execute(mine, {"one": 1}).scalar_one())


def test_a_statement_names_its_request(postgres: Engine):
    shown = shown_statement(postgres, "0190c3a0-1111-7000-8000-000000000001")
    assert shown.startswith("/*request_id='0190c3a0-1111-7000-8000-000000000001'*/ SELECT query")
    assert shown_statement(postgres, "").startswith("SELECT query")


@pytest.mark.parametrize(
    "hostile",
    [
        "*/;DROP/**/TABLE/**/events;--",
        "'||pg_sleep(9)||'",
        "%s%(one)s%%",
        "\\:one$$",
        "ä\u2028\n\x00",
    ],
)
def test_a_request_id_cannot_leave_its_comment(postgres: Engine, hostile: str):
    comment = shown_statement(postgres, hostile).split(" SELECT")[0]
    assert comment.startswith("/*request_id='")
    assert comment.endswith("'*/")
    inside = comment.removeprefix("/*request_id='").removesuffix("'*/")
    assert not set(inside) & set("*/'%\\\"\n\x00")


def test_what_a_request_does_to_the_database_is_named(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    office.send("GET", "/api/v1/projections")  # opens the connections, which have their own say
    said: list[str] = []
    dialect = for_queries(office.turnstile.engine).dialect
    cursor_of = dialect.do_execute

    def listen(cursor: Any, statement: str, *rest: Any) -> None:
        said.append(statement)
        cursor_of(cursor, statement, *rest)

    monkeypatch.setattr(dialect, "do_execute", listen)
    office.send("GET", "/api/v1/projections", headers={"X-Request-ID": "r-5"})
    if office.turnstile.settings.embedded:  # whose statements nobody watches
        assert not any("r-5" in statement for statement in said)
    else:
        assert said
        assert all(statement.startswith("/*request_id='r-5'*/ ") for statement in said)


# Jobs


def test_a_job_is_worked_on_in_the_name_of_the_request(office: BoxOffice, lines: Lines):
    asked = office.client.post(
        f"/api/v1/projections/{OPEN_HOLDS.name}/rebuild",
        json={"dry_run": True},
        headers={**office.credentials, "X-Request-ID": "r-6"},
    )
    assert asked.status_code == 202
    job_id = (asked.json or {})["id"]
    worker = jobs_of(office.turnstile).start_worker(1)
    try:
        ended = eventually(lambda: [line for line in lines if is_end_of(job_id, line)])
    finally:
        worker.stop()
    assert [line["request_id"] for line in ended] == ["r-6"]
    assert [line["job_id"] for line in lines if line["event"] == "job.requested"] == [job_id]


def is_end_of(job_id: str, line: MutableMapping[str, Any]) -> bool:
    """Other tests' jobs may still wait for a worker."""
    return (line["event"], line.get("job_id")) == ("job.ended", job_id)
