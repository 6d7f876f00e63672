"""What is held about a customer, and who has long been gone: everything that keeps them from it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from application.store.database import is_postgres
from domain.aggregate import Aggregate
from domain.customer import Customer, Profile
from domain.order import Order
from domain.ticket import Ticket
from projections import held_data
from projections.held_data import count_idle_customers, held_about, idle_customers
from tests.domain.given import ANNA, BORIS, END, FIRST, NOW, ORDER, SECOND
from tests.projections.conftest import Given
from tests.projections.making import (
    adults,
    anna,
    asked,
    boris,
    festivals,
    order,
    paid,
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


def paid_order() -> Order:
    return paid(order(ORDER, adults(FIRST)), at=NOW)


def refunded(bought: Order, at: datetime) -> Order:
    bought.refund([], "", at)
    return bought


def voided() -> Ticket:
    stopped = ticket()
    stopped.void("refund", NOW)
    return stopped


def erased() -> Customer:
    customer = anna()
    customer.erase(NOW)
    return customer


def idle(given: Given, since: datetime = SINCE) -> list[UUID]:
    found = asked(given, idle_customers, since, 100)
    assert asked(given, count_idle_customers, since) == len(found)
    return found


def test_who_did_nothing_for_so_long_is_idle_in_order_of_registration(given: Given) -> None:
    given(*festivals(), boris(), anna(), ticket())
    assert idle(given) == [ANNA, BORIS]
    assert asked(given, idle_customers, SINCE, 1) == [ANNA]
    assert idle(given, since=NOW) == []


@pytest.mark.parametrize(
    "reason",
    [
        lambda at: [changed(at)],
        lambda at: [anna(), order(next(ids), adults(next(ids)), at=at)],
        lambda at: [anna(), transferred(ticket(), BORIS, at)],
        lambda at: [anna(), transferred(ticket(holder_id=BORIS), ANNA, at)],
        lambda at: [anna(), refunded(paid_order(), at)],
    ],
    ids=["changed", "ordered", "gave a ticket", "got a ticket", "got money back"],
)
def test_who_did_something_since_is_not(
    given: Given, reason: Callable[[datetime], list[Aggregate]]
) -> None:
    given(*festivals(), boris(), *reason(SINCE))
    assert ANNA not in idle(given)
    assert ANNA in idle(given, since=SINCE + DAY)


def test_who_holds_a_ticket_is_not_until_the_event_has_been_over_for_so_long(given: Given) -> None:
    given(*festivals(), anna(), boris(), ticket())
    assert idle(given, since=END) == [BORIS]
    assert idle(given, since=END + DAY) == [ANNA, BORIS]


def test_who_has_paid_is_not_until_the_event_has_been_over_for_so_long(given: Given) -> None:
    given(*festivals(), anna(), boris(), paid_order(), transferred(ticket(), BORIS, NOW))
    assert idle(given, since=END) == []
    assert idle(given, since=END + DAY) == [ANNA, BORIS]


def test_who_is_to_be_told_and_refunded_since_the_event_was_called_off_is_not(given: Given) -> None:
    midsummer, harvest = festivals()
    midsummer.cancel("rain", NOW)
    bought, bought_ticket = paid_order(), ticket()
    given(midsummer, harvest, anna(), boris(), bought, bought_ticket)
    assert idle(given, since=END) == [BORIS]
    bought_ticket.void("rain", NOW)
    given(refunded(bought, NOW), bought_ticket)
    assert idle(given, since=END) == [ANNA, BORIS]


def test_a_voided_ticket_or_an_order_that_was_not_paid_keeps_nobody(given: Given) -> None:
    given(*festivals(), anna(), boris(), voided(), order(next(ids), adults(next(ids))))
    assert idle(given, since=END) == [ANNA, BORIS]


def test_the_erased_are_not_erased_again(given: Given) -> None:
    given(erased(), boris())
    assert idle(given) == [BORIS]
    assert FIRST not in idle(given)


def test_a_refused_transfer_tells_nothing_about_whom_it_was_meant_for(given: Given) -> None:
    refused, given_away = ticket(FIRST), transferred(ticket(SECOND), BORIS)
    refused.transfer(BORIS, "another secret", "a present", why_not="event_over", now=NOW)
    given(*festivals(), anna(), boris(), refused, given_away)
    with given.connection() as connection:
        held = held_about(connection, BORIS)
        assert held is not None
        assert [item["id"] for item in held["tickets"]] == [SECOND]


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
