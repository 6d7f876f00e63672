"""What the commands have in common: options, a box office to work on, and what they show."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click
import redis
import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import SQLAlchemyError

import migrations
from application import jobs
from application.backup import CannotImport
from application.checkpoints import Unsigned
from application.composition import Turnstile, compose
from application.import_lines import Names
from application.key_backup import CannotImportKeys
from application.logs import configure_logs
from application.proofs import NotProven
from application.runtime import collect_rarely
from application.settings import Settings
from application.store.chain import LogAltered
from application.store.group_commit import StoreUnavailable
from application.store.mapper import Undecodable
from application.store.sealing import SealBroken, require_master_key
from application.store.vault import WrongMasterKey
from domain.errors import DomainError
from web.cli import printing

FOLLOW_SECONDS = 0.2
BEGUN_SECONDS = 10.0
"""After which a job that nobody has begun is worth a word."""
NOBODY_BEGINS = "No worker has begun: does 'turnstile work' run, with this REDIS_URL?"
PORT = click.IntRange(1, 65_535)

err = Console(stderr=True)
logger = structlog.get_logger(__name__)

Found = TypeVar("Found")
AnyCommand = Callable[..., None]

source = click.option("--source", help="ID is a reference of the system imported under this name.")
on_workers = click.option(
    "--on-workers", is_flag=True, help="Let 'turnstile work' do it, and follow it."
)


def as_json(says: str = "Print JSON.") -> Callable[[AnyCommand], AnyCommand]:
    """The option `--json` of a command, which is to `show` what it found."""
    return click.option("--json", "as_json", is_flag=True, help=says)


def show(found: Found, as_json: bool, in_words: Callable[[Found], object]) -> None:
    """Print what was found as JSON, or let `in_words` print it."""
    if as_json:
        click.echo(printing.json_text(found))
    else:
        in_words(found)


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
        if as_stored and not migrate:
            _require_file(turnstile)
        _prepare(turnstile, migrate or turnstile.settings.embedded)
        if not as_stored:
            with turnstile.engine.connect() as connection:
                require_master_key(connection)
        yield turnstile
    except (WrongMasterKey, SealBroken, Undecodable, migrations.LaterDatabase) as error:
        raise click.ClickException(str(error)) from None
    except DomainError as error:
        raise click.ClickException(error.detail) from None
    except (SQLAlchemyError, StoreUnavailable) as error:
        reason = str(getattr(error, "orig", error)).strip()
        raise click.ClickException(f"The database does not answer: {reason}") from error
    except redis.RedisError as error:
        raise click.ClickException(f"Redis does not answer: {error}") from error
    finally:
        turnstile.close()


def _require_file(turnstile: Turnstile) -> None:
    """An empty log, made by the question for it, would be taken for the answer."""
    file = turnstile.engine.url.database
    if turnstile.settings.embedded and file and not Path(file).exists():
        raise click.ClickException(
            f"There is no database {file}; DATABASE_URL names the one to use."
        )


def _prepare(turnstile: Turnstile, migrate: bool) -> None:
    if migrate:
        migrations.upgrade(turnstile.engine)
        return
    migrations.require_known(turnstile.engine)
    if not migrations.is_current(turnstile.engine):
        raise click.ClickException(
            "The database is not at this version; run 'turnstile migrate' first."
        )


@contextmanager
def explained() -> Iterator[None]:
    """What does not fit ends the command with a plain message."""
    try:
        yield
    except (LogAltered, Unsigned, NotProven, CannotImport, CannotImportKeys, OSError) as error:
        raise click.ClickException(str(error)) from None


def require_redis(turnstile: Turnstile) -> None:
    """Without it no job reaches 'turnstile work'."""
    if turnstile.settings.redis_url is None:
        raise click.ClickException("Jobs come over Redis: set REDIS_URL.")


def require_answering_redis(turnstile: Turnstile) -> None:
    """Before jobs are asked for, which would be done some day, though the command failed."""
    require_redis(turnstile)
    with redis.Redis.from_url(str(turnstile.settings.redis_url)) as client:
        client.ping()


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


def follow(turnstile: Turnstile, wanted: dict[str, UUID]) -> None:
    """Show how far jobs are until all have ended, and what came of each; ids by title. Ctrl-C ends
    the showing only."""
    try:
        ended = _ends(turnstile, wanted)
    except KeyboardInterrupt:
        err.print("It goes on without you: the workers do what they were asked for.")
        raise click.Abort from None
    for title, job in ended.items():
        click.echo(f"{title}: {job['outcome']}")
    if any(job["state"] == jobs.FAILED for job in ended.values()):
        raise click.ClickException("Not every job succeeded.")


def _ends(turnstile: Turnstile, wanted: dict[str, UUID]) -> dict[str, dict[str, Any]]:
    ended: dict[str, dict[str, Any]] = {}
    impatient = time.monotonic() + BEGUN_SECONDS
    with progress_bar() as bar:
        tasks = {title: bar.add_task(title, total=1) for title in wanted}
        while len(ended) < len(wanted):
            time.sleep(FOLLOW_SECONDS)
            with turnstile.engine.connect() as connection:
                found = {title: jobs.job(connection, job_id) for title, job_id in wanted.items()}
            for title, job in found.items():
                assert job is not None, "It was just asked for."  # nosec B101 # a bug if not
                bar.update(tasks[title], completed=job["done"], total=job["total"] or 1)
                if job["finished_at"] is not None:
                    ended[title] = job
            states = {job["state"] for job in found.values() if job is not None}
            if states == {jobs.WAITING} and time.monotonic() > impatient:
                bar.console.print(NOBODY_BEGINS)
                impatient = float("inf")
    return ended


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise click.ClickException(
            f"{text!r} is not an id. For another system's reference, add --source."
        ) from None
