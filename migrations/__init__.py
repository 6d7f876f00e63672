"""The database's shape, step by step; `upgrade` brings any database to the latest."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, func, select

ADVISORY_LOCK = 7_488_417
"""Any number that nobody else locks in the same database."""


def configuration() -> Config:
    """Alembic's configuration, without a file: this folder is all it needs."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def upgrade(engine: Engine) -> None:
    """Apply every migration that `engine`'s database lacks, one process at a time."""
    config = configuration()
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(engine: Engine) -> bool:
    """Whether the database has every migration."""
    return current(engine) == latest()


def current(engine: Engine) -> str | None:
    """The migration that the database is at; None before the first."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


@cache
def latest() -> str | None:
    """The last migration that this version of the program brings."""
    return ScriptDirectory.from_config(configuration()).get_current_head()
