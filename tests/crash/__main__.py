"""`make crash`: torment a box office for as long as you like, and say what was found."""

import argparse
import os
import random
import sys

from tests.crash.suite import crash
from tests.services import SECRETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long faults go on (120)")
    parser.add_argument("--seed", type=int, default=None, help="which faults, in which order")
    parser.add_argument("--log", default=None, help="file for what the processes said")
    options = parser.parse_args()
    os.environ.update(SECRETS)
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    print(f"Seed {seed}.", flush=True)
    report = crash(seed, options.seconds, lambda line: print(line, flush=True))
    if options.log:
        with open(options.log, "w") as log:
            log.write(report.log)
    print(report)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
