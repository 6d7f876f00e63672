"""The log: gapless, in commit order, chained, and final."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta, timezone
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    Connection,
    Engine,
    MetaData,
    delete,
    inspect,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

import migrations
from application.store import chain, log
from application.store.database import is_postgres, normal_url, writing
from application.store.log import GENESIS, Entry, Head, chained_hash
from application.store.tables import events, metadata
from tests import appending
from tests.application.store.conftest import OpenEngine
from tests.application.store.entries import LATER, NOON, OTHER_STREAM, STREAM, append, new, read_all

PINNED_HASH = "b3bdb8810928a2ab79e74efe00b5b586885a99a569ad816dca5a0cef929ec3a6"

REFUSED = (sqlite3.DatabaseError, psycopg2.DatabaseError)

SCHEMAS = {"log": metadata}
"""The tables that migrations must make, by who declares them."""


def head_of(engine: Engine) -> Head:
    with writing(engine) as connection:
        return log.lock_head(connection)


def test_an_empty_log_ends_at_position_0_with_the_genesis_hash(engine: Engine):
    assert head_of(engine) == (0, GENESIS)


def test_positions_have_no_gaps_and_follow_the_order_of_commits(engine: Engine):
    append(engine, new(STREAM, 1), new(OTHER_STREAM, 1))
    with engine.connect() as connection:
        appending.append(connection, log.lock_head(connection), [new(STREAM, 2)], LATER)
        connection.rollback()
    head = append(engine, new(OTHER_STREAM, 2))
    assert [(entry.position, entry.stream_id, entry.version) for entry in read_all(engine)] == [
        (1, STREAM, 1),
        (2, OTHER_STREAM, 1),
        (3, OTHER_STREAM, 2),
    ]
    assert head == head_of(engine)
    assert head.position == 3


def test_a_version_that_is_taken_is_refused_and_leaves_no_trace(engine: Engine):
    before = append(engine, new(STREAM, 1))
    with pytest.raises(IntegrityError):
        append(engine, new(OTHER_STREAM, 1), new(STREAM, 1))
    assert head_of(engine) == before
    assert len(read_all(engine)) == 1


def test_entries_are_read_in_slices_by_topic_and_by_stream(engine: Engine):
    append(engine, *(new(STREAM, n, topic=f"Topic{n % 2}") for n in range(1, 6)))
    append(engine, new(OTHER_STREAM, 1, topic="Topic1"))
    with engine.connect() as connection:
        assert positions(log.read(connection, after=1, limit=3)) == [2, 3, 4]
        assert positions(log.read(connection, after=1, until=3, limit=9)) == [2, 3]
        assert positions(log.read(connection, limit=9, topics=["Topic1"])) == [1, 3, 5, 6]
        assert positions(log.read_stream(connection, STREAM, after=1, until=3)) == [2, 3]
        newest = log.read_stream(connection, STREAM, limit=2, descending=True)
        assert positions(newest) == [5, 4]
        both = log.read_streams(connection, [OTHER_STREAM, STREAM])
        assert sorted(positions(both)) == [1, 2, 3, 4, 5, 6]
        assert log.read_streams(connection, []) == []


def positions(entries: list[Entry]) -> list[int]:
    return [entry.position for entry in entries]


def test_the_hash_chain_can_be_computed_again_from_the_stored_rows(engine: Engine):
    append(engine, new(STREAM, 1), new(STREAM, 2))
    append(engine, new(OTHER_STREAM, 1, payload='{"v":1}'))
    chain = GENESIS
    for entry in read_all(engine):
        chain = chained_hash(chain, entry)
        assert entry.hash == chain
    assert head_of(engine).hash == chain


@pytest.mark.parametrize(
    "altered",
    [
        {"position": 2},
        {"stream_id": OTHER_STREAM},
        {"version": 2},
        {"topic": "Event.Cancelled"},
        {"payload": '{"v":1, "name":"Zoë 🎪"}'},
        {"metadata": '{"actor":"eve"}'},
        {"occurred_at": NOON + timedelta(microseconds=1)},
        {"recorded_at": LATER + timedelta(microseconds=1)},
    ],
    ids=lambda altered: next(iter(altered)),
)
def test_an_altered_column_breaks_the_chain(altered: dict[str, Any]):
    entry = Entry(1, *new(STREAM, 1), LATER)
    assert set(altered) <= set(Entry._fields[:-1])
    assert chained_hash(GENESIS, entry._replace(**altered)) != chained_hash(GENESIS, entry)
    assert chained_hash(GENESIS, entry) != chained_hash(bytes(31) + b"1", entry)


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ("2026-05-01 12:00:00+00", "2026-05-01T12:00:00Z"),
        ("2026-05-01 12:00:00.12+00", "2026-05-01T12:00:00.120000Z"),
        ("2026-05-01 12:00:00.12+09", "2026-05-01 12:00:00.12+09"),
        ("2026-05-01 12:00:00+09", "2026-05-01 12:00:00+09"),
        ("2026-05-01x12:00:00.12+00", "2026-05-01x12:00:00.12+00"),
    ],
)
def test_a_time_that_was_made_text_is_told_as_it_is(stored: str, told: str):
    assert chain._postgres_time(stored) == told


def test_the_same_events_have_the_same_hash_on_both_databases(
    migrated_sqlite_url: str, migrated_postgres_url: str, open_database: OpenEngine
):
    heads = [
        append(open_database(url), new(STREAM, 1), new(OTHER_STREAM, 1))
        for url in (migrated_sqlite_url, migrated_postgres_url)
    ]
    assert heads[0] == heads[1]
    # Pinned, since a change of the formula would disown every log there is.
    assert heads[0].hash.hex() == PINNED_HASH


def test_times_come_back_to_the_microsecond_in_utc(engine: Engine):
    moments = [
        NOON.replace(microsecond=part).astimezone(timezone(timedelta(hours=hours)))
        for part in (0, 1, 120_000, 999_999)
        for hours in (0, 2, -5)
    ]
    chain = GENESIS
    for version, moment in enumerate(moments, 1):
        append(engine, new(STREAM, version, occurred_at=moment), recorded_at=moment)
    for entry, moment in zip(read_all(engine), moments, strict=True):
        assert entry.occurred_at == entry.recorded_at == moment
        assert entry.occurred_at.utcoffset() == entry.recorded_at.utcoffset() == timedelta(0)
        chain = chained_hash(chain, entry)
        assert entry.hash == chain


def test_a_time_without_a_zone_is_refused(engine: Engine):
    with pytest.raises(ValueError, match="zone"):
        append(engine, new(STREAM, 1, occurred_at=NOON.replace(tzinfo=None)))
    assert head_of(engine).position == 0


# Append-only


Change = Callable[[Connection], object]

CHANGES: dict[str, Change] = {
    "update": lambda connection: connection.execute(update(events).values(payload="{}")),
    "update of one": lambda connection: connection.execute(
        update(events).where(events.c.position == 1).values(recorded_at=NOON)
    ),
    "delete": lambda connection: connection.execute(delete(events)),
    "delete of one": lambda connection: connection.execute(
        delete(events).where(events.c.position == 1)
    ),
    "raw update": lambda connection: connection.exec_driver_sql("UPDATE events SET topic = 'x'"),
    "raw delete": lambda connection: connection.exec_driver_sql("DELETE FROM events"),
}


def test_the_database_refuses_to_change_or_delete_an_event(engine: Engine):
    append(engine, new(STREAM, 1), new(STREAM, 2))
    before = read_all(engine)
    for name, change in CHANGES.items():
        with pytest.raises(DBAPIError, match="is refused"), writing(engine) as connection:
            change(connection)
        assert read_all(engine) == before, name


def test_the_database_refuses_to_empty_the_log(
    migrated_postgres_url: str, open_database: OpenEngine
):
    engine = open_database(migrated_postgres_url)
    append(engine, new(STREAM, 1))
    for statement in ("TRUNCATE events", "TRUNCATE log_head, events CASCADE"):
        with pytest.raises(DBAPIError, match="append-only"), writing(engine) as connection:
            connection.execute(text(statement))
    assert len(read_all(engine)) == 1


CHANGES_FROM_OUTSIDE = {
    True: ("UPDATE events SET payload = ''", "DELETE FROM events"),
    False: (
        "UPDATE events SET payload = ''",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT position, stream_id, version, topic, 'forged', "
        "metadata, occurred_at, recorded_at, hash FROM events",
        "INSERT OR REPLACE INTO events SELECT position + 1, stream_id, version, topic, 'forged', "
        "metadata, occurred_at, recorded_at, hash FROM events",
    ),
}


def test_a_program_without_our_code_is_refused_too(engine: Engine):
    append(engine, new(STREAM, 1))
    with closing(connect_without_us(engine)) as connection:
        for statement in CHANGES_FROM_OUTSIDE[is_postgres(engine)]:
            with pytest.raises(REFUSED, match="append-only"):
                connection.cursor().execute(statement)
            connection.rollback()
    assert len(read_all(engine)) == 1


def connect_without_us(engine: Engine) -> Any:
    url = normal_url(engine.url.render_as_string(hide_password=False))
    if is_postgres(engine):
        plain = url.set(drivername="postgresql")
        return psycopg2.connect(plain.render_as_string(hide_password=False))
    assert url.database
    return sqlite3.connect(url.database)


# Schema


@pytest.mark.parametrize("declared", SCHEMAS.values(), ids=SCHEMAS)
def test_migrations_make_the_tables_that_the_code_declares(engine: Engine, declared: MetaData):
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: kind != "table" or name in declared.tables}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, declared) == []
        for name, table in declared.tables.items():
            keys = inspect(connection).get_pk_constraint(name)["constrained_columns"]
            assert keys == [column.name for column in table.primary_key]


def test_migrating_twice_changes_nothing(engine: Engine):
    append(engine, new(STREAM, 1))
    migrations.upgrade(engine)
    assert len(read_all(engine)) == 1


def test_an_event_may_have_any_stream(engine: Engine):
    streams = [uuid4() for _ in range(3)]
    append(engine, *(new(stream_id, 1) for stream_id in streams))
    assert [entry.stream_id for entry in read_all(engine)] == streams
