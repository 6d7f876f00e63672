"""`python -m benchmarks [quick] [NAME …]`: run all benchmarks, or those of these names."""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass

from application.runtime import collect_rarely
from benchmarks import (
    appends,
    catching_up,
    cold,
    disk,
    on_sale,
    queries,
    rebuilding,
    visibility,
)
from benchmarks.figures import RESULTS, machine
from benchmarks.history import Histories
from tests.services import SECRETS

QUICK = "quick"
SIZES, QUICK_SIZES = (10_000, 100_000, 1_000_000), (5_000, 10_000)

Run = Callable[[Histories], None]


@dataclass(frozen=True)
class Benchmark:
    """What it shows, and how it is run in full and in little time."""

    shows: str
    full: Run
    quick: Run


BENCHMARKS = {
    "on_sale": Benchmark(
        "orders and check-ins over HTTP, beside PostgreSQL's own hot row",
        lambda _: on_sale.run(seconds=3, rounds=16),
        lambda _: on_sale.run(seconds=1, rounds=4),
    ),
    "appends": Benchmark(
        "appends from 16 threads, beside eventsourcing's recorder",
        lambda _: appends.run(seconds=5, rounds=5),
        lambda _: appends.run(seconds=1, rounds=1),
    ),
    "catching_up": Benchmark(
        "one read model from the first event on, beside eventsourcing's runner",
        lambda histories: catching_up.run(histories, 200_000, 20_000, rounds=3),
        lambda histories: catching_up.run(histories, 10_000, 2_000, rounds=1),
    ),
    "rebuilding": Benchmark(
        "all read models by two workers, beside reading the log",
        lambda histories: rebuilding.run(histories, SIZES[1:]),
        lambda histories: rebuilding.run(histories, QUICK_SIZES),
    ),
    "visibility": Benchmark(
        "from commit to query at 300 orders a second",
        lambda _: visibility.run(seconds=30, rate=300),
        lambda _: visibility.run(seconds=3, rate=300),
    ),
    "queries": Benchmark(
        "every query over HTTP at growing logs, beside its SELECT",
        lambda histories: queries.run(histories, SIZES, requests=400),
        lambda histories: queries.run(histories, QUICK_SIZES, requests=20),
    ),
    "cold": Benchmark(
        "the first order of a process, on events that sold much and little",
        lambda _: cold.run(100_000, rounds=9),
        lambda _: cold.run(2_000, rounds=3),
    ),
    "disk": Benchmark(
        "bytes per event",
        lambda histories: disk.run(histories, SIZES[1]),
        lambda histories: disk.run(histories, QUICK_SIZES[-1]),
    ),
}


def main() -> None:
    """Print a row for each figure, and append it to the results."""
    given = _arguments()
    os.environ.update(SECRETS)
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    print(f"Each row is appended to {RESULTS.name}.", flush=True)
    with Histories() as histories:
        for name in given.names or BENCHMARKS:
            benchmark = BENCHMARKS[name]
            print(f"\n{name}: {benchmark.shows}", flush=True)
            collect_rarely()  # as every process of a deployment does
            (benchmark.quick if given.quick else benchmark.full)(histories)


def _arguments() -> argparse.Namespace:
    listed = "\n".join(f"  {name:<12} {item.shows}" for name, item in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description=__doc__,
        epilog=f"benchmarks:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="`quick` (smaller, under two minutes) or a benchmark",
    )
    given = parser.parse_args()
    given.quick = QUICK in given.names
    given.names = [name for name in given.names if name != QUICK]
    unknown = set(given.names) - set(BENCHMARKS)
    if unknown:
        parser.error(
            f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}"
        )
    return given


if __name__ == "__main__":
    main()
