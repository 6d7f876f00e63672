"""An import that is killed again and again comes to the same as one that was left in peace."""

import json
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from application.store import log
from tests.crash.checks import Faults, chain_is_closed, positions_have_no_gap
from tests.workers.festival import RECORD, SOURCE, box_office, count, import_lines, record
from tests.workers.processes import eventually, turnstile

KILLS = 10
LATEST = 0.9  # of the log, so that there is still somebody to kill
LONGEST_DELAY = 0.05  # about as long as a transaction takes
SUMMARY = {"refused": 0, "lines": len(record())}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the log holds after an import in one go, into a database of its own."""
    path = tmp_path_factory.mktemp("undisturbed") / "turnstile.db"
    with box_office(f"sqlite:///{path}") as box, box.engine.connect() as connection:
        import_lines(box, record())
        return recorded(connection)


def test_an_import_killed_ten_times_records_the_same_events(
    database_url: str, undisturbed: list[Any]
) -> None:
    seed = random.randrange(1_000_000)
    print(f"Killed at the moments of seed {seed}.")  # pytest shows it with a failure
    chance = random.Random(seed)
    last = int(len(undisturbed) * LATEST)
    with box_office(database_url) as box, box.engine.connect() as connection:
        for position in sorted(chance.sample(range(1, last), KILLS)):
            kill_past(position, connection, database_url, chance.uniform(0, LONGEST_DELAY))
            require(positions_have_no_gap, connection)
        before = head(connection)

        finished = run_to_the_end(database_url)
        assert finished["position"] == head(connection) == len(undisturbed)
        assert finished["applied"] + finished["already"] == finished["lines"]
        assert finished["applied"] > 0
        assert finished["already"] > 0
        assert before < len(undisturbed)
        assert recorded(connection) == undisturbed
        require(chain_is_closed, connection)
        assert count(connection, "idempotency") == len(record())

        repeated = run_to_the_end(database_url)
        assert (repeated["applied"], repeated["already"]) == (0, finished["lines"])
        assert head(connection) == len(undisturbed)


def kill_past(position: int, connection: Connection, url: str, delay: float) -> None:
    """Start the import, and kill it as soon as the log has passed that position, or soon after."""
    with turnstile("import", str(RECORD), "--source", SOURCE, url=url) as running:
        eventually(lambda: head(connection) >= position, pause=0.002)
        time.sleep(delay)
        assert running.end(signal.SIGKILL) == -signal.SIGKILL


def run_to_the_end(url: str) -> dict[str, Any]:
    """The summary of an import that nobody kills."""
    with turnstile("import", str(RECORD), "--source", SOURCE, "--json", url=url) as running:
        assert running.wait() == 0
        summary: dict[str, Any] = json.loads(running.said.splitlines()[-1])
    assert summary.items() >= SUMMARY.items()
    return summary


def head(connection: Connection) -> int:
    connection.rollback()
    return log.read_head(connection)


def require(check: Callable[[Connection], Faults], connection: Connection) -> None:
    connection.rollback()
    assert check(connection) == []


def recorded(connection: Connection) -> list[Any]:
    """Everything that is recorded, in order, but for secrets and the time of recording."""
    entries = log.read(connection, limit=1_000_000)
    return [
        (
            entry.position,
            entry.stream_id,
            entry.version,
            entry.topic,
            {key: value for key, value in json.loads(entry.payload).items() if key != "secret"},
            entry.metadata,
            entry.occurred_at,
        )
        for entry in entries
    ]
