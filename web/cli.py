"""The `turnstile` command: run the box office, move in, replay, rebuild."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from application import jobs
from application.composition import Turnstile
from application.difference import Moment, difference
from application.history import KINDS, as_of, history
from application.importing import Importer, Refusal
from application.runtime import YOUNG_IN_WORKERS, collect_rarely
from projections.engine import comparing
from projections.engine.parking import waiting_streams
from projections.engine.projector import Projector
from projections.engine.read_model import ReadModel
from projections.engine.rebuild import RebuildFailed, RebuildRuns, compare, rebuild
from projections.engine.retrying import retry
from projections.engine.status import status
from projections.registry import READ_MODELS
from web import auditing, entrance, personal, printing, serving
from web.console import (
    aggregate_id_of,
    box_office,
    err,
    progress,
    progress_bar,
    warn_of_development_secrets,
)
from web.demo import demo
from web.exposition import SHARED_METRICS
from workers.jobs import COMPARE, REBUILD, request_import, request_rebuilds
from workers.supervisor import run_processes, run_threads, stopped_by_signals

FOLLOW_SECONDS = 0.2


class _Time(click.ParamType[datetime]):
    """A time in ISO 8601; without an offset it is UTC."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time like 2016-08-05T10:00:00Z.", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _VersionOrTime(_Time):
    """A version, or a time as above."""

    name = "version or time"

    def convert(  # type: ignore[override]
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Moment:
        text = str(value)
        return int(text) if text.isdecimal() else super().convert(value, param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="turnstile")
def main() -> None:
    """An event-sourced box office: it sells, transfers and admits tickets, and can prove it.

    The database is that of DATABASE_URL (default: the SQLite file turnstile.db here, with
    everything in one process). With PostgreSQL, set REDIS_URL as well, for the jobs.
    """


main.add_command(demo)
for _command in (*auditing.COMMANDS, *entrance.COMMANDS, *personal.COMMANDS):
    main.add_command(_command)


@main.command()
@click.option("--host", default=None, help="Address to listen on.  [HOST, default 127.0.0.1]")
@click.option("--port", type=int, default=None, help="Port to listen on.  [PORT, default 8000]")
def up(host: str | None, port: int | None) -> None:
    """Run everything: web, projector, reactor and jobs, under one supervisor.

    On SQLite all of them are threads of this process; on PostgreSQL (set REDIS_URL as well) each
    is a process of its own, which is started again if it dies.
    """
    _listen_on(host, port)
    with box_office(migrate=True) as turnstile, stopped_by_signals() as stop:
        _require_free_port(turnstile.settings.host, turnstile.settings.port)
        if not turnstile.settings.embedded:
            _require_redis(turnstile)
        warn_of_development_secrets(turnstile.settings)
        where = f"http://{turnstile.settings.host}:{turnstile.settings.port}"
        err.print(f"Turnstile is at [bold]{where}[/bold], its API described at {where}/docs")
        if turnstile.settings.embedded:
            run_threads(serving.embedded_parts(turnstile), stop)
        else:
            with serving.shared_metrics():
                run_processes([["serve"], ["project"], ["react"], ["work"]], stop)


@main.command()
@click.option("--host", default=None, help="Address to listen on.  [HOST, default 127.0.0.1]")
@click.option("--port", type=int, default=None, help="Port to listen on.  [PORT, default 8000]")
@click.option(
    "--processes",
    type=click.IntRange(1),
    help="Web processes.  [WEB_PROCESSES, default one per processor, at most 4]",
)
def serve(host: str | None, port: int | None, processes: int | None) -> None:
    """Serve the HTTP interface.

    Several web processes share the port, and each is started again if it dies; /metrics tells
    of all of them together.
    """
    _listen_on(host, port)
    if processes is not None:
        os.environ["WEB_PROCESSES"] = str(processes)
    with box_office() as turnstile:
        settings = turnstile.settings
    _require_free_port(settings.host, settings.port)
    warn_of_development_secrets(settings)
    if settings.web_processes == 1 or SHARED_METRICS in os.environ:
        serving.serve(settings)
    else:
        with serving.shared_metrics(), stopped_by_signals() as stop:
            run_processes([["serve"]], stop)


def _tells_metrics(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that tells Prometheus about its process."""
    port = click.option("--metrics-port", type=int, help="Tell Prometheus metrics at this port.")
    host = click.option(
        "--metrics-host", default="127.0.0.1", show_default=True, help="And address."
    )
    return port(host(command))


@main.command()
@_tells_metrics
def project(metrics_host: str, metrics_port: int | None) -> None:
    """Keep the read models up to date. Several may run: the others stand by."""
    with _part(metrics_host, metrics_port) as (turnstile, stop):
        Projector(turnstile).run(stop)


@main.command()
@_tells_metrics
def react(metrics_host: str, metrics_port: int | None) -> None:
    """Do what follows from what happened: expire holds whose time is over, sign checkpoints."""
    with _part(metrics_host, metrics_port) as (turnstile, stop):
        run_threads(serving.reactor_parts(turnstile), stop)


@main.command()
@_tells_metrics
@click.option("--threads", default=1, show_default=True, help="Jobs at the same time.")
def work(threads: int, metrics_host: str, metrics_port: int | None) -> None:
    """Work on jobs (rebuilds, comparisons, retries, imports). Any number may run, on any hosts."""
    with _part(metrics_host, metrics_port) as (turnstile, stop):
        _require_redis(turnstile)
        collect_rarely(YOUNG_IN_WORKERS)
        serving.work(turnstile, threads, stop)


@main.command()
def migrate() -> None:
    """Bring the database to this version."""
    with box_office(migrate=True, as_stored=True):
        click.echo("The database is at this version.")


@main.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", default="import", show_default=True, help="Whose references these are.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
@click.option("--on-workers", is_flag=True, help="Let 'turnstile work' do it, and follow it.")
def import_(file: Path, source: str, as_json: bool, on_workers: bool) -> None:
    """Take over another system's record, a FILE of commands in JSON Lines.

    The format is in docs/import.md. Refused lines are reported with their number and the
    reason, and the rest goes on. Running it again goes on where it stopped, and changes
    nothing that was imported before. With --on-workers, FILE must be readable where they run.
    """
    with box_office(migrate=True) as turnstile:
        if on_workers:
            _require_redis(turnstile)
            _follow(turnstile, {f"Importing {file.name}": request_import(turnstile, source, file)})
            return
        refused: list[Refusal] = []
        importer = Importer(turnstile, source, refused.append)
        with file.open("rb") as lines:
            total = sum(1 for line in lines if line.strip())
        with file.open("rb") as lines, progress(f"Importing {file.name}", total) as advance:
            for summary in importer.run(lines):
                for refusal in refused:
                    err.print(
                        f"line {refusal.line}: {refusal.rule}: {refusal.reason}", markup=False
                    )
                refused.clear()
                advance(summary.lines, total)
    done = importer.summary
    click.echo(json.dumps(asdict(done)) if as_json else printing.import_summary(done))


@main.command("rebuild")
@click.argument("names", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only compare with the live ones, and leave them.")
@click.option("--on-workers", is_flag=True, help="Let 'turnstile work' do it, and follow it.")
def rebuild_(names: tuple[str, ...], dry_run: bool, on_workers: bool) -> None:
    """Build read models (all, or those of these NAMES) again from the log, and swap them in.

    Before the swap each is compared with the live one, row by row; what was found is printed
    and kept. Queries and the live projector go on meanwhile. With --on-workers, all processes
    that work on jobs share them.
    """
    models = _read_models(names)
    with box_office() as turnstile:
        if on_workers:
            _require_redis(turnstile)
            kind = COMPARE if dry_run else REBUILD
            _follow(turnstile, request_rebuilds(turnstile, models, kind))
            return
        for model in models:
            (_compare_one if dry_run else _rebuild_one)(turnstile, model)


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


@main.command("compared")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compared(name: str | None, as_json: bool) -> None:
    """Show what rebuilds and dry runs found in the live rows (of all, or of the one NAME)."""
    wanted = _read_models([name])[0].name if name else None
    with box_office(as_stored=True) as turnstile, turnstile.engine.connect() as connection:
        found = comparing.kept(connection, wanted)
    if as_json:
        click.echo(printing.as_json(found))
    else:
        printing.comparisons(found)


@main.command("parked")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def parked(name: str | None, as_json: bool) -> None:
    """Show the streams that wait (for all read models, or for the one NAME), and why."""
    models = _read_models([name] if name else [])
    with box_office(as_stored=True) as turnstile, turnstile.engine.connect() as connection:
        waiting = waiting_streams(connection, [model.name for model in models])
    if as_json:
        click.echo(printing.as_json(waiting))
    else:
        printing.waiting(waiting)


@main.command("retry")
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


def _read_models(names: Sequence[str]) -> list[ReadModel]:
    """Those of these names, or all; an unknown one ends the command."""
    unknown = set(names) - {model.name for model in READ_MODELS}
    if unknown:
        known = ", ".join(model.name for model in READ_MODELS)
        wrong = ", ".join(sorted(unknown))
        raise click.ClickException(f"No read model {wrong}; there are: {known}.")
    return [model for model in READ_MODELS if not names or model.name in names]


@main.command("history")
@click.argument("kind", type=click.Choice(sorted(KINDS)))
@click.argument("reference", metavar="ID")
@click.option("--at", type=_Time(), help="Its state at this time (ISO 8601, UTC).")
@click.option("--version", type=click.IntRange(1), help="Its state at this version.")
@click.option(
    "--diff",
    type=(_VersionOrTime(), _VersionOrTime()),
    metavar="FROM TO",
    help="What changed between two versions (0: before the first) or two times.",
)
@click.option("--source", help="ID is a reference of the system imported under this name.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def history_(
    kind: str,
    reference: str,
    at: datetime | None,
    version: int | None,
    diff: tuple[Moment, Moment] | None,
    source: str | None,
    as_json: bool,
) -> None:
    """Replay what was recorded of an event, order, ticket or customer.

    Prints a timeline; with --at or --version, the state as it was then as well. With --diff,
    what changed between two moments, and the positions of the events that changed it.
    """
    aggregate_id = aggregate_id_of(kind, reference, source)
    if sum(given is not None for given in (at, version, diff)) > 1:
        raise click.UsageError("Give one of --at, --version and --diff, not more.")
    if diff is not None:
        _print_difference(kind, aggregate_id, *diff, as_json)
        return
    with box_office() as turnstile, turnstile.engine.connect() as connection:
        recorded = history(connection, kind, aggregate_id, limit=sys.maxsize - 1)["items"]
        then = None
        if at is not None or version is not None:
            then = as_of(connection, kind, aggregate_id, at=at, version=version)
    if as_json:
        click.echo(printing.as_json({"history": recorded, "as_of": then}))
    else:
        printing.timeline(kind, aggregate_id, recorded, then, at)


def _print_difference(
    kind: str, aggregate_id: UUID, start: Moment, end: Moment, as_json: bool
) -> None:
    with box_office() as turnstile, turnstile.engine.connect() as connection:
        changed = difference(connection, kind, aggregate_id, start, end)
    if as_json:
        click.echo(printing.as_json(changed))
    else:
        printing.difference_table(kind, changed)


@main.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status_(as_json: bool) -> None:
    """Show how far each read model is, and what is parked."""
    with box_office(as_stored=True) as turnstile, turnstile.engine.connect() as connection:
        models = status(connection)
    if as_json:
        click.echo(printing.as_json(models))
    else:
        printing.status_table(models)


@contextmanager
def _part(
    metrics_host: str, metrics_port: int | None
) -> Iterator[tuple[Turnstile, threading.Event]]:
    """The box office of a part in a process of its own, and what tells it to end."""
    with box_office() as turnstile, stopped_by_signals() as stop:
        if metrics_port is not None:
            _require_free_port(metrics_host, metrics_port, "--metrics-port")
        with serving.told_metrics(metrics_host, metrics_port):
            yield turnstile, stop


def _listen_on(host: str | None, port: int | None) -> None:
    """Options win over the environment, also in the processes that this one starts."""
    if host is not None:
        os.environ["HOST"] = host
    if port is not None:
        os.environ["PORT"] = str(port)


def _require_redis(turnstile: Turnstile) -> None:
    if turnstile.settings.redis_url is None:
        raise click.ClickException("Jobs come over Redis: set REDIS_URL.")


def _follow(turnstile: Turnstile, wanted: dict[str, UUID]) -> None:
    """Show how far jobs are until all have ended, and what came of each; ids by title."""
    with progress_bar() as bar:
        tasks = {title: bar.add_task(title, total=1) for title in wanted}
        ended: dict[str, dict[str, Any]] = {}
        while len(ended) < len(wanted):
            time.sleep(FOLLOW_SECONDS)
            with turnstile.engine.connect() as connection:
                found = {title: jobs.job(connection, job_id) for title, job_id in wanted.items()}
            for title, job in found.items():
                assert job is not None, "It was just asked for."  # nosec B101 # a bug if not
                bar.update(tasks[title], completed=job["done"], total=job["total"] or 1)
                if job["finished_at"] is not None:
                    ended[title] = job
    for title, job in ended.items():
        click.echo(f"{title}: {job['outcome']}")
    if any(job["state"] == jobs.FAILED for job in ended.values()):
        raise click.ClickException("Not every job succeeded.")


def _require_free_port(host: str, port: int, option: str = "--port") -> None:
    fault = serving.port_fault(host, port)
    if fault is not None:
        raise click.ClickException(f"{fault} Choose another with {option}.")
