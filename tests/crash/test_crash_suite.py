"""The crash suite in its short form; `make crash` goes on for longer."""

import random

import pytest

from tests.crash.suite import crash

SECONDS = 16.0


@pytest.mark.timeout(600)
def test_a_box_office_under_load_survives_whatever_goes_wrong() -> None:
    report = crash(random.randrange(1_000_000), SECONDS)
    print(report)  # pytest shows it, and the faults that were injected, with a failure
    assert not report.faults, report.log
    assert report.account.answers
