"""Fresh databases, and the processes of a deployment, for the length of a benchmark."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen
from uuid import uuid4

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

import migrations
from application.access import api_keys
from application.access.identity import SCOPES, SERVICE
from application.composition import Turnstile, compose
from application.settings import Settings
from application.store import log
from application.store.database import open_engine
from benchmarks.load import Server
from projections.engine.waiting import wait_for
from projections.registry import READ_MODELS

START_SECONDS, CATCH_UP_SECONDS = 30.0, 120.0
DEPLOYED = Settings().web_processes
"""Web processes unless somebody says otherwise: one for each processor, at most four."""


def server_url() -> str:
    """The PostgreSQL server to measure: TEST_DATABASE_URL, or the local one."""
    return os.environ.get("TEST_DATABASE_URL", "postgresql+psycopg2://postgres@127.0.0.1/postgres")


@contextmanager
def fresh_database() -> Iterator[str]:
    """The URL of a new, migrated database, dropped afterwards."""
    url = make_url(server_url())
    name = f"turnstile_bench_{uuid4().hex[:10]}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    own = url.set(database=name).render_as_string(hide_password=False)
    engine = open_engine(own)
    migrations.upgrade(engine)
    engine.dispose()
    try:
        yield own
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@contextmanager
def box_office(database_url: str) -> Iterator[Turnstile]:
    """A box office of this process."""
    turnstile = compose(Settings(database_url=database_url))
    try:
        yield turnstile
    finally:
        turnstile.close()


def service_key(turnstile: Turnstile) -> str:
    """The secret of a new key, of a service that may do whatever a service may."""
    with turnstile.access.changing() as connection:
        _, secret = api_keys.create(
            connection, name="benchmarks", role=SERVICE, created_by="benchmarks", scopes=SCOPES
        )
    return secret


@contextmanager
def web(database_url: str, processes: int = 1) -> Iterator[Server]:
    """`turnstile serve` and `turnstile project`, as deployed; where they are, and a key to them.

    The read models have taken what was there before: it is no part of what is measured.
    """
    with box_office(database_url) as turnstile:
        secret = service_key(turnstile)
        port = _free_port()
        deployed = {"PORT": str(port), "WEB_PROCESSES": str(processes)}
        environment = {"DATABASE_URL": database_url, **deployed}
        with running("serve", environment), running("project", environment):
            _await_ready(port)
            await_caught_up(turnstile)
            yield Server(port, secret)


@contextmanager
def running(part: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`turnstile PART` in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "web", part],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def await_caught_up(turnstile: Turnstile) -> None:
    """Return once a projector has brought all read models to the end of the log."""
    with turnstile.engine.connect() as connection:
        position = log.read_head(connection)
    for model in READ_MODELS:
        if not wait_for(turnstile, model.name, position, CATCH_UP_SECONDS):
            raise TimeoutError(f"{model.name} has not reached position {position}.")


def postgres_program(name: str) -> str:
    """The path of a program that comes with PostgreSQL, like pgbench."""
    found = shutil.which(name)
    if found:
        return found
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / name).exists():
            return str(folder / name)
    raise FileNotFoundError(f"This benchmark needs {name}, of PostgreSQL's own programs.")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _await_ready(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health/live", timeout=1):
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise TimeoutError(f"Nothing answers on port {port}.")
