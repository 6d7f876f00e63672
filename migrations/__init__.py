"""The database's shape, step by step; `upgrade` brings any database to the latest."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, func, select

from application.store.database import writing

ADVISORY_LOCK = 7_488_417
"""Any number that nobody else locks in the same database."""


def configuration() -> Config:
    """Alembic's configuration, without a file: this folder is all it needs."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


class LaterDatabase(Exception):
    """The database has a migration that this version of the program does not bring."""


def upgrade(engine: Engine) -> None:
    """Apply every migration that `engine`'s database lacks, one process at a time.

    Raises `LaterDatabase`.
    """
    require_known(engine)
    config = configuration()
    with writing(engine) as connection:
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


def require_known(engine: Engine) -> None:
    """Raise `LaterDatabase` if a later version of the program has changed the database."""
    at = current(engine)
    if at is not None and at not in _known():
        raise LaterDatabase(
            f"The database is at migration {at}, and this version knows {latest()} at most: "
            "it belongs to a later version of Turnstile."
        )


@cache
def _known() -> frozenset[str]:
    scripts = ScriptDirectory.from_config(configuration())
    return frozenset(script.revision for script in scripts.walk_revisions())


@cache
def latest() -> str | None:
    """The last migration that this version of the program brings."""
    return ScriptDirectory.from_config(configuration()).get_current_head()
