"""The crash suite: a box office under load, faults at random moments, and what must hold then."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from application.composition import Turnstile
from application.jobs import unfinished
from application.store.tables import events
from domain.order import Order
from projections.engine.projector import Projector
from projections.engine.status import status
from tests.crash import checks
from tests.crash.checks import Faults
from tests.crash.deployment import Deployment, deployed
from tests.crash.faults import FAULTS
from tests.crash.load import Account, Load, open_doors
from tests.keys import service_key
from tests.workers.festival import box_office
from tests.workers.processes import Client

CLIENTS = 4
CALM = (0.2, 0.8)
RECOVERY_SECONDS = 120.0

CHECKS: tuple[Callable[[Connection], Faults], ...] = (
    checks.positions_have_no_gap,
    checks.streams_have_no_gap,
    checks.chain_is_closed,
    checks.no_command_took_effect_twice,
    checks.nothing_oversold,
    checks.nothing_is_parked,
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """What was done to a box office, what its clients did meanwhile, and what was wrong after."""

    seed: int
    injected: list[str]
    account: Account
    recorded: Counter[str]  # events by topic
    recovery: float  # seconds
    faults: Faults
    log: str

    def __str__(self) -> str:
        return "\n".join((*self._summary(), *(f"FAULT: {fault}" for fault in self.faults)))

    def _summary(self) -> Iterator[str]:
        answers = self.account.answers
        longest = max((answer.seconds for answer in answers), default=0.0)
        yield f"seed {self.seed}"
        yield f"{len(self.injected)} faults injected: {_tally(self.injected)}"
        yield (
            f"{len(answers)} commands answered: "
            + _tally(f"{answer.kind} {answer.status}" for answer in answers)
        )
        yield (
            f"{sum(answer.attempts > 1 for answer in answers)} of them sent more than once;"
            f" the longest wait for an answer was {longest:.1f} s"
        )
        yield (
            f"{self.recorded.total()} events recorded; {self.recorded[Order.Expired.TOPIC]} holds"
            f" lapsed, {len(self.account.jobs)} rebuilds asked for"
        )
        yield f"all work done {self.recovery:.1f} s after the last fault"
        yield f"{len(self.faults)} wrong"


def crash(seed: int, seconds: float, say: Say = print) -> Report:
    """Torment a new box office for so many seconds, let it recover, and examine it."""
    chance = random.Random(seed)
    with deployed() as box:
        with box_office(box.url) as turnstile:
            key = service_key(turnstile)
        load = Load(box.port, key, open_doors(box.port, key), seed, CLIENTS)
        try:
            injected = list(_torment(box, chance, time.monotonic() + seconds, say))
        finally:
            ended = time.monotonic()
            account = load.stop()
        faults = account.complaints + _recover(box, account)
        recovery = time.monotonic() - ended
        faults += _end(box) + examine(box.url, account)
        return Report(seed, injected, account, _recorded(box.url), recovery, faults, box.up.said)


def _torment(box: Deployment, chance: random.Random, until: float, say: Say) -> Iterator[str]:
    """Inject faults in random order, each once before any comes again; their names."""
    started = time.monotonic()
    for name in _in_turns(chance):
        time.sleep(chance.uniform(*CALM))
        if time.monotonic() >= until:
            return
        say(f"{time.monotonic() - started:6.1f} s  {name}")
        FAULTS[name](box, chance)
        yield name


def _in_turns(chance: random.Random) -> Iterator[str]:
    while True:
        yield from chance.sample(list(FAULTS), len(FAULTS))


def _recover(box: Deployment, account: Account) -> Faults:
    """Wait until all work goes on again, by itself: every fault is what had not come by then."""
    with box_office(box.url) as turnstile:
        awaited = {
            "It is not ready.": lambda: Client(box.port).answers("/health/ready"),
            "Read models lag behind.": lambda: not _lag(turnstile),
            "Jobs are not finished.": lambda: not _waiting(turnstile, account),
        }
        deadline = time.monotonic() + RECOVERY_SECONDS
        return [fault for fault, holds in awaited.items() if not _comes(holds, deadline)]


def _end(box: Deployment) -> Faults:
    code = box.up.end(signal.SIGTERM)
    faults = [] if code == 0 else [f"Told to end, the supervisor ended with {code}."]
    return faults if box.up.leaves_nobody else [*faults, "The supervisor left processes behind."]


def examine(url: str, account: Account) -> Faults:
    """What is wrong with a database on which nothing runs."""
    with box_office(url) as turnstile:
        Projector(turnstile).catch_up()
        with turnstile.engine.connect() as connection:
            faults = [fault for check in CHECKS for fault in check(connection)]
            faults += checks.every_answer_is_recorded(connection, account.answers)
            faults += checks.every_job_is_done(connection, account.jobs)
        return faults + checks.read_models_equal_rebuilt(turnstile)


def _recorded(url: str) -> Counter[str]:
    with box_office(url) as turnstile, turnstile.engine.connect() as connection:
        return Counter(connection.scalars(select(events.c.topic)))


def _lag(turnstile: Turnstile) -> int:
    with turnstile.engine.connect() as connection:
        return max(int(model["lag_events"]) for model in status(connection))


def _waiting(turnstile: Turnstile, account: Account) -> bool:
    with turnstile.engine.connect() as connection:
        return any(job["id"] in account.jobs for job in unfinished(connection))


def _comes(holds: Callable[[], Any], deadline: float) -> bool:
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _tally(names: Iterable[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(Counter(names).items()))
