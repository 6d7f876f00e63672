"""What is held about a customer, and who has long been gone: everything that keeps them from it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from application.store.database import is_postgres
from domain.aggregate import Aggregate
from domain.customer import Customer, Profile
from projections import held_data
from projections.held_data import count_idle_customers, idle_customers
from tests.domain.given import ANNA, BORIS, END, FIRST, NOW
from tests.projections.conftest import Given
from tests.projections.making import (
    adults,
    anna,
    asked,
    boris,
    festivals,
    order,
    ticket,
    transferred,
)
from tests.projections.sales import ids

YEAR, DAY = timedelta(days=365), timedelta(days=1)
LATE = END + 2 * YEAR
SINCE = LATE - YEAR


def changed(at: datetime) -> Customer:
    customer = anna()
    customer.change(Profile("Anna Berg", "anna@example.org"), at)
    return customer


def erased() -> Customer:
    customer = anna()
    customer.erase(NOW)
    return customer


def idle(given: Given, now: datetime = LATE, since: datetime = SINCE) -> list[UUID]:
    found = asked(given, idle_customers, now, since, 100)
    assert asked(given, count_idle_customers, now, since) == len(found)
    return found


def test_who_did_nothing_for_so_long_is_idle_in_order_of_registration(given: Given) -> None:
    given(*festivals(), boris(), anna(), ticket())
    assert idle(given) == [ANNA, BORIS]
    assert asked(given, idle_customers, LATE, SINCE, 1) == [ANNA]
    assert idle(given, since=NOW) == []


@pytest.mark.parametrize(
    "reason",
    [
        lambda at: [changed(at)],
        lambda at: [anna(), order(next(ids), adults(next(ids)), at=at)],
        lambda at: [anna(), transferred(ticket(), BORIS, at)],
        lambda at: [anna(), transferred(ticket(holder_id=BORIS), ANNA, at)],
    ],
    ids=["changed", "ordered", "gave a ticket", "got a ticket"],
)
def test_who_did_something_since_is_not(
    given: Given, reason: Callable[[datetime], list[Aggregate]]
) -> None:
    given(*festivals(), boris(), *reason(SINCE))
    assert ANNA not in idle(given)
    assert ANNA in idle(given, since=SINCE + DAY)


def test_who_holds_a_ticket_for_what_is_not_over_is_not(given: Given) -> None:
    given(*festivals(), anna(), boris(), ticket())
    assert idle(given, now=END, since=NOW + YEAR) == [BORIS]
    assert idle(given, now=END + DAY, since=NOW + YEAR) == [ANNA, BORIS]


def test_a_voided_ticket_or_one_for_what_was_cancelled_keeps_nobody(given: Given) -> None:
    midsummer, harvest = festivals()
    harvest.publish(NOW)
    harvest.cancel("rain", NOW)
    voided = ticket()
    voided.void("refund", NOW)
    given(midsummer, harvest, anna(), boris(), voided)
    given(ticket(next(ids), event_id=harvest.id, holder_id=BORIS))
    assert idle(given, now=END, since=NOW + YEAR) == [ANNA, BORIS]
    given(ticket(next(ids), holder_id=BORIS))
    assert idle(given, now=END, since=NOW + YEAR) == [ANNA]


def test_the_erased_are_not_erased_again(given: Given) -> None:
    given(erased(), boris())
    assert idle(given) == [BORIS]
    assert FIRST not in idle(given)


def test_tickets_that_were_transferred_to_a_customer_are_found_by_an_index(given: Given) -> None:
    with given.connection() as connection:
        query = held_data._ticket_ids(ANNA).compile(
            connection, compile_kwargs={"literal_binds": True}
        )
        explain = "EXPLAIN QUERY PLAN"
        if is_postgres(connection):
            connection.execute(text("SET LOCAL enable_seqscan = off"))  # of so few rows
            explain = "EXPLAIN"
        plan = connection.exec_driver_sql(f"{explain} {query}").all()
    assert "ix_gate_transfers_to_user_id" in str(plan)
