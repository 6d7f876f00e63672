"""What the command line prints: timelines, tables and summaries."""

import re
from datetime import datetime
from typing import Any
from uuid import UUID

import click
import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from application.checkpoints import Checkpoint, Verified
from application.importing import Summary
from application.proofs import Proof
from projections.engine.comparing import DIFFERENT, EQUAL, UNFILLED, Comparison, Example

out = Console()
_is_id = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
INDENT = 27
MOST_POSITIONS = 5
SHORT_TIME = "%Y-%m-%d %H:%M:%S"
_BY_TIME = ", by when it happened (UTC)\n"


def printable(text: str) -> str:
    """What strangers have written, without what would make a terminal do something."""
    return "".join(one if one.isprintable() else "?" for one in text)


def json_text(value: Any) -> str:
    """Indented JSON; ids and times in their usual text form."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def import_summary(done: Summary) -> str:
    """What an import did, in a sentence or two."""
    if done.lines and done.already == done.lines:
        return f"Nothing new: all {done.lines:,} lines were imported or refused before."
    return (
        f"{done.applied:,} of {done.lines:,} lines imported, {done.already:,} were already there, "
        f"{done.refused:,} refused. The log is at position {done.position:,}."
    )


def checkpoint(taken: Checkpoint) -> str:
    """One checkpoint in a sentence."""
    return (
        f"The log up to position {taken.position:,} was signed at"
        f" {taken.taken_at.strftime(SHORT_TIME)} UTC by {taken.public_key}."
    )


def checkpoints_table(stored: list[Checkpoint]) -> None:
    """One line for each checkpoint."""
    table = Table(box=None, pad_edge=False)
    table.add_column("position", justify="right")
    table.add_column("signed at (UTC)")
    table.add_column("by", overflow="fold")
    for one in stored:
        table.add_row(f"{one.position:,}", one.taken_at.strftime(SHORT_TIME), one.public_key)
    out.print(table if stored else "There is no checkpoint yet.")


def verified(done: Verified, seconds: float) -> str:
    """That the log is what was recorded, how that was found, and how far it goes."""
    number = done.position - done.start
    lines = [
        f"Positions {done.start + 1:,} to {done.position:,} are what was recorded:"
        f" {number:,} events verified in {seconds:.1f} s, {number / max(seconds, 0.001):,.0f}"
        " a second."
        if number
        else f"Nothing was recorded behind position {done.start:,}."
    ]
    if done.checkpoints:
        lines.append(f"They agree with every checkpoint ({len(done.checkpoints):,}); the last one:")
        lines.append(checkpoint(done.checkpoints[-1]))
    else:
        lines.append(
            "No checkpoint was met on the way: nothing shows that nobody has computed these"
            " hashes anew."
        )
    if done.passed_over:
        lines.append(
            f"{done.passed_over:,} of the copies given lie before these positions, and were not"
            " compared: verify without --from to hold the log to them."
        )
    return "\n".join(lines)


def proven(proof: Proof) -> str:
    """What a proof shows."""
    return (
        f"\nThis is proven: versions 1 to {len(proof.events):,}, as recorded, none left out."
        f" {checkpoint(proof.checkpoint)}"
    )


def timeline(
    kind: str,
    aggregate_id: UUID,
    recorded: list[dict[str, Any]],
    then: dict[str, Any] | None,
    at: datetime | None,
) -> None:
    """Everything recorded of it, oldest first; what lies after the moment asked for is dimmed."""
    out.print(Text.assemble((printable(f"{kind} {aggregate_id}"), "bold"), _BY_TIME))
    for item in recorded:
        after = then is not None and _is_after(item, then, at)
        _print_item(item, "dim" if after else "")
    if then is not None:
        out.print(f"\n[bold]As of version {then['version']}[/bold]")
        out.print_json(json_text(then))


def difference_table(kind: str, changed: dict[str, Any]) -> None:
    """One line for each value that is another: where it is, before, after, and what changed it."""
    versions = f"from version {changed['from']['version']} to {changed['to']['version']}"
    out.print(f"[bold]{kind} {changed['id']}[/bold], {versions}\n", highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("path", "before", "after", "changed at positions"):
        table.add_column(name, overflow="fold")
    for change in changed["changes"]:
        before, after = (_value(change[when]) for when in ("before", "after"))
        table.add_row(
            Text(printable(change["path"])), before, after, _positions(change["positions"])
        )
    out.print(table if changed["changes"] else "Nothing changed.")


def status_table(models: list[dict[str, Any]]) -> None:
    """One line for each read model."""
    table = Table(box=None, pad_edge=False)
    table.add_column("read model")
    for name in ("position", "behind", "seconds", "parked"):
        table.add_column(name, justify="right")
    table.add_column("run by", overflow="fold")
    for model in models:
        table.add_row(
            model["name"],
            f"{model['position']:,}",
            f"{model['lag_events']:,}",
            f"{model['lag_seconds']:g}",
            f"{model['parked_events']:,}",
            model["holder"] or "nobody",
        )
    out.print(table)
    out.print(f"The log is at position {models[0]['head']:,}.")


def comparison(found: Comparison) -> None:
    """What a rebuild found in the live rows, with examples."""
    click.echo(f"  {_summary(found)}")
    if found.parked_before:
        click.echo(
            f"  {found.parked_before:,} parked events were missing from the live rows; "
            f"{found.parked_after:,} wait still."
        )
    for table in found.tables:
        for example in table.examples:
            click.echo(f"  {table.table}: {example.fault}: {printable(_example(example))}")


def comparisons(found: list[Comparison]) -> None:
    """One line for each, the latest first; of the latest the examples as well."""
    if not found:
        out.print("Nothing was rebuilt yet.")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("read model", "compared at", "swapped in", "found"):
        table.add_column(name)
    for name in ("position", "equal rows"):
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(
            one.read_model,
            one.compared_at.strftime(SHORT_TIME),
            "yes" if one.swapped_at else "no",
            _faults(one) if one.outcome == DIFFERENT else one.outcome,
            f"{one.position:,}",
            f"{one.equal:,}",
        )
    out.print(table)
    out.print(f"\n{found[0].read_model}, the latest:")
    comparison(found[0])


def waiting(streams: list[dict[str, Any]]) -> None:
    """A line for each stream that is parked, and the error below it."""
    if not streams:
        out.print("Nothing is parked.")
    for stream in streams:
        click.echo(
            f"{stream['read_model']}: stream {stream['stream_id']}, since "
            f"{stream['since'].strftime(SHORT_TIME)}: {_span(stream)}"
        )
        click.echo(f"  {printable(stream['error'])}")


def _span(stream: dict[str, Any]) -> str:
    first, last = stream["first_position"], stream["last_position"]
    if first == last:
        return f"the event at position {first}"
    return f"{stream['events']:,} events from position {first} to {last}"


def _summary(found: Comparison) -> str:
    at = f"Compared with the live rows at position {found.position:,} in {found.seconds:g} s"
    if found.outcome == UNFILLED:
        return "There were no live rows to compare with."
    if found.outcome == EQUAL:
        return f"{at}: all {found.equal:,} are equal."
    return f"{at}: {found.equal:,} are equal, {_faults(found)}."


def _faults(found: Comparison) -> str:
    return f"{found.missing:,} missing, {found.extra:,} extra, {found.different:,} different"


def _example(example: Example) -> str:
    key = ", ".join(f"{name} {value}" for name, value in example.key.items())
    changes = ", ".join(
        f"{name} {live} instead of {rebuilt}" for name, (live, rebuilt) in example.columns.items()
    )
    return f"{key}: {changes}" if changes else key


def _is_after(item: dict[str, Any], then: dict[str, Any], at: datetime | None) -> bool:
    if at is not None:
        return bool(item["occurred_at"] > at)
    return bool(item["version"] > then["version"])


def _print_item(item: dict[str, Any], style: str) -> None:
    """One line for what happened, and its data below, indented."""
    moment = item["occurred_at"].strftime(SHORT_TIME)
    line = Text(f"{item['version']:>4}  {moment}  ", style=style)
    line.append(printable(item["what"]), style=f"{style} bold")
    who = printable(str(item["who"] or "nobody"))
    line.append(f"  by {who}, position {item['position']}", style="dim")
    out.print(line, no_wrap=True, overflow="ellipsis")
    data = ", ".join(f"{key}: {_brief(value)}" for key, value in item["data"].items())
    if data:
        out.print(Padding(Text(data, style=style or "cyan"), (0, 0, 0, INDENT)))


def _value(value: Any) -> Text:
    return Text("–", style="dim") if value is None else Text(_brief(value))


def _positions(positions: list[int]) -> str:
    """The first few; `--json` has them all."""
    told = ", ".join(map(str, positions[:MOST_POSITIONS]))
    more = len(positions) - MOST_POSITIONS
    return f"{told} and {more:,} more" if more > 0 else told


def _brief(value: Any) -> str:
    """Short enough for a line: of an id the end, which tells ids apart; `--json` has it whole."""
    if isinstance(value, dict):
        inner = ", ".join(f"{_brief(key)}: {_brief(part)}" for key, part in value.items() if part)
        return f"({inner})"
    if isinstance(value, list):
        return ", ".join(map(_brief, value))
    text = str(value)
    return f"…{text[-8:]}" if _is_id(text) else printable(text)
