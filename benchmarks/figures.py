"""A benchmark's result: printed as a row, and appended to a file with what it was made on."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from operator import truediv
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.jsonl"


@dataclass(frozen=True)
class Figure:
    """What was measured. `rounds` are the figure's rounds; `figure` is their median.

    `met` says whether the issue's line holds; None where there is none.
    """

    what: str
    figure: float
    unit: str
    rounds: Sequence[float] = ()
    baseline: float | None = None
    baseline_rounds: Sequence[float] = ()
    ratio: float | None = None
    must: str = ""
    met: bool | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def compared(
    what: str,
    unit: str,
    rounds: Sequence[float],
    baseline_rounds: Sequence[float],
    at_least: float,
    **notes: Any,
) -> Figure:
    """A rate against its baseline. Told are the medians of both, and that of the rounds' ratios:
    both figures of one round are of the same minute."""
    figure, baseline = statistics.median(rounds), statistics.median(baseline_rounds)
    ratio = statistics.median(map(truediv, rounds, baseline_rounds))
    return Figure(
        what,
        figure,
        unit,
        rounds,
        baseline,
        baseline_rounds,
        ratio,
        f"ratio ≥ {at_least:g}",
        ratio >= at_least,
        notes,
    )


def within(what: str, unit: str, figure: float, at_most: float, **notes: Any) -> Figure:
    """A figure that must not be above a bound."""
    return Figure(
        what, figure, unit, must=f"≤ {at_most:g} {unit}", met=figure <= at_most, notes=notes
    )


def report(figure: Figure) -> None:
    """Print the row, and append it to the results."""
    print(_row(figure), flush=True)
    line = {"at": datetime.now(UTC).isoformat(), "machine": machine(), **asdict(figure)}
    with RESULTS.open("a") as results:
        results.write(json.dumps(line) + "\n")


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "system": platform.system(),
        "commit": _commit(),
    }


def _row(figure: Figure) -> str:
    spread = (
        f" ({min(figure.rounds):,.1f}-{max(figure.rounds):,.1f})" if len(figure.rounds) > 1 else ""
    )
    baseline = f"{figure.baseline:,.1f}" if figure.baseline is not None else "-"
    ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else "-"
    verdict = {True: "met", False: "NOT MET", None: ""}[figure.met]
    notes = ", ".join(f"{name} {value}" for name, value in figure.notes.items())
    return (
        f"{figure.what:<44} {figure.figure:>12,.1f} {figure.unit}{spread}   baseline {baseline}   "
        f"ratio {ratio}   {figure.must} {verdict}   {notes}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
