"""The reactor: a hold that cannot be ended keeps no other waiting."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import insert
from structlog.testing import capture_logs

from application.composition import Turnstile
from application.orders import expire_order
from application.store import log
from application.store.database import writing
from application.store.log import Entry
from application.store.snapshots import load_stream
from application.store.work import Context, Work
from domain.ids import uuid7
from projections.engine.projector import Projector
from projections.open_holds import open_holds
from tests.workers.selling import Sale
from workers import reactor


@pytest.fixture
def sale(turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch) -> Sale:
    """Three tickets are sold; the read model has missed it, and shows their holds as the oldest."""
    monkeypatch.setattr(reactor, "BATCH", 2)
    monkeypatch.setattr(reactor, "TICK_SECONDS", 0.01)
    sale = Sale(turnstile)
    paid = [sale.hold() for _ in range(3)]
    for order_id in paid:
        sale.pay(order_id)
    Projector(turnstile).catch_up()
    long_ago = datetime.now(UTC) - timedelta(days=1)
    with writing(turnstile.engine) as connection:
        rows = [
            {"order_id": order_id, "event_id": uuid7(), "expires_at": long_ago} for order_id in paid
        ]
        connection.execute(insert(open_holds), rows)
    return sale


def lapse(turnstile: Turnstile, sale: Sale, count: int = 1) -> list[UUID]:
    """Orders whose holds have run out, as the read model knows."""
    order_ids = [sale.hold(1e-6) for _ in range(count)]
    Projector(turnstile).catch_up()
    return order_ids


def statuses(turnstile: Turnstile, order_ids: list[UUID]) -> list[str]:
    with turnstile.engine.connect() as connection:
        orders: list[Any] = [load_stream(connection, order_id) for order_id in order_ids]
    return [order.status for order in orders]


def test_holds_that_cannot_be_ended_keep_no_other_waiting(turnstile: Turnstile, sale: Sale) -> None:
    order_ids = lapse(turnstile, sale, 2)
    with capture_logs() as logs:
        reactor.react_once(turnstile)
    assert statuses(turnstile, order_ids) == ["expired", "expired"]
    told = [(line["due"], line["left"]) for line in logs if "holds_expired" in line["event"]]
    assert told == [(2, {"WrongOrderStatus": 2}), (2, {"WrongOrderStatus": 1}), (1, {})]


def test_an_order_on_which_the_program_fails_keeps_no_other_waiting(
    turnstile: Turnstile, sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned, *others = lapse(turnstile, sale, 3)

    def fail_on_one(work: Work, order_id: UUID) -> Any:
        if order_id == poisoned:
            raise RuntimeError("a bug")
        return expire_order(work, order_id)

    monkeypatch.setattr("application.reactions.expire_order", fail_on_one)
    reactor.react_once(turnstile)
    assert statuses(turnstile, [poisoned, *others]) == ["placed", "expired", "expired"]


def test_a_reactor_that_is_told_to_end_ends_between_batches(
    turnstile: Turnstile, sale: Sale
) -> None:
    order_ids, stop = lapse(turnstile, sale), threading.Event()
    stop.set()
    reactor.react_once(turnstile, stop)
    assert statuses(turnstile, order_ids) == ["placed"]


def test_what_follows_from_a_consequence_belongs_to_the_same_request() -> None:
    consequence = Context(actor="reactor", correlation_id="order-1", causation_id="7").metadata()
    now = datetime.now(UTC)
    cause = Entry(8, uuid7(), 2, "Order.Expired", "{}", consequence, now, now)
    following = Context.following(cause, "reactor")
    assert (following.correlation_id, following.causation_id) == ("order-1", "8")


def test_an_expiry_tells_what_it_follows_from(turnstile: Turnstile) -> None:
    """The event that placed the order, and the request that asked for it."""
    sale = Sale(turnstile)
    order = replace(
        sale.order(sale.customer_id, 1e-6), context=Context(actor="client", request_id="request-7")
    )
    order_id = turnstile.executor.execute(order).body["id"]
    Projector(turnstile).catch_up()
    reactor.react_once(turnstile)
    with turnstile.engine.connect() as connection:
        placed, expired = log.read_stream(connection, order_id)
    assert msgspec.json.decode(expired.metadata) == {
        "actor": "system:reactor",
        "correlation_id": "request-7",
        "causation_id": str(placed.position),
    }
