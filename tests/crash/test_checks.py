"""The checks of the crash suite catch what they are for: a wrong store or projector fails them."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, text

from application import jobs
from application.composition import Turnstile
from application.store import answers, log, transactions
from application.store.database import writing
from application.store.log import Head, NewEntry
from application.store.work import Key
from domain.errors import SoldOut
from domain.event import Event
from domain.ids import uuid7
from projections.engine import positions, projector
from projections.engine.positions import Standing
from projections.engine.projector import Projector
from tests import appending
from tests.application.store.desk import Desk, placing
from tests.crash import checks
from tests.crash.checks import Faults
from tests.crash.load import Account, Answered
from tests.crash.suite import examine
from tests.domain.given import on_sale, registered, terms
from tests.workers.festival import box_office
from tests.workers.processes import PATIENCE, eventually
from tests.workers.projecting import ask
from tests.workers.selling import Sale
from tests.workers.tallies import register

WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
KEY = "client-1"

Begin = Callable[[Connection], Head]


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    """A desk with one ticket to sell, and Anna, who may buy it."""
    with box_office(migrated_url) as turnstile:
        desk = Desk(turnstile.engine)
        desk.given(on_sale(terms(quantity=1)), registered())
        yield desk


def find(check: Callable[..., Faults], desk: Desk, *arguments: Any) -> Faults:
    with desk.engine.connect() as connection:
        return check(connection, *arguments)


# A store without the lock


def from_a_sequence(connection: Connection) -> Head:
    """Whose turn it is, as event stores often do it: nobody has to wait for anybody."""
    connection.exec_driver_sql("BEGIN")
    taken = connection.execute(text("SELECT nextval('turns') - 1")).scalar_one()
    digest = bytes(connection.execute(text("SELECT hash FROM log_head")).scalar_one())
    return Head(taken, digest)


def overtaken(url: str, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> Faults:
    """What is wrong after a writer could commit, and be projected, before one who began earlier."""
    with box_office(url) as slow, box_office(url) as quick:
        other = threading.Thread(target=register, args=(quick,))

        def overtake() -> None:
            other.start()
            eventually(lambda: not other.is_alive() or ask(slow, WAITING))
            Projector(quick).catch_up()

        monkeypatch.setattr(transactions, "begin", followed_once(begin, overtake))
        register(slow)
        other.join(PATIENCE)
    return examine(url, Account())


def followed_once(begin: Begin, then: Callable[[], None]) -> Begin:
    turns = iter((then,))

    def begin_slowly(connection: Connection) -> Head:
        head = begin(connection)
        next(turns, lambda: None)()
        return head

    return begin_slowly


def test_a_store_without_the_lock_is_caught(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with box_office(postgres_url) as turnstile, writing(turnstile.engine) as connection:
        connection.execute(text("CREATE SEQUENCE turns"))
    faults = overtaken(postgres_url, from_a_sequence, monkeypatch)
    assert "The log ends at 1, but has position 2." in faults
    assert any(fault.startswith("customers lacks, unlike a rebuild,") for fault in faults)


def test_the_store_with_the_lock_passes(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert overtaken(postgres_url, transactions.begin, monkeypatch) == []


# A projector that forgets its position


def forgetting_once(move: Callable[..., Standing]) -> Callable[..., Standing]:
    """Instead of the first position, nothing is written."""
    forgotten = iter((True,))

    def forget(writes: Any, names: Any, position: int) -> Standing:
        if next(forgotten, False):
            return Standing(position, datetime.now(UTC))
        return move(writes, names, position)

    return forget


def sell_and_project(turnstile: Turnstile) -> None:
    Sale(turnstile).sell()
    Projector(turnstile).catch_up()


def test_a_projector_that_forgets_its_position_is_caught(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "move", forgetting_once(positions.move))
    with box_office(migrated_url) as turnstile:
        sell_and_project(turnstile)
    faults = examine(migrated_url, Account())
    assert any(fault.startswith("event_summaries has, unlike a rebuild,") for fault in faults)
    assert any(fault.startswith("customers has parked position 1:") for fault in faults)


def test_a_projector_that_remembers_its_position_passes(migrated_url: str) -> None:
    with box_office(migrated_url) as turnstile:
        sell_and_project(turnstile)
    assert examine(migrated_url, Account()) == []


# The other checks


def test_tickets_that_were_sold_twice_are_found(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.place()
    with pytest.raises(SoldOut):
        desk.place()
    assert find(checks.nothing_oversold, desk) == []
    monkeypatch.setattr(Event, "_require_sellable", lambda *_: None)
    desk.place()
    assert find(checks.nothing_oversold, desk) == [
        f"At position {desk.position()}, 2 of 1 are taken."
    ]


def place_twice(desk: Desk) -> None:
    """The same command twice, each time as the same request."""
    command = placing(Key("orders", KEY, "a digest"))
    context = replace(command.context, request_id=KEY)
    for _ in range(2):
        arguments = command.arguments | {"order_id": uuid7()}
        desk.do_all(replace(command, context=context, arguments=arguments))


def test_a_retried_command_that_takes_effect_twice_is_found(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Event, "_require_sellable", lambda *_: None)
    monkeypatch.setattr(answers, "find", lambda *_: {})
    monkeypatch.setattr(answers, "keep", lambda *_: None)
    place_twice(desk)
    (fault,) = find(checks.no_command_took_effect_twice, desk)
    assert fault.startswith(f"Command {KEY} had 2 outcomes: Order.Placed at ")


def test_a_retried_command_whose_answer_was_kept_passes(desk: Desk) -> None:
    place_twice(desk)
    assert desk.topics()["Order.Placed"] == 1
    assert find(checks.no_command_took_effect_twice, desk) == []


def answered(key: str, status: int, position: int) -> Answered:
    body = {"position": position, "type": "/problems/sold-out"}
    return Answered("place", key, status, body, attempts=1, seconds=0.1)


def test_an_answer_that_the_log_contradicts_is_found(desk: Desk) -> None:
    place_twice(desk)
    end = desk.position()

    def faults(answer: Answered) -> Faults:
        return find(checks.every_answer_is_recorded, desk, [answer])

    assert faults(answered(KEY, 201, end)) == []
    assert faults(answered("unheard", 409, 0)) == []
    assert "nothing of it is recorded" in faults(answered("unheard", 201, end))[0]
    assert f"its last event is Order.Placed at {end}" in faults(answered(KEY, 201, end - 1))[0]
    assert f"it left Order.Placed at {end}" in faults(answered(KEY, 409, 0))[0]


def test_a_stream_with_a_gap_is_found(desk: Desk) -> None:
    assert find(checks.streams_have_no_gap, desk) == []
    stream = uuid7()
    now = datetime.now(UTC)
    with writing(desk.engine) as connection:
        new = [NewEntry(stream, version, "Order.Placed", "{}", "{}", now) for version in (1, 3)]
        appending.append(connection, log.lock_head(connection), new, now)
    assert find(checks.streams_have_no_gap, desk) == [
        f"Stream {stream} has 2 events, but ends at version 3."
    ]


def test_a_broken_hash_chain_is_found(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(checks.chain_is_closed, desk) == []
    broken = desk.position() + 1
    with monkeypatch.context() as patched:
        patched.setattr(log, "chained_hash", lambda *_: bytes(32))
        desk.place()
    assert find(checks.chain_is_closed, desk) == [f"The hash chain is broken at position {broken}."]


def test_a_job_that_nobody_did_is_found(desk: Desk) -> None:
    with writing(desk.engine) as connection:
        wanted, other = (jobs.request(connection, "rebuild", "orders") for _ in range(2))
    waiting = "The rebuild of orders is waiting: None."
    assert find(checks.every_job_is_done, desk, [wanted]) == [waiting]
    with writing(desk.engine) as connection:
        jobs.finish(connection, wanted, jobs.DONE, "done")
    assert find(checks.every_job_is_done, desk, [wanted]) == []
    assert find(checks.every_job_is_done, desk, [wanted, other]) == [waiting]
