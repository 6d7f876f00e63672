"""The crash suite in its short form; `make crash` goes on for longer."""

import random

import pytest

from tests.crash.suite import crash

SECONDS = 16.0


@pytest.mark.timeout(600)
def test_a_box_office_under_load_survives_whatever_goes_wrong() -> None:
    seed = random.randrange(1_000_000)
    print(f"Seed {seed}.")  # pytest shows what is printed with a failure
    report = crash(seed, SECONDS)
    print(report.log, report, sep="\n")
    assert report.faults == []
    assert len(report.injected) > 3
    assert report.account.answers
