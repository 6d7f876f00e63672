"""The commands about read models: how far they are, building them again, and what is parked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from application.composition import Turnstile
from projections.engine import comparing
from projections.engine.parking import waiting_streams
from projections.engine.read_model import ReadModel
from projections.engine.rebuild import RebuildFailed, compare, rebuild
from projections.engine.retrying import retry
from projections.engine.shadow import RebuildRuns
from projections.engine.status import status
from projections.registry import READ_MODELS
from web.cli import printing
from web.cli.console import (
    as_json,
    box_office,
    follow,
    on_workers,
    progress,
    require_answering_redis,
    show,
)
from workers.jobs import COMPARE, REBUILD, request_rebuilds


@click.command("status")
@as_json()
def status_(as_json: bool) -> None:
    """Show how far each read model is, and what is parked."""
    with box_office(as_stored=True) as turnstile, turnstile.engine.connect() as connection:
        models = status(connection)
    show(models, as_json, printing.status_table)


@click.command("rebuild")
@click.argument("names", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only compare with the live ones, and leave them.")
@on_workers
def rebuild_(names: tuple[str, ...], dry_run: bool, on_workers: bool) -> None:
    """Build read models (all, or those of these NAMES) again from the log, and swap them in.

    Before the swap each is compared with the live one, row by row; what was found is printed
    and kept. Queries and the live projector go on meanwhile. With --on-workers, all processes
    that work on jobs share them.
    """
    models = _read_models(names)
    with box_office() as turnstile:
        if on_workers:
            require_answering_redis(turnstile)
            kind = COMPARE if dry_run else REBUILD
            follow(turnstile, request_rebuilds(turnstile, models, kind))
            return
        for model in models:
            (_compare_one if dry_run else _rebuild_one)(turnstile, model)


@click.command()
@click.argument("name", required=False)
@as_json()
def compared(name: str | None, as_json: bool) -> None:
    """Show what rebuilds and dry runs found in the live rows (of all, or of the one NAME)."""
    wanted = _read_models([name])[0].name if name else None
    with box_office(as_stored=True) as turnstile, turnstile.engine.connect() as connection:
        found = comparing.kept(connection, wanted)
    show(found, as_json, printing.comparisons)


@click.command()
@click.argument("name", required=False)
@as_json()
def parked(name: str | None, as_json: bool) -> None:
    """Show the streams that wait (for all read models, or for the one NAME), and why."""
    models = _read_models([name] if name else [])
    with box_office(as_stored=True) as turnstile, turnstile.engine.connect() as connection:
        waiting = waiting_streams(connection, [model.name for model in models])
    show(waiting, as_json, printing.waiting)


@click.command("retry")
@click.argument("name")
def retry_(name: str) -> None:
    """Let the read model NAME take what was parked for it, in order.

    A stream goes on waiting from the first event that fails again. The live projector may run.
    """
    (model,) = _read_models([name])
    with box_office() as turnstile:
        done = retry(turnstile, model)
    click.echo(f"{name}: {done.taken:,} parked events taken")
    if done.waiting_events:
        raise click.ClickException(
            f"{done.waiting_events:,} events of {done.waiting_streams:,} streams wait still; "
            f"'turnstile parked {name}' shows why."
        )


COMMANDS = (status_, rebuild_, compared, parked, retry_)


def _rebuild_one(turnstile: Turnstile, model: ReadModel) -> None:
    with _progress_of_rebuild(model) as advance:
        rebuilt = rebuild(turnstile, model, advance)
    click.echo(f"{model.name}: {rebuilt.rows:,} rows at position {rebuilt.position:,}")
    printing.comparison(rebuilt.comparison)


def _compare_one(turnstile: Turnstile, model: ReadModel) -> None:
    with _progress_of_rebuild(model) as advance:
        found = compare(turnstile, model, advance)
    click.echo(f"{model.name}: dry run, the live rows are left as they are")
    printing.comparison(found)


@contextmanager
def _progress_of_rebuild(model: ReadModel) -> Iterator[Any]:
    try:
        with progress(model.name, 1) as advance:
            yield advance
    except (RebuildFailed, RebuildRuns) as error:
        raise click.ClickException(str(error)) from None


def _read_models(names: Sequence[str]) -> list[ReadModel]:
    """Those of these names, or all; an unknown one ends the command."""
    unknown = set(names) - {model.name for model in READ_MODELS}
    if unknown:
        known = ", ".join(model.name for model in READ_MODELS)
        wrong = ", ".join(sorted(unknown))
        raise click.ClickException(f"No read model {wrong}; there are: {known}.")
    return [model for model in READ_MODELS if not names or model.name in names]
