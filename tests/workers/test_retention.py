"""Retention: who is due is erased in batches, once, and only by read models that are up to date."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, insert
from structlog.testing import capture_logs

from application import customers
from application.composition import Turnstile
from application.customers import register_customer
from application.events import change_event
from application.history import history
from application.presenting import show
from application.settings import Settings
from application.store.database import writing
from application.store.work import Command, Context, Outcome
from domain.customer import Profile
from domain.ids import uuid7
from projections import held_data
from projections.engine.parking import parked_counts, unpark_all
from projections.engine.projector import Projector
from projections.engine.tables import parked
from tests.workers.festival import box_office
from tests.workers.projecting import projecting
from tests.workers.selling import CONTEXT, Sale
from tests.workers.tallies import change, register
from workers import retention, tidying

LONG_AGO = datetime.now(UTC) - timedelta(days=400)


@pytest.fixture
def keeping(turnstile: Turnstile) -> Turnstile:
    """A box office that keeps customers for a year; seven are due, one buys."""
    for number in range(7):
        profile = Profile(f"Customer {number}", f"c{number}@example.org")
        arguments = {"customer_id": uuid7(), "profile": profile}
        context = Context(actor="test", at=LONG_AGO)
        turnstile.executor.execute(Command(register_customer, arguments, context, show))
    Sale(turnstile).sell()
    return replace(turnstile, settings=replace(turnstile.settings, retention_days=365))


def test_who_is_due_is_erased_batch_by_batch(
    keeping: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    Projector(keeping).catch_up()
    assert retention.count_idle(keeping) == 7
    with projecting(keeping), capture_logs() as logs:
        tidying.tidy(keeping)
        assert retention.erase_idle(keeping) == 0
    erased = [line for line in logs if line["event"] == "retention.erased"]
    assert len(erased) == 7
    assert not any("Customer" in str(line) or "@" in str(line) for line in logs)
    with keeping.engine.connect() as connection:
        kept = history(connection, "customer", UUID(erased[0]["customer_id"]))["items"]
    assert kept[1]["what"] == "Customer.Erased"
    assert kept[1]["who"] == "retention"
    assert retention.count_idle(keeping) == 0


def test_nobody_is_erased_while_a_read_model_lags(
    keeping: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "WAIT_SECONDS", 0.05)
    Projector(keeping).catch_up()
    Sale(keeping)
    with capture_logs() as logs:
        assert retention.erase_idle(keeping) == 0
    assert [line["event"] for line in logs] == ["retention.postponed"]
    with pytest.raises(retention.Postponed, match="lags"):
        retention.count_idle(keeping)


def test_tidying_leaves_nothing_of_older_pages_beside_an_sqlite_file(sqlite_url: str) -> None:
    with box_office(sqlite_url) as turnstile:
        beside = Path(f"{turnstile.engine.url.database}-wal")
        (customer,) = register(turnstile)
        change(turnstile, customer)
        assert beside.stat().st_size > 0
        tidying.tidy(turnstile)
        assert beside.stat().st_size == 0


def test_who_writes_after_the_tidying_waits_for_the_lock_as_before(sqlite_url: str) -> None:
    with box_office(sqlite_url) as turnstile:

        def patience() -> int:
            with turnstile.engine.connect() as connection:
                return int(connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one())

        before = patience()
        tidying.tidy(turnstile)
        assert patience() == before > 0


def park(turnstile: Turnstile, model: str) -> None:
    """Let an event wait which that read model could not take."""
    waiting = {"position": 1, "stream_id": uuid7(), "error": "KeyError", "parked_at": LONG_AGO}
    with writing(turnstile.engine) as connection:
        connection.execute(insert(parked).values(read_model=model, **waiting))


@pytest.mark.parametrize("model", [model.name for model in held_data.RETENTION_MODELS])
def test_nobody_is_erased_while_an_event_waits_that_a_read_model_could_not_take(
    keeping: Turnstile, model: str
) -> None:
    Projector(keeping).catch_up()
    park(keeping, "sales_by_day")
    assert retention.count_idle(keeping) == 7
    park(keeping, model)
    with capture_logs() as logs:
        assert retention.erase_idle(keeping) == 0
    (postponed,) = logs
    assert postponed["event"] == "retention.postponed"
    assert model in postponed["reason"]
    with pytest.raises(retention.Postponed, match=model):
        retention.count_idle(keeping)
    with writing(keeping.engine) as connection:
        unpark_all(connection, model)
    assert retention.erase_idle(keeping) == 7


def test_nobody_is_erased_when_an_event_is_parked_at_the_last_moment(
    keeping: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a rebuilt read model, for which it waits, takes the place of the live one."""
    Projector(keeping).catch_up()

    def park_afterwards(connection: Connection) -> dict[str, tuple[int, int]]:
        counts = parked_counts(connection)
        park(keeping, "orders")
        return counts

    monkeypatch.setattr(retention, "parked_counts", park_afterwards)
    assert retention.erase_idle(keeping) == 0


Act = Callable[[list[UUID]], Command]


@pytest.fixture
def meanwhile(keeping: Turnstile, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`meanwhile(act)`: what it asks for is done once it is known who is due; or in one batch with
    what erases them."""
    found, execute_all = held_data.idle_customers, keeping.executor.execute_all

    def arrange(act: Act, in_the_same_batch: bool = False) -> None:
        def found_before(*asked: Any) -> list[UUID]:
            due = found(*asked)
            monkeypatch.undo()
            command = act(due)
            if in_the_same_batch:

                def with_them(commands: Sequence[Command]) -> list[Outcome]:
                    return execute_all([command, *commands])[1:]

                monkeypatch.setattr(keeping.executor, "execute_all", with_them)
            else:
                keeping.executor.execute(command)
            return due

        monkeypatch.setattr(held_data, "idle_customers", found_before)

    return arrange


@pytest.mark.parametrize("in_the_same_batch", [False, True])
def test_who_orders_while_they_are_about_to_be_erased_stays(
    keeping: Turnstile, meanwhile: Callable[..., None], in_the_same_batch: bool
) -> None:
    sale = Sale(keeping)
    Projector(keeping).catch_up()
    meanwhile(lambda due: sale.order(customer_id=due[3]), in_the_same_batch)
    with capture_logs() as logs:
        assert retention.erase_idle(keeping) == 6
    assert [line["event"] for line in logs].count("retention.kept") == 1
    Projector(keeping).catch_up()
    assert retention.count_idle(keeping) == 0


def test_nobody_is_erased_while_an_event_changes_for_which_they_may_have_tickets(
    keeping: Turnstile, meanwhile: Callable[..., None]
) -> None:
    sale = Sale(keeping)
    Projector(keeping).catch_up()
    later = {"event_id": sale.event_id, "changes": {"ends_at": datetime.now(UTC) + timedelta(99)}}
    meanwhile(lambda _: Command(change_event, later, CONTEXT, show))
    assert retention.erase_idle(keeping) == 0
    Projector(keeping).catch_up()
    assert retention.erase_idle(keeping) == 7


def test_nobody_is_erased_when_too_much_has_happened_to_look_through_it(
    keeping: Turnstile, meanwhile: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = Sale(keeping)
    Projector(keeping).catch_up()
    meanwhile(lambda due: sale.order(customer_id=due[3]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(customers, "MOST_LOOKED_THROUGH", 2)
        assert retention.erase_idle(keeping) == 0
    Projector(keeping).catch_up()
    assert retention.erase_idle(keeping) == 6


def test_without_a_rule_everybody_is_kept(turnstile: Turnstile) -> None:
    assert Settings().retention is None
    assert retention.erase_idle(turnstile) == 0
