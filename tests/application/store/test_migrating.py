"""What a migration does to what was there before."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
from alembic import command
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    Row,
    Table,
    Text,
    Uuid,
    delete,
    insert,
    inspect,
    select,
    text,
)

import migrations
from application.store.database import writing
from application.store.tables import events, idempotency, snapshots
from application.store.writes import writes_to
from domain.ids import uuid7
from projections import orders, tickets
from projections.catalogue import catalogue
from projections.customers import customer_words
from projections.engine.rows import Memory, Rows
from projections.words import plain, replace_words, words
from tests.application.store.conftest import OpenEngine
from tests.domain.given import DOORS, END, NOW, details

WORD_TABLES = (customer_words, orders.names.words, tickets.names.words)


def migrate_to(engine: Engine, revision: str) -> None:
    configuration = migrations.configuration()
    with engine.begin() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, revision)


def test_many_that_use_a_new_database_first_wait_for_each_other(
    database_url: str, open_database: OpenEngine
) -> None:
    engines = [open_database(database_url) for _ in range(12)]
    with ThreadPoolExecutor(len(engines)) as threads:
        list(threads.map(migrations.upgrade, engines))
    assert migrations.is_current(engines[0])


def test_names_that_were_kept_beside_the_log_are_removed(
    database_url: str, open_database: OpenEngine
) -> None:
    engine = open_database(database_url)
    migrate_to(engine, "0006")
    profile = {"id": str(uuid7()), "name": "Ada", "email": "ada@example.org", "version": 1}
    order = {"id": str(uuid7()), "status": "paid", "version": 3}
    with writing(engine) as connection:
        for topic in ("Customer", "Order"):
            row = {"stream_id": uuid7(), "version": 200, "topic": topic, "payload": "{}"}
            connection.execute(insert(snapshots).values(row))
        for key, body in (("1", profile), ("2", order)):
            row = {
                "id": uuid7(),
                "scope": "import:shop",
                "key": key,
                "fingerprint": "",
                "answer": msgspec.json.encode({"position": 7, "body": body}).decode(),
                "recorded_at": NOW,
            }
            connection.execute(insert(idempotency).values(row))
    migrations.upgrade(engine)
    with engine.connect() as connection:
        assert connection.execute(select(snapshots.c.topic)).scalars().all() == ["Order"]
        answers = dict(connection.execute(select(idempotency.c.key, idempotency.c.answer)).all())
    assert msgspec.json.decode(answers["1"]) == {"position": 7, "body": {}}
    assert msgspec.json.decode(answers["2"]) == {"position": 7, "body": order}


def test_what_was_published_before_it_was_cancelled_is_told_from_the_log(
    database_url: str, open_database: OpenEngine
) -> None:
    engine = open_database(database_url)
    migrate_to(engine, "0008")
    before = Table(
        "catalogue", MetaData(), *(c._copy() for c in catalogue.c if c.name != "published")
    )
    shown, called_off, draft = uuid7(), uuid7(), uuid7()
    with writing(engine) as connection:
        for event_id, status in (shown, "cancelled"), (called_off, "cancelled"), (draft, "draft"):
            row = {"event_id": event_id, "status": status, "version": 2, **vars(details())}
            connection.execute(insert(before).values(**row, sort_title="", search_text=""))
        fact = {"position": 1, "stream_id": shown, "version": 2, "topic": "Event.Published"}
        rest = {"payload": "{}", "metadata": "{}", "occurred_at": NOW, "recorded_at": NOW}
        connection.execute(insert(events).values(**fact, **rest, hash=b""))
    migrations.upgrade(engine)
    with engine.connect() as connection:
        query = select(catalogue.c.event_id).where(catalogue.c.published)
        assert connection.execute(query).scalars().all() == [shown]


def test_when_somebody_last_passed_a_gate_is_told_from_the_log(
    database_url: str, open_database: OpenEngine
) -> None:
    engine = open_database(database_url)
    migrate_to(engine, "0014")
    before = Table(
        "tickets", MetaData(), *(c._copy() for c in tickets.tickets.c if c.name != "passed_at")
    )
    visitor, absent = uuid7(), uuid7()
    scans = [("Issued", NOW), ("Admitted", DOORS), ("LetOut", END), ("Voided", END + timedelta(1))]
    with writing(engine) as connection:
        for ticket_id, admissions in (visitor, 1), (absent, 0):
            ids = dict.fromkeys(("event_id", "ticket_type_id", "order_id", "holder_id"), uuid7())
            row = {"id": ticket_id, **ids, "secret": "s", "admissions": admissions}
            given = {"status": "issued", "blocked": False, "inside": False, "transfers": 0}
            connection.execute(insert(before).values(**row, **given, issued_at=NOW))
        for version, (what, at) in enumerate(scans, 1):
            fact = {"position": version, "stream_id": visitor, "version": version}
            rest = {"payload": "{}", "metadata": "{}", "occurred_at": at, "recorded_at": NOW}
            connection.execute(
                insert(events).values(topic=f"Ticket.{what}", **fact, **rest, hash=b"")
            )
    migrations.upgrade(engine)
    with engine.connect() as connection:
        passed = dict(
            connection.execute(select(tickets.tickets.c.id, tickets.tickets.c.passed_at)).all()
        )
    assert passed == {visitor: END, absent: None}


def test_events_are_found_by_plain_letters_as_the_catalogue_finds_them(
    database_url: str, open_database: OpenEngine
) -> None:
    engine = open_database(database_url)
    migrate_to(engine, "0013")
    titles = {uuid7(): "Lange Nächte\nÅsa\nStraße", uuid7(): "Gala\nAda\nPark"}
    with writing(engine) as connection:
        for event_id, text_ in titles.items():
            row = {"event_id": event_id, "version": 2, **vars(details()), "sort_title": ""}
            connection.execute(insert(catalogue).values(**row, search_text=text_.casefold()))
    migrations.upgrade(engine)
    with engine.connect() as connection:
        found = dict(
            connection.execute(select(catalogue.c.event_id, catalogue.c.search_text)).all()
        )
    assert found == {event_id: plain(text_) for event_id, text_ in titles.items()}
    assert "lange nachte\nasa\nstrasse" in found.values()


def test_words_are_put_together_as_the_read_models_do_it(
    database_url: str, open_database: OpenEngine
) -> None:
    engine = open_database(database_url)
    migrate_to(engine, "0010")
    ada, wordy = uuid7(), uuid7()
    texts = {ada: "Ada Ålund ada.b_c@example.org", wordy: " ".join(map(str, range(200)))}
    found = [{"customer_id": id_, "word": word} for id_ in texts for word in words(texts[id_])]
    with writing(engine) as connection:
        for table in WORD_TABLES:
            before = Table(
                table.name, MetaData(), Column("customer_id", Uuid), Column("word", Text)
            )
            connection.execute(insert(before), found)
    migrations.upgrade(engine)
    with writing(engine) as connection:
        migrated = [_emptied(connection, table) for table in WORD_TABLES]
        rows = Rows(connection, Memory({table: table for table in WORD_TABLES}))
        for table in WORD_TABLES:
            for customer_id, told in texts.items():
                replace_words(rows, table, customer_id, (), (told,))
        with writes_to(connection) as writes:
            rows.write(writes)
        assert migrated == [_emptied(connection, table) for table in WORD_TABLES]
    assert len(migrated[0]) == len(found)
    assert {row.words for row in migrated[0] if row.customer_id == wordy} == {""}


def test_an_index_is_replaced_under_whatever_name_a_rebuild_gave_it(
    database_url: str, open_database: OpenEngine
) -> None:
    engine = open_database(database_url)
    migrate_to(engine, "0011")
    name = "ix_ticket_type_sales_units_sold"
    with writing(engine) as connection:
        connection.execute(text(f"DROP INDEX {name}"))
        connection.execute(
            text(f"CREATE INDEX {name}_12ab34cd ON ticket_type_sales (units_sold DESC, name)")
        )
    migrations.upgrade(engine)
    (index,) = inspect(engine).get_indexes("ticket_type_sales")
    assert index["name"] == name
    assert "ticket_type_id" in index["column_names"]


def _emptied(connection: Connection, table: Table) -> set[Row[Any]]:
    rows = set(connection.execute(select(table)))
    connection.execute(delete(table))
    return rows
