"""What goes wrong: faults by name, each of which leaves the repair to the box office."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from projections.registry import READ_MODELS
from tests.crash.deployment import Deployment
from tests.services import flush_redis
from tests.workers.processes import kill_session

Fault = Callable[[Deployment, random.Random], None]

HOUR = 3600.0
TAKE_OVER_SECONDS = 5.0


def killed(part: str) -> Fault:
    """The part dies at once; the supervisor starts it again."""

    def kill(box: Deployment, chance: random.Random) -> None:
        _signal(box.part(part), signal.SIGKILL)

    return kill


def web_worker_killed(box: Deployment, chance: random.Random) -> None:
    """One web process dies under its main process, which starts another (found on Linux only)."""
    main = box.part("serve")
    children = Path(f"/proc/{main}/task/{main}/children")
    if children.exists() and (workers := children.read_text().split()):
        _signal(int(chance.choice(workers)), signal.SIGKILL)


def postgres_restarted(number: int) -> Fault:
    """The database ends, which takes all sessions with it, and starts again."""

    def restart(box: Deployment, chance: random.Random) -> None:
        box.postgres.end(number)
        time.sleep(chance.uniform(0, 1))
        box.postgres.start()

    return restart


def sessions_ended(which: str) -> Fault:
    """The database ends those sessions, whatever they are doing."""

    def end(box: Deployment, chance: random.Random) -> None:
        with box.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                f" WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}"
            )

    return end


def redis_restarted(box: Deployment, chance: random.Random) -> None:
    """Redis dies, and comes back without anything that it knew."""
    box.redis.end(signal.SIGKILL)
    time.sleep(chance.uniform(0, 2))
    box.redis.start()


def redis_emptied(box: Deployment, chance: random.Random) -> None:
    """Redis forgets everything."""
    flush_redis(box.redis.url)


def two_projectors(box: Deployment, chance: random.Random) -> None:
    """A second projector takes all leases, while the first still believes that it has them."""
    with box.process("project") as second:
        deadline = time.monotonic() + TAKE_OVER_SECONDS
        while "projector.leases" not in second.said and time.monotonic() < deadline:
            _let_leases_run_out(box)
            time.sleep(0.1)
        time.sleep(chance.uniform(0.5, 2))


def projector_frozen(box: Deployment, chance: random.Random) -> None:
    """The projector stops in the middle of what it does, another one takes over, and it goes on."""
    frozen = box.part("project")
    _signal(frozen, signal.SIGSTOP)
    try:
        two_projectors(box, chance)
    finally:
        _signal(frozen, signal.SIGCONT)


def transaction_open(box: Deployment, chance: random.Random) -> None:
    """Somebody has read every read model, in a transaction that stays open."""
    tables = ", ".join(table.name for model in READ_MODELS for table in model.tables)
    _hold(box, f"LOCK TABLE {tables} IN ACCESS SHARE MODE", chance.uniform(1, 3))


def head_held(box: Deployment, chance: random.Random) -> None:
    """Somebody has the lock of the log, and does nothing with it."""
    _hold(box, "SELECT * FROM log_head FOR UPDATE", chance.uniform(0.5, 2))


def clock_back(box: Deployment, chance: random.Random) -> None:
    """For a while it is an hour earlier; then it is now again, and the holds of that time lapse."""
    box.put_clock_wrong(-HOUR)
    time.sleep(chance.uniform(0.5, 2))
    box.put_clock_wrong(0.0)


def power_cut(box: Deployment, chance: random.Random) -> None:
    """Everything dies at once, the supervisor too, and is started again."""
    kill_session(box.up.process.pid)
    box.redis.end(signal.SIGKILL)
    box.postgres.end(signal.SIGQUIT)
    box.redis.start()
    box.postgres.start()
    box.start()
    box.part("serve")  # a supervisor that finds no database when it starts ends, and says so


FAULTS: dict[str, Fault] = {
    "web killed": killed("serve"),
    "web worker killed": web_worker_killed,
    "projector killed": killed("project"),
    "reactor killed": killed("react"),
    "jobs killed": killed("work"),
    "PostgreSQL restarted": postgres_restarted(signal.SIGINT),
    "PostgreSQL crashed": postgres_restarted(signal.SIGQUIT),
    "sessions ended": sessions_ended("true"),
    "notifications lost": sessions_ended("query LIKE 'LISTEN%'"),
    "Redis restarted": redis_restarted,
    "Redis emptied": redis_emptied,
    "two projectors": two_projectors,
    "projector frozen": projector_frozen,
    "transaction left open": transaction_open,
    "log head held": head_held,
    "clock back": clock_back,
    "power cut": power_cut,
}


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it died before, and is not back yet
        os.kill(pid, number)


def _let_leases_run_out(box: Deployment) -> None:
    with box.cursor() as cursor:
        # Not those that a process was frozen with while it had them locked.
        cursor.execute(
            "UPDATE leases SET runs_until = 0"
            " WHERE name IN (SELECT name FROM leases FOR UPDATE SKIP LOCKED)"
        )


def _hold(box: Deployment, lock: str, seconds: float) -> None:
    with box.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(lock)
        time.sleep(seconds)
        cursor.execute("ROLLBACK")
