"""An altered log is noticed, at the first position that does not fit."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, Engine, delete, update

from application import keys
from application.checkpoints import (
    Checkpoint,
    NoCheckpoint,
    Unsigned,
    take_checkpoint,
    verify,
)
from application.store.chain import LogAltered, scan
from application.store.database import is_postgres, snapshot
from application.store.log import GENESIS, Entry, chained_hash, current_head
from application.store.tables import checkpoints, events, log_head
from tests.application.store.entries import (
    LATER,
    NOON,
    ODD,
    OTHER_STREAM,
    SECRET,
    STREAM,
    append,
    new,
    read_all,
)
from tests.application.store.tampering import alter, chain_anew, cut_off, tampering

KEY = keys.new_key()
LENGTH = 12
AT = 5
NOBODY = UUID("0195e6a0-0000-7000-8000-00000000000a")


@pytest.fixture
def written(engine: Engine) -> Engine:
    """A log of twelve events in two streams, of all kinds of texts and times."""
    entries = [
        new(stream, version, payload=payload, occurred_at=moment)
        for version, moment in enumerate(
            (NOON, NOON.replace(microsecond=0), NOON.replace(microsecond=120_000)), 1
        )
        for stream, payload in ((STREAM, ODD), (OTHER_STREAM, SECRET))
    ]
    append(engine, *entries)
    append(engine, *(new(STREAM, version) for version in range(4, 10)))
    return engine


def found(engine: Engine, **known: Any) -> int:
    """The position that verification names."""
    with pytest.raises(LogAltered) as altered:
        verify(engine, **known)
    return altered.value.position


def test_a_log_as_recorded_is_found_so(written: Engine):
    done = verify(written)
    assert (done.start, done.position, done.checkpoints) == (0, LENGTH, [])
    assert bytes.fromhex(done.hash) == read_all(written)[-1].hash


def test_an_empty_log_is_found_so(engine: Engine):
    assert verify(engine).position == 0


def test_rows_are_handed_out_as_they_are_hashed(written: Engine):
    rows: list[Any] = []
    with snapshot(written) as connection:
        scan(connection, rows.append, after=2, until=7)
    assert [row[0] for row in rows] == [3, 4, 5, 6, 7]
    by_position = {entry.position: entry for entry in read_all(written)}
    for row in rows:
        assert chained_hash(by_position[row[0] - 1].hash, row).hex() == row[8]
        assert row[4] == by_position[row[0]].payload


ALTERED: dict[str, Any] = {
    "position": 1000,
    "stream_id": NOBODY,
    "version": 1000,
    "topic": "Event.Cancelled",
    "payload": ODD.replace("🎪", "🎭"),
    "metadata": '{"actor":"eve"}',
    "occurred_at": NOON + timedelta(microseconds=1),
    "recorded_at": LATER + timedelta(microseconds=1),
    "hash": bytes(32),
}


@pytest.mark.parametrize("column", events.columns.keys())
@pytest.mark.parametrize("position", [1, AT, LENGTH])
def test_any_altered_column_is_named_by_its_position(written: Engine, column: str, position: int):
    with tampering(written) as connection:
        alter(connection, position, **{column: ALTERED[column]})
    assert found(written) == position


def test_an_altered_secret_is_noticed(written: Engine):
    with tampering(written) as connection:
        alter(connection, 2, payload=SECRET.replace("Pk", "PK"))
    assert found(written) == 2


ON_SQLITE = {
    "an id in other letters": (1, "stream_id = upper(stream_id)"),
    "a time in another form": (1, "occurred_at = replace(occurred_at, 'T', ' ')"),
    "a time without its zeros": (3, "occurred_at = replace(occurred_at, '.000000', '')"),
    "a time in another zone": (1, "occurred_at = replace(occurred_at, '+00:00', '+00:01')"),
    "bytes instead of a text": (1, "payload = CAST(payload AS BLOB)"),
    "a number instead of a text": (1, "metadata = 7"),
    "a text instead of a number": (1, "version = 'one'"),
}
ON_POSTGRES = {
    "never": (1, "occurred_at = 'infinity'"),
    "long ago": (1, "occurred_at = '2026-05-01 12:00:00.123456+00 BC'"),
    "a negative version": (1, "version = -version"),
}


def test_what_only_looks_the_same_is_noticed(written: Engine):
    changes = ON_POSTGRES if is_postgres(written) else ON_SQLITE
    for name, (position, change) in changes.items():
        before = read_all(written)[position - 1]
        with tampering(written) as connection:
            changed = f"UPDATE events SET {change} WHERE position = {position}"
            connection.exec_driver_sql(changed)
        assert found(written) == position, name
        with tampering(written) as connection:
            connection.execute(delete(events).where(events.c.position == position))
            connection.execute(events.insert(), before._asdict())
        assert verify(written).position == LENGTH


def delete_one(connection: Connection) -> None:
    connection.execute(delete(events).where(events.c.position == AT))


def move(connection: Connection, start: int, by: int) -> None:
    """Shift what stands at or behind `start`."""
    shifted = events.c.position
    far = 1_000_000
    behind = shifted >= start
    connection.execute(update(events).where(behind).values(position=shifted + far))
    connection.execute(update(events).where(shifted >= far).values(position=shifted - far + by))
    connection.execute(update(log_head).values(position=log_head.c.position + by))


def delete_and_close_the_gap(connection: Connection) -> None:
    delete_one(connection)
    move(connection, AT + 1, -1)


def delete_and_chain_anew(connection: Connection) -> None:
    delete_one(connection)
    chain_anew(connection)


def insert_one(connection: Connection) -> None:
    move(connection, AT, 1)
    put(connection, AT, GENESIS)


def put(connection: Connection, position: int, digest: bytes) -> None:
    entry = Entry(position, *new(NOBODY, 1), LATER, digest)
    connection.execute(events.insert(), entry._asdict())


def swap(connection: Connection) -> None:
    for source, target in ((AT, 500), (AT + 2, AT), (500, AT + 2)):
        alter(connection, source, position=target)


def add_behind_the_head(connection: Connection) -> None:
    last = Entry(*connection.execute(events.select().where(events.c.position == LENGTH)).one())
    entry = Entry(LENGTH + 1, *new(NOBODY, 1), LATER)
    put(connection, LENGTH + 1, chained_hash(last.hash, entry))


Tampering = Callable[[Connection], object]
MOVED: dict[str, tuple[Tampering, int]] = {
    "deleted": (delete_one, AT),
    "deleted without a gap": (delete_and_close_the_gap, AT),
    "deleted and chained anew": (delete_and_chain_anew, AT),
    "inserted": (insert_one, AT),
    "swapped": (swap, AT),
    "put before the first": (lambda connection: put(connection, 0, GENESIS), 1),
    "put far before the first": (lambda connection: put(connection, -7, GENESIS), 1),
    "added behind the head": (add_behind_the_head, LENGTH + 1),
    "cut off": (
        lambda connection: connection.execute(delete(events).where(events.c.position > AT)),
        AT + 1,
    ),
    "everything deleted": (lambda connection: connection.execute(delete(events)), 1),
    "another head": (
        lambda connection: connection.execute(update(log_head).values(hash=GENESIS)),
        LENGTH,
    ),
    "an earlier head": (
        lambda connection: connection.execute(update(log_head).values(position=AT)),
        AT + 1,
    ),
}


@pytest.mark.parametrize(("tamper", "position"), MOVED.values(), ids=MOVED)
def test_rows_that_went_or_came_are_named(written: Engine, tamper: Tampering, position: int):
    with tampering(written) as connection:
        tamper(connection)
    assert found(written) == position


# Against checkpoints, since whoever alters the log can compute its hashes again


def checkpoint(engine: Engine) -> Checkpoint:
    taken = take_checkpoint(engine, KEY.private)
    assert taken is not None
    return taken


def test_a_tail_cut_off_with_its_head_is_noticed_by_a_checkpoint(written: Engine):
    kept = checkpoint(written)
    with tampering(written) as connection:
        cut_off(connection, AT)
    assert found(written) == AT + 1
    assert found(written, since=LENGTH) == AT + 1
    with pytest.raises(LogAltered):
        take_checkpoint(written, KEY.private)
    with tampering(written) as connection:
        connection.execute(delete(checkpoints))
    assert verify(written).position == AT
    assert found(written, known=[kept]) == AT + 1


def test_a_history_written_anew_is_noticed_by_the_checkpoint_behind_it(written: Engine):
    first = checkpoint(written)
    append(written, new(STREAM, 10), new(STREAM, 11))
    checkpoint(written)
    with tampering(written) as connection:
        alter(connection, LENGTH + 1, payload="{}")
        chain_anew(connection)
    assert found(written) == LENGTH + 2
    with tampering(written) as connection:
        alter(connection, AT, payload="{}")
        chain_anew(connection)
    assert found(written) == first.position
    with tampering(written) as connection:
        connection.execute(delete(checkpoints))
    assert verify(written).position == LENGTH + 2
    assert found(written, known=[first]) == first.position


@pytest.mark.parametrize(
    "altered",
    [
        {"position": LENGTH - 1},
        {"hash": "00" * 32},
        {"root": "00" * 32},
        {"taken_at": LATER},
        {"public_key": keys.new_key().public},
        {"signature": "00" * 64},
    ],
    ids=lambda altered: next(iter(altered)),
)
def test_an_altered_checkpoint_is_no_checkpoint(written: Engine, altered: dict[str, Any]):
    checkpoint(written)
    with tampering(written) as connection:
        connection.execute(update(checkpoints).values(altered))
    with pytest.raises(Unsigned):
        verify(written)


def test_only_trusted_keys_count_when_any_is_named(written: Engine):
    checkpoint(written)
    other = keys.new_key()
    assert len(verify(written, trusted=[other.public, KEY.public]).checkpoints) == 1
    with pytest.raises(Unsigned, match=KEY.public):
        verify(written, trusted=[other.public])


def test_verifying_from_a_checkpoint_reads_only_what_came_after(written: Engine):
    start = checkpoint(written)
    append(written, new(STREAM, 10), new(STREAM, 11))
    done = verify(written, since=start.position)
    assert (done.start, done.position, done.checkpoints) == (LENGTH, LENGTH + 2, [start])
    with tampering(written) as connection:
        alter(connection, AT, payload="{}")
    assert verify(written, since=start.position).position == LENGTH + 2
    with tampering(written) as connection:
        alter(connection, LENGTH + 1, payload="{}")
    assert found(written, since=start.position) == LENGTH + 1
    assert found(written) == AT
    with pytest.raises(NoCheckpoint):
        verify(written, since=AT)


def test_a_checkpoint_that_somebody_else_has_at_the_start_has_to_agree(written: Engine):
    start = checkpoint(written)
    other = keys.new_key()
    differs = replace(start, root="00" * 32, public_key=other.public)
    differs = replace(differs, signature=keys.sign(other.private, differs.signed_text()))
    assert found(written, known=[differs], since=LENGTH) == LENGTH


def test_what_is_recorded_meanwhile_is_left_for_the_next_time(written: Engine):
    rows: list[Any] = []
    with snapshot(written) as connection:
        head = current_head(connection)
        append(written, new(STREAM, 10))
        scan(connection, rows.append)
    assert (head.position, len(rows)) == (LENGTH, LENGTH)
    assert verify(written).position == LENGTH + 1
