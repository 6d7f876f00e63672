"""What alerts are written in terms of is what a running box office tells."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from projections.open_holds import OPEN_HOLDS
from tests.keys import bearer
from tests.workers.processes import REPOSITORY, Running, eventually, free_port, turnstile
from tests.workers.test_up import CUSTOMER, ready

RULES = yaml.safe_load((REPOSITORY / "docs" / "alerts.yml").read_text())
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]

PROMETHEUS = "what-prometheus-shows"

pytestmark = pytest.mark.xdist_group("alerts")  # which ask the same deployment

Samples = dict[str, list[dict[str, str]]]
"""The labels of each sample, by name."""


def samples(port: int) -> Samples:
    with urlopen(
        Request(f"http://127.0.0.1:{port}/metrics", headers=bearer(PROMETHEUS))
    ) as response:
        text = response.read().decode()
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels | {"value": str(sample.value)})
    return found


def metrics_of(expression: str) -> dict[str, set[str]]:
    """The metrics in an expression, each with the labels that it is selected by."""
    found: dict[str, set[str]] = {}
    for name, selector in re.findall(r"\b(turnstile_\w+)(?:\{([^}]*)\})?", expression):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*[=!]", selector))
    return found


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest) -> tuple[Samples, str]:
    """What all processes of a deployment tell together after a job was done, and their log."""
    port = free_port()
    url, redis_url = (
        request.getfixturevalue(name) for name in ("migrated_postgres", "redis_database")
    )
    settings = {"WEB_PROCESSES": "2", "REDIS_URL": redis_url, "METRICS_TOKEN": PROMETHEUS}
    with turnstile("up", "--port", str(port), url=url, **settings) as running:
        client = ready(port, url)
        client.post("/api/v1/customers", CUSTOMER)
        client.post(f"/api/v1/projections/{OPEN_HOLDS.name}/rebuild")
        eventually(lambda: '"job.ended"' in running.said, pause=0.1)
        return eventually(lambda: told_of_a_job(port), pause=0.1), running.said


@pytest.fixture(scope="module")
def told(deployment: tuple[Samples, str]) -> Samples:
    return deployment[0]


def told_of_a_job(port: int) -> Samples:
    found = samples(port)
    return found if done_rebuilds(found) else {}


def done_rebuilds(found: Samples) -> float:
    wanted = {"kind": "rebuild", "outcome": "done"}
    jobs = found.get("turnstile_jobs_total", [])
    return sum(float(job["value"]) for job in jobs if wanted.items() <= job.items())


def test_workers_are_counted_with_the_web_processes(told: Samples):
    assert done_rebuilds(told) == 1
    (count,) = [job for job in told["turnstile_job_seconds_count"] if job["kind"] == "rebuild"]
    assert float(count["value"]) == 1
    checks = {check["check"] for check in told["turnstile_check_ok"]}
    assert checks == {"database", "projections", "redis"}


def test_a_worker_logs_under_the_id_of_the_request(deployment: tuple[Samples, str]):
    lines = [json.loads(line) for line in deployment[1].splitlines() if line.startswith("{")]
    (asked,) = [line for line in lines if line["event"] == "job.requested"]
    (ended,) = [line for line in lines if line["event"] == "job.ended"]
    assert asked["request_id"]
    assert (ended["job_id"], ended["request_id"]) == (asked["job_id"], asked["request_id"])


def test_whatever_is_logged_is_json(deployment: tuple[Samples, str]):
    logged = deployment[1].split("/docs\n")[1].splitlines()  # after a greeting for people
    for line in logged:
        assert {"event", "level", "timestamp"} <= json.loads(line).keys()
    assert any("granian" in line for line in logged)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_an_alert_is_about_what_is_told(told: Samples, alert: dict[str, Any]):
    named = metrics_of(alert["expr"])
    assert named
    for metric, labels in named.items():
        assert metric in told
        assert any(labels <= sample.keys() for sample in told[metric]), labels
    for label in re.findall(r"by \(([^)]*)\)", alert["expr"]):
        for name in re.split(r",\s*", label):
            assert any(name in sample for metric in named for sample in told[metric])


def test_the_manual_says_what_to_do_about_each_alert():
    manual = (REPOSITORY / "docs" / "operating.md").read_text()
    assert re.findall(r"^\*\*(Turnstile\w+)\*\*:", manual, re.MULTILINE) == [
        alert["alert"] for alert in ALERTS
    ]


def test_the_manual_names_metrics_that_are_told(told: Samples):
    manual = (REPOSITORY / "docs" / "operating.md").read_text()
    families = {re.sub(r"_(bucket|count|sum|created|total)$", "", name) for name in told}
    named = re.findall(r"`(turnstile_\w+)", manual)
    assert named
    for name in named:
        assert name in told or name in families, name


@pytest.mark.parametrize("part", ["project", "react", "work"])
def test_a_part_on_its_own_tells_its_metrics(
    part: str, migrated_postgres_url: str, redis_url: str
) -> None:
    port = free_port()
    arguments = (part, "--metrics-port", str(port))
    with turnstile(*arguments, url=migrated_postgres_url, REDIS_URL=redis_url) as running:
        found = eventually(lambda: reachable(port), pause=0.1)
        assert "turnstile_projected_events_total" in found
        assert listens_only_here(running, port)
        assert running.end() == 0
        assert "Traceback" not in running.said


def reachable(port: int) -> Samples:
    try:
        return samples(port)
    except OSError:
        return {}


def listens_only_here(running: Running, port: int) -> bool:
    lines = Path(f"/proc/{running.process.pid}/net/tcp").read_text().splitlines()
    listening = [line.split()[1] for line in lines[1:] if line.split()[3] == "0A"]
    return f"0100007F:{port:04X}" in listening and f"00000000:{port:04X}" not in listening
