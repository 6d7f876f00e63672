"""Appends of three events from 16 threads of one process, beside the library's own recorder."""

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from sqlalchemy import text

from application.composition import Turnstile
from application.presenting import show
from application.store.recorders import Factory
from application.store.work import Command, Work
from benchmarks import baseline
from benchmarks.figures import compared, report
from benchmarks.scenes import CONTEXT
from benchmarks.servers import box_office, fresh_database
from domain.customer import Customer, Profile
from domain.ids import uuid7

THREADS = 16
EVENTS = 3
WARM_UP_SECONDS = 0.5
PROFILE = Profile("Ada Lovelace", "ada.lovelace@example.org", "+44 20 7946 0000", "GB")


def run(seconds: float, rounds: int) -> None:
    """Rounds alternate. Both are given ready events, of the size that ours have.

    The ratio is to the library's default, which locks the table. Its insert function is told as
    well: it is faster, but lets readers miss events whose positions are filled in late. So is
    what commands make that decide on an aggregate, encode its events and show it.
    """
    ours: list[float] = []
    decided: list[float] = []
    locked: list[float] = []
    by_function: list[float] = []
    for _ in range(rounds):
        rate, size = _decided(seconds)
        decided.append(rate)
        ours.append(_recorded(seconds, size))
        locked.append(_library(seconds, size, "table-lock"))
        by_function.append(_library(seconds, size, "insert-function"))
    report(
        compared(
            "appends of 3 events, 16 threads",
            "appends/s",
            ours,
            locked,
            6.0,
            bytes=size,
            baseline_by_insert_function=round(statistics.median(by_function)),
            by_commands=round(statistics.median(decided)),
        )
    )


def _recorded(seconds: float, size: int) -> float:
    """Appends of ready events a second, through the interface of the library's recorders."""
    state = b"x" * size
    with fresh_database() as url, Factory({"DATABASE_URL": url, "CREATE_TABLE": "no"}) as factory:
        recorder = factory.application_recorder()

        def append() -> None:
            stream_id = uuid7()
            recorder.insert_events(
                [
                    StoredEvent(stream_id, version, "Order.Placed", state)
                    for version in range(1, EVENTS + 1)
                ]
            )

        _from_all_threads(append, WARM_UP_SECONDS)
        return _from_all_threads(append, seconds) / seconds


def _decided(seconds: float) -> tuple[float, int]:
    """Commands of three events a second, and the mean bytes of an event's payload and metadata."""
    with fresh_database() as url, box_office(url) as turnstile:

        def append() -> None:
            arguments = {"customer_id": uuid7()}
            turnstile.executor.execute(Command(_three_facts, arguments, CONTEXT, show))

        _from_all_threads(append, WARM_UP_SECONDS)
        rate = _from_all_threads(append, seconds) / seconds
        return rate, _mean_size(turnstile)


def _library(seconds: float, size: int, variant: str) -> float:
    with fresh_database() as url:
        measured = baseline.measure("appends", url, seconds, size, variant)
    return float(measured["appends_per_second"])


def _from_all_threads(append: Callable[[], None], seconds: float) -> int:
    """How many appends all threads together make in that time."""
    counts = [0] * THREADS
    deadline = time.perf_counter() + seconds

    def run(number: int) -> None:
        while time.perf_counter() < deadline:
            append()
            counts[number] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def _three_facts(work: Work, customer_id: UUID) -> Customer:
    """A customer who registers and changes twice."""
    customer = Customer.register(customer_id, PROFILE, work.now)
    customer.change(replace(PROFILE, phone="+44 20 7946 0001"), work.now)
    customer.change(replace(PROFILE, phone="+44 20 7946 0002"), work.now)
    work.save(customer)
    return customer


def _mean_size(turnstile: Turnstile) -> int:
    query = text("SELECT avg(length(payload) + length(metadata)) FROM events")
    with turnstile.engine.connect() as connection:
        return int(connection.execute(query).scalar_one())
