"""For those who run it: health, metrics, the pages of the API, and the server's own start."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import insert

import migrations
from application.composition import compose
from application.settings import Settings
from application.store.database import writing
from application.store.tables import checkpoints
from application.store.vault import WrongMasterKey
from tests.keys import bearer, service_key
from tests.services import end_sessions
from tests.web.conftest import BoxOffice
from tests.workers.festival import box_office
from web import wsgi


def test_it_is_alive_and_ready(office: BoxOffice):
    assert office.get("/health/live") == {"status": "ok"}
    ready = office.get("/health/ready")
    assert ready["status"] == "ok"
    assert set(ready["checks"]) == {"database", "projections"}


def test_it_is_not_ready_before_the_migrations(database_url: str):
    turnstile = compose(Settings(database_url=database_url))
    problem = BoxOffice(turnstile, {}).get("/health/ready", 503, caught_up=False)
    assert problem["checks"]["database"]["status"] == "error"
    turnstile.close()


def test_it_is_not_ready_without_its_database(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}"
    turnstile = compose(Settings(database_url=url))
    office = BoxOffice(turnstile, {})
    response = office.send("GET", "/health/ready")
    assert response.status_code == 503
    assert str(tmp_path) not in response.text
    assert office.get("/health/live", caught_up=False) == {"status": "ok"}
    assert office.send("GET", "/api/v1/events").status_code == 503
    turnstile.close()


def with_redis(office: BoxOffice, url: str) -> BoxOffice:
    there = office.turnstile
    return BoxOffice(replace(there, settings=replace(there.settings, redis_url=url)))


def test_a_redis_that_is_silent_takes_no_process_out(office: BoxOffice, redis_url: str):
    ready = with_redis(office, redis_url).get("/health/ready", caught_up=False)
    assert ready["checks"]["redis"]["status"] == "ok"
    gone = with_redis(office, "redis://127.0.0.1:1/0")
    warned = gone.get("/health/ready", caught_up=False)
    assert warned["checks"]["redis"] == {"status": "warning", "detail": "It does not answer."}


def test_who_asks_first_after_the_database_was_restarted_is_answered(migrated_postgres_url: str):
    url = migrated_postgres_url
    with box_office(url) as turnstile, box_office(url) as other:
        office = BoxOffice(turnstile, bearer(service_key(turnstile)))
        paths = ("/health/ready", "/api/v1/events", "/api/v1/projections")
        for sessions_ended in (False, True):
            if sessions_ended:
                assert end_sessions(other.engine, "true") > 0
            for path in paths:
                assert office.send("GET", path).status_code == 200, path


def test_metrics_are_exposed(office: BoxOffice):
    office.customer()
    metrics = office.send("GET", "/metrics")
    assert metrics.mimetype == "text/plain"
    assert 'turnstile_commands_total{name="register_customer",outcome="ok"}' in metrics.text
    assert 'endpoint="customers.register_customer",' in metrics.text


def test_a_forged_checkpoint_hides_no_other_metric(migrated_url: str):
    turnstile = compose(Settings(database_url=migrated_url))
    office = BoxOffice(turnstile)
    with writing(turnstile.engine) as connection:
        forged = {"hash": "00" * 32, "root": "00" * 32, "public_key": "00" * 32, "signature": "00"}
        taken = {"position": 7, "taken_at": datetime.now(UTC)}
        connection.execute(insert(checkpoints).values(**forged, **taken))
    metrics = office.send("GET", "/metrics")
    assert metrics.status_code == 200
    assert "turnstile_checkpoint_position 0.0" in metrics.text
    assert "turnstile_log_position 0.0" in metrics.text
    turnstile.close()


def test_parked_streams_are_among_the_metrics_of_several_processes(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    metrics = office.send("GET", "/metrics").text
    assert metrics.count('turnstile_parked_streams{read_model="orders"} ') == 1
    assert metrics.count('turnstile_parked_events{read_model="orders"} ') == 1
    assert list(tmp_path.iterdir()) == []


def test_metrics_of_the_process_are_exposed_without_its_database(database_url: str):
    turnstile = compose(Settings(database_url=database_url, metrics_token="for-Prometheus"))
    office = BoxOffice(turnstile, bearer("for-Prometheus"))
    metrics = office.send("GET", "/metrics")
    turnstile.close()
    assert metrics.status_code == 200
    assert "turnstile_http_seconds" in metrics.text
    assert "turnstile_parked" not in metrics.text


@pytest.mark.parametrize(("page", "script"), [("/docs", "swagger-ui-bundle"), ("/redoc", "redoc")])
def test_the_pages_of_the_api_need_nothing_from_elsewhere(
    office: BoxOffice, page: str, script: str
):
    text = office.send("GET", page).text
    assert "//" not in text.replace("<!doctype", "")
    sources = [part.split('"')[0] for part in text.split('src="')[1:]]
    assert any(script in source for source in sources)
    for source in sources:
        with office.send("GET", source) as script_file:
            assert len(script_file.data) > 100_000
    assert office.send("GET", "/docs/swagger/../../__init__.py").status_code == 404


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Flask]:
    """`served(url, NAME=value)` is what a WSGI server gets."""

    def start(url: str, **environment: str) -> Flask:
        monkeypatch.delenv("REDIS_URL", raising=False)
        monkeypatch.setattr(wsgi, "configure_logs", lambda: None)
        for name, value in {"DATABASE_URL": url, **environment}.items():
            monkeypatch.setenv(name, value)
        return wsgi.application()

    return start


def test_a_server_finds_its_application(served: Callable[..., Flask], sqlite_url: str):
    app = served(sqlite_url)
    turnstile = app.extensions["turnstile"]
    migrations.upgrade(turnstile.engine)
    assert app.test_client().get("/health/ready").status_code == 200
    turnstile.close()


@pytest.mark.parametrize("name", ["MASTER_KEY", "SECRET_KEY"])
def test_no_server_starts_on_a_secret_that_everybody_knows(served: Callable[..., Flask], name: str):
    with pytest.raises(ValueError, match=f"With PostgreSQL, set {name}"):
        served("postgresql://nobody@127.0.0.1:1/none", **{name: ""})


@pytest.mark.parametrize("ours", ["oldest", "newest"])
def test_no_server_starts_unless_the_oldest_and_the_newest_key_open(
    served: Callable[..., Flask], migrated_url: str, ours: str
):
    keys = ["ab" * 32, "cd" * 32]
    for key in keys if ours == "oldest" else reversed(keys):
        turnstile = compose(Settings(database_url=migrated_url, master_key=key))
        BoxOffice(turnstile).customer()
        turnstile.close()
    with pytest.raises(WrongMasterKey):
        served(migrated_url, MASTER_KEY=keys[0])
