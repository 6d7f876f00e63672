"""An idempotency key gets one answer, however often and through whomever it is sent."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select

from application.gate import transfer_ticket
from application.orders import Wish
from application.store import answers, prepared
from application.store.answers import forget_expired
from application.store.database import writing
from application.store.group_commit import BATCHES
from application.store.log import lock_head
from application.store.tables import idempotency
from application.store.work import Answer, Key, Work
from domain.errors import DomainError, IdempotencyKeyReused, SoldOut, TransferRefused
from domain.event import Event
from tests.application.store.conftest import OpenDesk
from tests.application.store.desk import Desk, command, counted, placing
from tests.domain.given import ANNA, FESTIVAL, FIRST, KID, issued
from tests.workers.processes import eventually

KEY = Key("ada", "one", "a digest")
OTHER_BODY = Key("ada", "one", "another digest")
OTHER_KEY = Key("ada", "two", "a digest")
SAME_KEY_OF_BORIS = Key("boris", "one", "a digest")


def orders(desk: Desk) -> int:
    return desk.topics()["Order.Placed"]


def kept(desk: Desk) -> int:
    with desk.engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(idempotency)) or 0)


def test_the_same_key_gets_the_stored_answer(desk: Desk, open_desk: OpenDesk):
    first = desk.place(KEY)
    desk.place()
    for again in (desk.place(KEY), open_desk().place(KEY)):
        assert again.replayed
        assert again.position == first.position
        assert (again.body["id"], again.version) == (str(first.body["id"]), first.version)
    assert not first.replayed
    assert orders(desk) == 2


def test_what_is_kept_is_read_once_however_much_was_missed(
    desk: Desk, open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
):
    first, late = desk.place(KEY), open_desk()
    late.place()
    for _ in range(3):
        desk.place()
    execute, told = prepared.execute, []

    def listen(*arguments: Any) -> list[Any]:
        rows = execute(*arguments)
        told.append(sum(isinstance(value, str) and "a digest" in value for value in sum(rows, ())))
        return rows

    monkeypatch.setattr(prepared, "execute", listen)
    assert late.place(KEY).position == first.position
    assert max(told, default=1) == 1


def test_a_key_is_its_senders_own(desk: Desk):
    for key in (KEY, OTHER_KEY, SAME_KEY_OF_BORIS):
        assert not desk.place(key).replayed
    assert orders(desk) == 3


def test_another_body_is_refused_and_the_answer_stays(desk: Desk):
    first = desk.place(KEY)
    with pytest.raises(IdempotencyKeyReused):
        desk.place(OTHER_BODY)
    assert desk.place(KEY).position == first.position
    assert orders(desk) == 1


def test_a_key_twice_in_one_batch_is_decided_once(desk: Desk):
    first, same, other_body = desk.do_all(placing(KEY), placing(KEY), placing(OTHER_BODY))
    assert isinstance(first, Answer)
    assert not first.replayed
    assert same == replace(first, replayed=True)
    assert isinstance(other_body, IdempotencyKeyReused)
    assert orders(desk) == 1


def test_a_refusal_twice_in_one_batch_tells_which_one_came_first(desk: Desk):
    too_many = placing(KEY, wishes=[Wish(KID, 1_000)])
    first, same = desk.do_all(too_many, too_many)
    assert isinstance(first, DomainError)
    assert isinstance(same, DomainError)
    assert (first.rule(), first.detail, first.replayed) == (same.rule(), same.detail, False)
    assert same.replayed


def test_who_joins_a_batch_while_it_waits_for_the_lock_gets_the_stored_answer(desk: Desk):
    first = desk.place(KEY)
    with ThreadPoolExecutor(3) as threads:
        with writing(desk.engine) as connection:
            lock_head(connection)
            leading = threads.submit(desk.place, OTHER_KEY)
            assert eventually(lambda: desk.executor._batch and not desk.executor._queue)
            again = threads.submit(desk.do_all, placing(KEY), placing(OTHER_BODY))
            assert eventually(lambda: len(desk.executor._queue) == 2)
            before = counted(BATCHES)
        assert not leading.result().replayed
        same, other_body = again.result()
    assert counted(BATCHES) - before == 1
    assert isinstance(same, Answer)
    assert (same.replayed, same.position) == (True, first.position)
    assert isinstance(other_body, IdempotencyKeyReused)
    assert orders(desk) == 2


@pytest.mark.parametrize("processes", [1, 2])
def test_a_key_from_8_threads_at_once_is_decided_once(
    desk: Desk, open_desk: OpenDesk, processes: int
):
    desks = [desk, open_desk()][:processes]
    with ThreadPoolExecutor(8) as threads:
        for n in range(5):
            key = Key("ada", f"burst {n}", "a digest")
            found = list(
                threads.map(lambda number, key=key: place_at(desks, number, key), range(8))
            )
            assert len(set(found)) == 1
            assert orders(desk) == n + 1


def place_at(desks: list[Desk], number: int, key: Key) -> tuple[str, int]:
    placed = desks[number % len(desks)].place(key)
    return str(placed.body["id"]), placed.position


def test_a_refusal_is_kept_as_well(desk: Desk):
    desk.place(wishes=[Wish(KID, 5)])
    with pytest.raises(SoldOut) as first:
        desk.place(KEY, wishes=[Wish(KID, 1)])
    end = desk.position()
    with pytest.raises(SoldOut) as again:
        desk.place(KEY)
    assert again.value.detail == first.value.detail
    assert again.value.replayed
    assert again.value.position is None, "it left no evidence"
    assert not first.value.replayed
    assert desk.position() == end


def test_a_refusal_that_left_evidence_tells_where_each_time(desk: Desk):
    desk.given(issued())
    refused = command(transfer_ticket, KEY, ticket_id=FIRST, to_customer_id=ANNA)
    _, first, last = desk.do_all(placing(), refused, placing())
    (again,) = desk.do_all(refused)
    assert isinstance(first, TransferRefused)
    assert isinstance(again, TransferRefused)
    assert isinstance(last, Answer)
    assert first.position == again.position == last.position - 2  # an order is two events


def break_down(work: Work) -> Event:
    work.load(Event, FESTIVAL)
    raise ZeroDivisionError


def test_a_bug_is_not_kept_so_that_the_command_can_be_sent_again(desk: Desk):
    (failed,) = desk.do_all(command(break_down, KEY))
    assert isinstance(failed, ZeroDivisionError)
    assert not desk.place(KEY).replayed


def test_each_of_several_keys_leads_to_the_answer(desk: Desk):
    first = desk.place(KEY, OTHER_KEY)
    assert desk.place(OTHER_KEY).position == first.position
    assert desk.place(KEY).position == first.position
    assert orders(desk) == 1


def key(*, expires_in: timedelta | None, **changes: Any) -> Key:
    expires_at = None if expires_in is None else datetime.now(UTC) + expires_in
    return Key("ada", "one", changes.get("fingerprint", "a digest"), expires_at)


@pytest.mark.parametrize("later", [timedelta(hours=1), None], ids=str)
def test_an_expired_key_makes_room(desk: Desk, later: timedelta | None):
    desk.place(key(expires_in=timedelta(seconds=-1)))
    renewed = key(expires_in=later, fingerprint="another digest")
    assert not desk.place(renewed).replayed
    assert desk.place(renewed).replayed
    assert (orders(desk), kept(desk)) == (2, 1)


def test_a_key_that_has_not_expired_is_kept(desk: Desk):
    desk.place(key(expires_in=timedelta(hours=1)))
    assert desk.place(key(expires_in=timedelta(hours=2))).replayed


def test_what_has_expired_can_be_cleared_away(desk: Desk):
    for number, expires_in in enumerate((timedelta(seconds=-1), timedelta(hours=1), None)):
        expires_at = key(expires_in=expires_in).expires_at
        desk.place(Key("ada", str(number), "a digest", expires_at))
    with writing(desk.engine) as connection:
        assert answers.forget_expired(connection) == 1
    assert kept(desk) == 2


def test_expired_answers_are_forgotten_and_no_others(desk: Desk):
    past = datetime.now(UTC) - timedelta(seconds=1)
    desk.place(Key("ada", "old", "a digest", past))
    desk.place(Key("ada", "new", "a digest", past + timedelta(hours=1)))
    desk.place(KEY)
    with writing(desk.engine) as connection:
        assert forget_expired(connection) == 1
    assert kept(desk) == 2
