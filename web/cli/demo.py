"""`turnstile demo`: the whole box office on an SQLite file of its own, with a festival in it."""

import fcntl
import secrets
import shlex
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

import migrations
from application import keys
from application.access import accounts, api_keys, identity
from application.composition import Turnstile, compose
from application.import_lines import Names
from application.importing import Importer, Refusal
from application.logs import configure_logs
from application.settings import Settings
from application.store import log
from projections import event_summaries, gate_statistics, ticket_type_sales
from projections.engine.positions import positions
from projections.engine.projector import Projector
from projections.registry import READ_MODELS
from web import serving
from web.cli.console import PORT
from web.cli.sample_festival import FESTIVAL, ORGANIZER, SOURCE, STORY, sample_festival
from workers.supervisor import run_threads, stopped_by_signals

FOLDER = Path(".demo")
DATABASE = "turnstile.db"
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.05

NAMES = Names(SOURCE)
TEXTS = ("event", "ticket type")

out = Console(soft_wrap=True, highlight=False)


@click.command()
@click.option("--once", is_flag=True, help="Load the festival, print how it is doing, and end.")
@click.option("--port", type=PORT, help="Port to listen on.  [PORT, default 8000]")
def demo(once: bool, port: int | None) -> None:
    """Load a small festival and run everything, with nothing else needed.

    It has an SQLite file of its own in the folder .demo here, made anew each time, whatever
    DATABASE_URL and REDIS_URL say.
    """
    configure_logs("WARNING")
    settings = _settings(port)
    if not once:
        _require_free(settings.host, settings.port)
    with stopped_by_signals() as stop, _fresh_box_office(settings) as turnstile:
        if once:
            _load(turnstile, stop)
            if stop.is_set():
                raise click.Abort
            Projector(turnstile).catch_up()
            _print_summaries(turnstile)
        else:
            parts = serving.embedded_parts(turnstile)
            run_threads({**parts, "demo": lambda stop: _host(turnstile, stop)}, stop)
            out.print(f"\nEnded. What happened stays in {FOLDER} until the next demo.")


COMMANDS = (demo,)


def _settings(port: int | None) -> Settings:
    try:
        given = Settings.from_environment()
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    url = f"sqlite:///{(FOLDER / DATABASE).resolve()}"
    return replace(
        given,
        database_url=url,
        redis_url=None,
        read_database_url=None,
        port=port or given.port,
        # The key ends with the demo, as its database does.
        checkpoint_key=keys.new_key().private,
        checkpoint_minutes=0,
    )


def _require_free(host: str, port: int) -> None:
    fault = serving.port_fault(host, port)
    if fault is not None:
        other = 8080 if port != 8080 else 8090
        raise click.ClickException(
            f"{fault} Choose another port with "
            f'make demo ARGS="--port {other}" (or turnstile demo --port {other}).'
        )


@contextmanager
def _fresh_box_office(settings: Settings) -> Iterator[Turnstile]:
    """A box office on a new file; the lock keeps a second demo from taking the file away."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n")
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise click.ClickException("A demo is running in this folder already.") from None
        for suffix in ("", "-wal", "-shm"):
            (FOLDER / f"{DATABASE}{suffix}").unlink(missing_ok=True)
        out.print(f"Starting with an empty database, {FOLDER / DATABASE}")
        turnstile = compose(settings)
        try:
            migrations.upgrade(turnstile.engine)
            yield turnstile
        finally:
            turnstile.close()


def _host(turnstile: Turnstile, stop: threading.Event) -> None:
    """Load the festival, wait until everything answers, say what there is to do, and stay."""
    _load(turnstile, stop)
    people = _let_in(turnstile)
    if _until(stop, lambda: _caught_up(turnstile)) and _until(stop, lambda: _answers(turnstile)):
        _print_welcome(turnstile.settings, people)
    elif not stop.is_set():
        raise click.ClickException(f"The demo was not ready after {PATIENCE_SECONDS:g} seconds.")
    stop.wait()


def _load(turnstile: Turnstile, stop: threading.Event) -> None:
    """Load the festival, unless `stop` is set meanwhile; what the rules refused belongs to it."""
    lines = sample_festival(datetime.now(UTC))
    refused: list[Refusal] = []
    importer = Importer(turnstile, SOURCE, refused.append)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TextColumn("commands"), console=out) as progress:
        task = progress.add_task("Loading a small festival", total=len(lines))
        for summary in importer.run(lines):
            progress.update(task, completed=summary.lines)
            if stop.is_set():
                return
    rules = Counter(refusal.rule for refusal in refused)
    reasons = ", ".join(f"{number} {rule}" for rule, number in rules.most_common())
    out.print(
        f"{importer.summary.position:,} events are in the log. "
        f"The rules refused {len(refused)}: {reasons}."
    )


@dataclass(frozen=True)
class _People:
    """Who may come in, each with their secret."""

    admin: tuple[str, str]
    organizer: tuple[str, str]
    gate: str
    dashboard: str


def _let_in(turnstile: Turnstile) -> _People:
    """An admin, the organizer, a gate's key and a dashboard's, all of them new."""
    organizer_id, event_id = NAMES.id("organizer", ORGANIZER), NAMES.id("event", FESTIVAL)
    admin = ("admin@example.org", secrets.token_urlsafe(12))
    organizer = ("organizer@example.org", secrets.token_urlsafe(12))
    accounts.create(turnstile.access, *admin, identity.ADMIN)
    accounts.create(turnstile.access, *organizer, identity.ORGANIZER, organizer_id)
    with turnstile.access.changing() as connection:
        make = partial(api_keys.create, connection, created_by="demo", subject_id=organizer_id)
        _, gate = make(name="Gate", role=identity.GATE, event_ids=[event_id])
        _, dashboard = make(name="Dashboard", role=identity.SERVICE, scopes=["stats:read"])
    return _People(admin, organizer, gate, dashboard)


def _until(stop: threading.Event, holds: Callable[[], bool]) -> bool:
    """Whether it holds before the patience ends, or the demo."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not stop.is_set() and time.monotonic() < deadline:
        if holds():
            return True
        stop.wait(POLL_SECONDS)
    return False


def _caught_up(turnstile: Turnstile) -> bool:
    names = [model.name for model in READ_MODELS]
    with turnstile.engine.connect() as connection:
        reached = positions(connection, names)
        head = log.read_head(connection)
    return all(reached.get(name, 0) >= head for name in names)


def _answers(turnstile: Turnstile) -> bool:
    settings = turnstile.settings
    try:
        socket.create_connection((settings.host, settings.port), timeout=1).close()
    except OSError:
        return False
    return True


def _print_welcome(settings: Settings, people: _People) -> None:
    where = f"http://{settings.host}:{settings.port}"
    ticket_id, event_id = NAMES.id("ticket", STORY), NAMES.id("event", FESTIVAL)
    attempt = f"""{{"event_id": "{event_id}",
           "ticket_id": "{ticket_id}"}}"""
    database = shlex.quote(f"DATABASE_URL={settings.database_url}")
    out.print(
        f"""
[bold green]Heron Meadow is open.[/] Web, projector, reactor and jobs run here.

[bold]Open[/]
  {where}/docs            the interface, described
  {where}/api/v1/events   what is on

[bold]Who may come in[/], until the demo ends"""
    )
    for role, (address, password) in (("admin", people.admin), ("organizer", people.organizer)):
        out.print(f"  {role:9}  {address}  password {password}", markup=False)
    out.print(f"  {'gate':9}  key {people.gate}", markup=False)
    out.print(f"  {'dashboard':9}  key {people.dashboard}", markup=False)
    out.print("\n[bold]Try, in a second terminal[/]")
    _print_command(
        "How do the events sell?",
        f"curl -s {where}/api/v1/events/summary -w '\\n'",
        f"-H 'Authorization: Bearer {people.dashboard}'",
    )
    _print_command(
        "Let Tomasz in. Paste it twice: nobody comes in twice on one ticket.",
        f"curl -s {where}/api/v1/checkins -w '\\n'",
        f"-H 'Authorization: Bearer {people.gate}'",
        "-H 'Content-Type: application/json'",
        f"-d '{attempt}'",
    )
    _print_command(
        "What happened to his ticket, from the day Ines bought it?",
        f"env {database}",
        _turnstile(),
        f"history ticket {ticket_id}",
    )
    out.print("\n[bold]Ctrl-C[/] ends it.")


def _print_command(title: str, *parts: str) -> None:
    out.print(f"\n  {title}", style="dim", markup=False)
    out.print("    " + " \\\n      ".join(parts), markup=False)


def _turnstile() -> str:
    """The command as any terminal finds it, whatever its folder and environment."""
    script = Path(sys.executable).with_name("turnstile")
    return shlex.quote(str(script)) if script.exists() else f"{sys.executable} -m web"


def _print_summaries(turnstile: Turnstile) -> None:
    with turnstile.engine.connect() as connection:
        events = event_summaries.upcoming(connection, datetime.now(UTC))["items"]
        gates = gate_statistics.totals(connection)
        kinds = ticket_type_sales.top(connection)["items"]
    _print_table(
        "Events",
        ("event", "sold", "held", "left", "revenue"),
        [
            (
                event["event_name"],
                event["total_tickets_sold"],
                event["tickets_held"],
                event["tickets_remaining"],
                f"{event['total_revenue']} {event['currency']}",
            )
            for event in events
        ],
    )
    _print_table(
        "Gates",
        ("event", "scans", "valid", "refused", "transfers", "refused"),
        [_gate_cells(event["event_name"], gates[str(event["event_id"])]) for event in events],
    )
    _print_table(
        "Top ticket types",
        ("ticket type", "sold", "event"),
        [(kind["name"], kind["units_sold"], kind["event_name"]) for kind in kinds],
    )
    out.print("\n'make demo' runs it all and stays; 'turnstile up' starts an empty box office.")


def _gate_cells(name: str, counts: dict[str, Any]) -> tuple[Any, ...]:
    return (
        name,
        counts["scan_count"],
        counts["valid_scan_count"],
        counts["invalid_scan_count"],
        counts["transfer_count"],
        counts["failed_transfer_count"],
    )


def _print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in TEXTS else "right")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    out.print()
    out.print(table)
