"""What a migration does to what was there before."""

import msgspec
from alembic import command
from sqlalchemy import Engine, MetaData, Table, insert, select

import migrations
from application.store.database import writing
from application.store.tables import events, idempotency, snapshots
from domain.ids import uuid7
from projections.catalogue import catalogue
from tests.application.store.conftest import OpenEngine
from tests.domain.given import NOW, details


def migrate_to(engine: Engine, revision: str) -> None:
    configuration = migrations.configuration()
    with engine.begin() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, revision)


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
