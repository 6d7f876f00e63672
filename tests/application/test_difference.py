"""Differences and states of random histories are those of whole histories in memory."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from application import history
from application.difference import Moment, _changed, _changes, _leaves_of, _stand, difference
from application.history import Clock, come_by, replay_one, replay_some
from application.presenting import show
from application.store import log
from application.store.database import open_engine, writing
from application.store.log import Entry
from application.store.mapper import to_new_entry
from application.store.snapshots import keep_snapshots, load_stream
from domain.errors import NotFound
from domain.event import Event
from domain.ids import uuid7
from tests.appending import append
from tests.domain.given import ADULT, NOW, details, terms

times = st.integers(0, 12).map(lambda hours: NOW + timedelta(hours=hours))
clocks = st.sampled_from(history.CLOCKS)
moments = st.tuples(times, times) | st.tuples(st.integers(0, 12), st.integers(0, 12))


@pytest.fixture(scope="module")
def engine(migrated_sqlite_file: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    file = tmp_path_factory.mktemp("difference") / "turnstile.db"
    file.write_bytes(migrated_sqlite_file.read_bytes())
    engine = open_engine(f"sqlite:///{file}")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(log, "OPENED_TOGETHER", 3)
        yield engine
    engine.dispose()


def recorded(connection: Connection, clocks: Sequence[tuple[datetime, datetime]]) -> UUID:
    """An event whose facts happened and were recorded at those times; with a snapshot of it."""
    event = Event.draft(uuid7(), details(), clocks[0][0])
    steps: tuple[Callable[[datetime], None], ...] = (
        lambda at: event.add_ticket_type(ADULT, terms(quantity=1000), at),
        event.publish,
        lambda at: event.hold(uuid7(), {ADULT: 1}, at),
        lambda at: event.change(details(title=f"{uuid7()}"), at),
        lambda at: event.add_ticket_type(uuid7(), terms(name=f"{uuid7()}"), at),
    )
    for number, (at, _) in enumerate(clocks[1:]):
        steps[number if number < 2 else 2 + number % 3](at)
    for fact, (_, at) in zip(event.collect_events(), clocks, strict=True):
        append(connection, log.lock_head(connection), [to_new_entry(fact, "{}")], at)  # type: ignore[arg-type]
    half = load_stream(connection, event.id, until=len(clocks) // 2 + 1)
    assert half is not None
    keep_snapshots(connection, [half])
    return event.id


def in_memory(entries: list[Entry], start: Moment, end: Moment, by: Clock) -> Any:
    """What `difference` comes to by lists of all events."""

    def until(moment: Moment) -> list[Entry]:
        if isinstance(moment, datetime):
            return list(come_by(entries, moment, by))
        return [entry for entry in entries if entry.version <= moment]

    first, last = until(start), until(end)
    if not last:
        return NotFound
    already = {entry.position for entry in first}
    shared = list(takewhile(lambda entry: entry.position in already, last))
    makers: dict[str, list[int]] = {}
    aggregate = replay_some(shared)
    left = _leaves_of(aggregate)
    for entry in last[len(shared) :]:
        aggregate = replay_one(aggregate, entry)
        leaves = _leaves_of(aggregate)
        if entry.position not in already:
            for path in _changed(left, leaves):
                makers.setdefault(path, []).append(entry.position)
        left = leaves
    before, after = replay_some(first), replay_some(last)
    return {
        "id": entries[0].stream_id,
        "from": _stand(before),
        "to": _stand(after),
        "changes": _changes(_leaves_of(before), _leaves_of(after), makers),
    }


def outcome(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except NotFound:
        return NotFound


@given(clocks=st.lists(st.tuples(times, times), min_size=1, max_size=12), asked=moments, by=clocks)
def test_a_difference_and_a_state_are_those_of_the_whole_history_in_memory(
    engine: Engine, clocks: list[tuple[datetime, datetime]], asked: Any, by: Clock
) -> None:
    start, end = sorted(asked)
    with writing(engine) as connection:
        event_id = recorded(connection, clocks)
        entries = log.read_stream(connection, event_id)
        found = outcome(lambda: difference(connection, "event", event_id, start, end, by=by))
        if isinstance(end, int) and end > len(entries):
            assert found is NotFound
            return
        assert found == in_memory(entries, start, end, by)
        if isinstance(end, datetime):
            then = outcome(lambda: history.as_of(connection, "event", event_id, at=end, by=by))
            whole = replay_some(come_by(entries, end, by))
            assert then == (
                NotFound if whole is None else {**show(whole), "as_of": whole.modified_on}
            )


def test_only_a_few_events_are_in_memory_at_a_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, sizes = log.read_stream, []

    def counted(*asked: Any, **limits: Any) -> list[Entry]:
        sizes.append(len(entries := read(*asked, **limits)))
        return entries

    later = NOW + timedelta(hours=1)
    with writing(engine) as connection:
        event_id = recorded(connection, [(NOW, NOW)] * 6 + [(later, later)] * 6)
        monkeypatch.setattr(log, "read_stream", counted)
        assert history.as_of(connection, "event", event_id, at=later)["version"] == 12
        assert difference(connection, "event", event_id, NOW, later)["from"]["version"] == 6
        assert difference(connection, "event", event_id, 0, 12)["from"]["version"] == 0
    assert max(sizes) == log.OPENED_TOGETHER == 3
