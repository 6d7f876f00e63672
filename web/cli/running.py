"""The commands that run the box office, whole or in parts, and bring its database up to date."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from application.composition import Turnstile
from application.runtime import YOUNG_IN_BATCHES, collect_rarely
from projections.engine.projector import Projector
from web import serving
from web.cli.console import PORT, box_office, err, require_redis, warn_of_development_secrets
from web.exposition import SHARED_METRICS
from workers.supervisor import run_processes, run_threads, stopped_by_signals


def _listens(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that serves HTTP."""
    host = click.option(
        "--host", default=None, help="Address to listen on.  [HOST, default 127.0.0.1]"
    )
    port = click.option(
        "--port", type=PORT, default=None, help="Port to listen on.  [PORT, default 8000]"
    )
    return host(port(command))


@click.command()
@_listens
def up(host: str | None, port: int | None) -> None:
    """Run everything: web, projector, reactor and jobs, under one supervisor.

    On SQLite all of them are threads of this process; on PostgreSQL (set REDIS_URL as well) each
    is a process of its own, which is started again if it dies.
    """
    _listen_on(host, port)
    with box_office(migrate=True) as turnstile, stopped_by_signals() as stop:
        _require_free_port(turnstile.settings.host, turnstile.settings.port)
        if not turnstile.settings.embedded:
            require_redis(turnstile)
        warn_of_development_secrets(turnstile.settings)
        where = f"http://{turnstile.settings.host}:{turnstile.settings.port}"
        err.print(f"Turnstile is at [bold]{where}[/bold], its API described at {where}/docs")
        if turnstile.settings.embedded:
            run_threads(serving.embedded_parts(turnstile), stop)
        else:
            with serving.shared_metrics():
                run_processes([["serve"], ["project"], ["react"], ["work"]], stop)


@click.command()
@_listens
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
    port = click.option("--metrics-port", type=PORT, help="Tell Prometheus metrics at this port.")
    host = click.option(
        "--metrics-host", default="127.0.0.1", show_default=True, help="And address."
    )
    return port(host(command))


@click.command()
@_tells_metrics
def project(metrics_host: str, metrics_port: int | None) -> None:
    """Keep the read models up to date. Several may run: the others stand by."""
    with _part(metrics_host, metrics_port) as (turnstile, stop):
        collect_rarely(YOUNG_IN_BATCHES)
        Projector(turnstile).run(stop)


@click.command()
@_tells_metrics
def react(metrics_host: str, metrics_port: int | None) -> None:
    """Do what follows from what happened: expire holds whose time is over, sign checkpoints, and
    every hour forget what has expired, and whom RETENTION_DAYS is over for."""
    with _part(metrics_host, metrics_port) as (turnstile, stop):
        run_threads(serving.reactor_parts(turnstile), stop)


@click.command()
@_tells_metrics
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="Jobs at the same time."
)
def work(threads: int, metrics_host: str, metrics_port: int | None) -> None:
    """Work on jobs (rebuilds, comparisons, retries, imports). Any number may run, on any hosts."""
    with _part(metrics_host, metrics_port) as (turnstile, stop):
        require_redis(turnstile)
        collect_rarely(YOUNG_IN_BATCHES)
        serving.work(turnstile, threads, stop)


@click.command()
def migrate() -> None:
    """Bring the database to this version."""
    with box_office(migrate=True, as_stored=True):
        click.echo("The database is at this version.")


COMMANDS = (up, serve, project, react, work, migrate)


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


def _require_free_port(host: str, port: int, option: str = "--port") -> None:
    fault = serving.port_fault(host, port)
    if fault is not None:
        raise click.ClickException(f"{fault} Choose another with {option}.")
