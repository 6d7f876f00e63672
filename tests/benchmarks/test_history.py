"""The log that benchmarks measure on is a sound one, although no command has written it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, text

import migrations
from application.composition import Turnstile
from application.store import log
from application.store.chain import Chain, scan
from application.store.database import open_engine
from application.store.tables import events, snapshots
from benchmarks.history import fill
from benchmarks.servers import box_office
from domain.ids import ticket_id_in
from projections.catalogue import catalogue
from projections.engine.projector import Projector
from projections.engine.tables import parked
from projections.tickets import tickets

EVENTS = 5_000
"""More than one copy of the sample festival, and the last one cut off."""


@pytest.fixture
def turnstile(postgres_url: str) -> Iterator[Turnstile]:
    engine = open_engine(postgres_url)
    migrations.upgrade(engine)
    engine.dispose()
    fill(postgres_url, EVENTS)
    with box_office(postgres_url) as turnstile:
        yield turnstile


def test_a_filled_log_is_as_long_as_asked_and_its_chain_holds(turnstile: Turnstile) -> None:
    chain = Chain()
    with turnstile.engine.connect() as connection:
        scan(connection, chain.take)
        head = log.current_head(connection)
    assert (chain.position, chain.hash) == head
    assert chain.position == EVENTS


def test_streams_of_a_filled_log_count_their_versions_from_one(turnstile: Turnstile) -> None:
    version = events.c.version
    gaps = (
        select(events.c.stream_id)
        .group_by(events.c.stream_id)
        .having((func.max(version) != func.count()) | (func.min(version) != 1))
    )
    with turnstile.engine.connect() as connection:
        assert connection.execute(gaps).all() == []


def test_every_read_model_takes_a_filled_log(turnstile: Turnstile) -> None:
    assert Projector(turnstile).catch_up() == EVENTS
    with turnstile.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(parked)).scalar_one() == 0
        titles = connection.execute(select(catalogue.c.title)).scalars().all()
        shown = connection.execute(select(tickets.c.id, tickets.c.secret)).all()
    assert len(titles) == len(set(titles)) > 3
    assert all(ticket_id_in(ticket.secret) == ticket.id for ticket in shown)


def test_snapshots_of_a_filled_log_belong_to_its_events(turnstile: Turnstile) -> None:
    orphans = text(
        "SELECT count(*) FROM snapshots LEFT JOIN events USING (stream_id, version)"
        " WHERE events.position IS NULL"
    )
    with turnstile.engine.connect() as connection:
        assert connection.execute(orphans).scalar_one() == 0
        assert connection.execute(select(func.count()).select_from(snapshots)).scalar_one() >= 1
