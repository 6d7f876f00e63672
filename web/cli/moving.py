"""The commands that carry a record in from another system, and the log from here to elsewhere."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from application.backup import export_log, import_log, opened
from application.importing import Importer, Refusal
from application.store.log import Head
from web.cli import printing
from web.cli.console import (
    as_json,
    box_office,
    err,
    explained,
    follow,
    on_workers,
    progress,
    require_answering_redis,
)
from workers.jobs import request_import


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", default="import", show_default=True, help="Whose references these are.")
@as_json("Print a summary as JSON.")
@on_workers
def import_(file: Path, source: str, as_json: bool, on_workers: bool) -> None:
    """Take over another system's record, a FILE of commands in JSON Lines.

    The format is in docs/import.md. Refused lines are reported with their number and the
    reason, and the rest goes on. Running it again goes on where it stopped, and changes
    nothing that was imported before. With --on-workers, FILE must be readable where they run.
    """
    with box_office(migrate=True) as turnstile:
        if on_workers:
            require_answering_redis(turnstile)
            follow(turnstile, {f"Importing {file.name}": request_import(turnstile, source, file)})
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
    # One line, unlike what other commands print: scripts may rely on it.
    click.echo(json.dumps(asdict(done)) if as_json else printing.import_summary(done))


@click.command("export-log")
@click.argument("file")
def export_log_(file: str) -> None:
    """Write the whole log to FILE: JSON Lines, gzipped if its name ends in .gz; - for stdout."""
    with (
        explained(),
        box_office(as_stored=True) as turnstile,
        opened(file, "wb") as output,
        progress("Exporting the log", 1) as advance,
    ):
        head = export_log(turnstile.engine, output.write, advance)
    _tell(head)


@click.command("import-log")
@click.argument("file")
def import_log_(file: str) -> None:
    """Restore a log that 'export-log' wrote to FILE (- for stdin), verifying each event.

    The log here has to be empty, or to be the beginning of that in the file: running it again
    goes on where it stopped. The projector then makes the read models, as ever.
    """
    with (
        explained(),
        box_office(migrate=True, as_stored=True) as turnstile,
        opened(file, "rb") as lines,
        progress("Importing the log", 1) as advance,
    ):
        head = import_log(turnstile, lines, advance)
    _tell(head)


COMMANDS = (import_, export_log_, import_log_)


def _tell(head: Head) -> None:
    err.print(f"{head.position:,} events, up to the hash {head.hash.hex()}.", highlight=False)
