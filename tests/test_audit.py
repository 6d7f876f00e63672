"""An audit fails for what it found, and says what it could not look at."""

import json
from typing import Any

import pytest

from tests.audit import verdict

SOUND = {"name": "flask", "version": "3.1.3", "vulns": []}
VULNERABLE = {
    "name": "jinja2",
    "version": "2.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": [], "description": ""}],
}
UNKNOWN = {"name": "redis", "skip_reason": "Dependency not found and could not be audited"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([SOUND], 0, "No vulnerabilities are known in 1 packages."),
        ([SOUND, VULNERABLE, UNKNOWN], 1, "jinja2 2.0: PYSEC-1, mended in 2.1"),
        ([SOUND, UNKNOWN], 0, "NOT AUDITED: redis."),
        ([UNKNOWN, UNKNOWN], 0, "NOT AUDITED: the service that was asked knows none of 2"),
    ],
)
def test_a_report_is_judged(packages: list[dict[str, Any]], code: int, said: str):
    judged = verdict(json.dumps({"dependencies": packages}), "")
    assert judged[0] == code
    assert said in judged[1]


def test_a_service_that_does_not_answer_fails_nothing():
    trace = "Traceback…\nrequests.exceptions.ConnectionError: Connection refused"
    assert verdict("", trace)[0] == 0
    assert "NOT AUDITED" in verdict("", trace)[1]


def test_an_audit_that_went_wrong_fails():
    assert verdict("", "ERROR: invalid requirements input") == (
        1,
        "The audit failed:\nERROR: invalid requirements input",
    )
