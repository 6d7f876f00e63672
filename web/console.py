"""What the commands have in common: the box office they work on, ids, and progress."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import click
import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import SQLAlchemyError

import migrations
from application.composition import Turnstile, compose
from application.importing import Names
from application.logs import configure_logs
from application.runtime import collect_rarely
from application.settings import Settings
from application.store.group_commit import StoreUnavailable
from application.store.mapper import Undecodable
from application.store.sealing import SealBroken, require_master_key
from application.store.vault import WrongMasterKey
from domain.errors import DomainError

err = Console(stderr=True)
logger = structlog.get_logger(__name__)


@contextmanager
def box_office(*, migrate: bool = False, as_stored: bool = False) -> Iterator[Turnstile]:
    """This process's box office; what is wrong with it ends the command with a plain message.

    Whoever takes the log `as_stored` opens nothing in it, and needs no secrets.
    """
    configure_logs()
    collect_rarely()
    try:
        settings = Settings.from_environment()
        if not as_stored:
            settings.require_secrets()
        turnstile = compose(settings)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    try:
        _prepare(turnstile, migrate or turnstile.settings.embedded)
        if not as_stored:
            with turnstile.engine.connect() as connection:
                require_master_key(connection)
        yield turnstile
    except (WrongMasterKey, SealBroken, Undecodable) as error:
        raise click.ClickException(str(error)) from None
    except DomainError as error:
        raise click.ClickException(error.detail) from None
    except (SQLAlchemyError, StoreUnavailable) as error:
        reason = str(getattr(error, "orig", error)).strip()
        raise click.ClickException(f"The database does not answer: {reason}") from error
    finally:
        turnstile.close()


def _prepare(turnstile: Turnstile, migrate: bool) -> None:
    if migrate:
        migrations.upgrade(turnstile.engine)
    elif not migrations.is_current(turnstile.engine):
        raise click.ClickException(
            "The database is not at this version; run 'turnstile migrate' first."
        )


def warn_of_development_secrets(settings: Settings) -> None:
    """Say once that whoever knows the source can read what is sealed and sign what is trusted."""
    if settings.development_secrets:
        logger.warning(
            "secrets.for_development_only",
            variables=settings.development_secrets,
            remedy="'turnstile new-key' makes keys; set them before there is anything to protect",
        )


def aggregate_id_of(kind: str, reference: str, source: str | None) -> UUID:
    """The id that is meant: `reference` itself, or by that name in the system `source`."""
    return Names(source).id(kind, reference) if source else _uuid(reference)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error; what this gives is told how much is done, of how much."""
    with progress_bar() as bar:
        task = bar.add_task(title, total=total)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


def progress_bar() -> Progress:
    """A bar on standard error for each task that is added to it."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
    )


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise click.ClickException(
            f"{text!r} is not an id. For another system's reference, add --source."
        ) from None
