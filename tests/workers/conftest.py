"""A festival with all its read models, imported once per process and copied for every test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from application.composition import Turnstile
from tests.conftest import PostgresTemplate
from tests.workers.festival import box_office, import_record


@pytest.fixture
def turnstile(database_url: str) -> Iterator[Turnstile]:
    """A box office on an empty database."""
    with box_office(database_url) as turnstile:
        yield turnstile


@pytest.fixture
def postgres_festival(postgres_template: PostgresTemplate) -> str:
    """The URL of a PostgreSQL database that holds the festival."""
    return postgres_template("festival", import_record)


@pytest.fixture(scope="session")
def festival_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("festival") / "turnstile.db"
    import_record(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_festival(festival_file: Path, tmp_path: Path) -> str:
    """The URL of an SQLite file that holds the festival."""
    return f"sqlite:///{shutil.copy(festival_file, tmp_path / 'festival.db')}"


# One process runs all tests of a database, so that the festival is imported into it only once.
@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.xdist_group(f"{name}_festival"))
        for name in ("sqlite", "postgres")
    ]
)
def festival_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database that holds the festival, with every read model at the log's end."""
    url = request.getfixturevalue(f"{request.param}_festival")
    assert isinstance(url, str)
    return url


@pytest.fixture
def festival(festival_url: str) -> Iterator[Turnstile]:
    """A box office on that database."""
    with box_office(festival_url) as turnstile:
        yield turnstile
