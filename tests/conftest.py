"""Gives every test its own PostgreSQL database, SQLite file or Redis database."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

import migrations
from application.store import mapper
from application.store.database import open_engine
from tests import services

# A database now and then takes its time, which says nothing about the code.
settings.register_profile("turnstile", deadline=None, print_blob=True)
settings.register_profile("thorough", settings.get_profile("turnstile"), max_examples=2000)
settings.load_profile("turnstile")

# By default structlog prints every local variable with a traceback.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(),
    ]
)

SERVERS = {
    "TURNSTILE_TEST_POSTGRES": services.find_postgres,
    "TURNSTILE_TEST_REDIS": services.find_redis,
}

PostgresTemplate = Callable[[str, Callable[[str], None]], str]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Finds or starts the servers, before xdist starts the workers, which inherit the result."""
    os.environ.update(services.SECRETS)
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    try:
        for variable, find in SERVERS.items():
            service = find()
            config.add_cleanup(service.stop)
            os.environ[variable] = service.url
    except services.ServiceUnavailable as error:
        raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The URL of the server's own database; for making databases, not for tables."""
    return os.environ["TURNSTILE_TEST_POSTGRES"]


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database."""
    url = services.create_database(postgres_server, "turnstile_test")
    yield url
    services.drop_database(postgres_server, url)


@pytest.fixture(scope="session")
def postgres_templates(postgres_server: str) -> Iterator[dict[str, str]]:
    """The URLs of the templates that this process has prepared, by their names."""
    templates: dict[str, str] = {}
    yield templates
    for url in templates.values():
        services.drop_database(postgres_server, url)


@pytest.fixture
def postgres_template(
    postgres_server: str, postgres_templates: dict[str, str]
) -> Iterator[PostgresTemplate]:
    """`postgres_template(name, prepare)` is the URL of a new copy of a prepared database.

    `prepare(url)` fills the original, once per process and name, and closes its connections.
    """

    def copy(name: str, prepare: Callable[[str], None]) -> str:
        if name not in postgres_templates:
            postgres_templates[name] = services.create_template(postgres_server, prepare)
        template = services.database_name(postgres_templates[name])
        url = services.create_database(postgres_server, "turnstile_test", template)
        cleanup.callback(services.drop_database, postgres_server, url)
        return url

    with ExitStack() as cleanup:
        yield copy


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'turnstile.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a new, empty database: the test runs on SQLite, and again on PostgreSQL."""
    url = request.getfixturevalue(f"{request.param}_url")
    assert isinstance(url, str)
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def migrated_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database without data: the test runs on SQLite, then PostgreSQL."""
    url = request.getfixturevalue(f"migrated_{request.param}_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
def migrated_sqlite_url(migrated_sqlite_file: Path, tmp_path: Path) -> str:
    """The URL of a copy of a migrated SQLite file."""
    file = tmp_path / "turnstile.db"
    shutil.copyfile(migrated_sqlite_file, file)
    return f"sqlite:///{file}"


@pytest.fixture
def migrated_postgres_url(migrated_postgres: str) -> str:
    """The URL of a migrated PostgreSQL database, emptied."""
    services.empty_database(migrated_postgres)
    return migrated_postgres


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> Iterator[str]:
    """This process's migrated PostgreSQL database: emptying it is quicker than a new one."""
    url = services.create_database(postgres_server, "turnstile_test")
    _migrate(url)
    yield url
    services.drop_database(postgres_server, url)


@pytest.fixture(scope="session")
def migrated_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    file: Path = tmp_path_factory.mktemp("migrated") / "turnstile.db"
    _migrate(f"sqlite:///{file}")
    return file


def _migrate(url: str) -> None:
    engine = open_engine(url)
    migrations.upgrade(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def redis_database() -> Iterator[str]:
    """The URL of the Redis database that this process has for itself."""
    with services.claimed_redis_database(os.environ["TURNSTILE_TEST_REDIS"]) as url:
        yield url


@pytest.fixture
def redis_url(redis_database: str) -> Iterator[str]:
    """The URL of an empty Redis database."""
    yield redis_database
    services.flush_redis(redis_database)


@pytest.fixture
def changed_classes() -> Iterator[None]:
    """Forget after a test how the event classes that it changed are read."""
    yield
    mapper._codec.cache_clear()
