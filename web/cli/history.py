"""The command that replays what happened to one event, order, ticket or customer."""

import sys
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import click

from application.difference import Moment, difference
from application.history import KINDS, as_of, history
from web.cli import printing
from web.cli.console import aggregate_id_of, as_json, box_office, show, source


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


@click.command("history")
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
@source
@as_json()
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
        _show_difference(kind, aggregate_id, *diff, as_json)
        return
    with box_office() as turnstile, turnstile.engine.connect() as connection:
        recorded = history(connection, kind, aggregate_id, limit=sys.maxsize - 1)["items"]
        then = None
        if at is not None or version is not None:
            then = as_of(connection, kind, aggregate_id, at=at, version=version)
    show(
        {"history": recorded, "as_of": then},
        as_json,
        lambda found: printing.timeline(kind, aggregate_id, recorded, then, at),
    )


def _show_difference(
    kind: str, aggregate_id: UUID, start: Moment, end: Moment, as_json: bool
) -> None:
    with box_office() as turnstile, turnstile.engine.connect() as connection:
        changed = difference(connection, kind, aggregate_id, start, end)
    show(changed, as_json, partial(printing.difference_table, kind))


COMMANDS = (history_,)
