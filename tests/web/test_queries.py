"""Every query of the interface: its exact fields, and that it keeps to what was asked."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from sqlalchemy import Connection, delete, insert, select

from application.composition import compose
from application.settings import Settings
from application.store.database import for_queries, writing
from application.store.signals import READ_MODELS as MOVED
from application.store.tables import events
from projections.catalogue import CATALOGUE
from projections.engine.projector import Projector
from projections.engine.tables import parked
from projections.registry import READ_MODELS
from tests.statements import hearing, statements
from tests.web.conftest import ADULT, CHILD, BoxOffice, Json, ticket_ids
from tests.workers.processes import eventually

COUNTS = {
    "event_id",
    "scan_count",
    "transfer_count",
    "invalid_attempt_count",
    "valid_scan_count",
    "invalid_scan_count",
    "successful_transfer_count",
    "failed_transfer_count",
    "last_updated",
}


def pages(office: BoxOffice, path: str, limit: int) -> list[Json]:
    """All items, read page by page."""
    joint = "&" if "?" in path else "?"
    page = office.get(f"{path}{joint}limit={limit}")
    items: list[Json] = page["items"]
    while page["next"] is not None:
        assert len(page["items"]) == limit
        page = office.get(f"{path}{joint}limit={limit}&after={page['next']}")
        items += page["items"]
    return items


def test_the_catalogue_lists_and_pages(office: BoxOffice):
    organizer: Json = {"organizer": {"id": office.customer()["id"], "name": "Players"}}
    made = [office.event(title=f"Part {n}", **organizer)["id"] for n in range(5)]
    draft = office.event(publish=False, **organizer)
    path = f"/api/v1/events?organizer_id={organizer['organizer']['id']}"
    assert sorted(item["id"] for item in pages(office, path, 2)) == sorted(made)
    drafts = office.get(f"{path}&status=draft")
    assert ([item["id"] for item in drafts["items"]], drafts["next"]) == ([draft["id"]], None)
    assert office.get(f"{path}&q=part%203&order=title")["items"][0]["title"] == "Part 3"


def test_an_event_is_shown_with_what_is_left(office: BoxOffice):
    event, other, customer = office.event(), office.event(), office.customer()
    office.order(event, customer, ADULT, 2)
    shown = office.get(f"/api/v1/events/{event['id']}")
    assert [kind["available"] for kind in shown["ticket_types"]] == [78, 98]
    assert office.get(f"/api/v1/events/{other['id']}")["ticket_types"][0]["available"] == 80
    tag = office.send("GET", f"/api/v1/events/{event['id']}").headers["ETag"]
    office.patch(f"/api/v1/events/{event['id']}", {"venue": "Barn"}, If_Match=tag)


def test_the_summary_tells_how_events_on_sale_are_doing(office: BoxOffice):
    event, open_ended = office.event(), office.event(capacity=None)
    customer = office.customer()
    office.sold(event, customer, ADULT, 2)
    office.order(event, customer, ADULT, 3)
    items = {item["event_id"]: item for item in pages(office, "/api/v1/events/summary", 200)}
    assert items[event["id"]] == {
        "event_id": event["id"],
        "event_name": "Midsummer Night",
        "organizer_name": "Village Hall",
        "total_tickets_sold": 2,
        "total_revenue": "25.00",
        "currency": "GBP",
        "tickets_remaining": 95,
        "tickets_held": 3,
    }
    assert items[open_ended["id"]]["tickets_remaining"] is None


def test_events_nearly_full_are_listed(office: BoxOffice):
    full, roomy = office.event(capacity=20), office.event()
    office.order(full, office.customer(), ADULT, 19)
    items = pages(office, "/api/v1/events/low-capacity?threshold=5", 200)
    assert {
        "id": full["id"],
        "name": "Midsummer Night",
        "percentage_tickets_remaining": 5.0,
    } in items
    assert roomy["id"] not in {item["id"] for item in items}
    tighter = pages(office, "/api/v1/events/low-capacity?threshold=4.99", 200)
    assert full["id"] not in {item["id"] for item in tighter}


def test_the_ticket_types_that_sell_best_come_first(office: BoxOffice):
    event, customer = office.event(capacity=None, title="Top"), office.customer()
    for _ in range(3):
        office.sold(event, customer, ADULT, 20)
    best = office.get("/api/v1/ticket-types/top?limit=1")["items"]
    assert [(item["name"], item["event_name"], item["units_sold"]) for item in best] == [
        ("Adult", "Top", 60)
    ]
    assert set(best[0]) >= {"id", "name", "units_sold", "event_name"}
    today = datetime.now(UTC).date().isoformat()
    assert office.get(f"/api/v1/ticket-types/top?start_date={today}&limit=1")["items"] == best
    past = office.get("/api/v1/ticket-types/top?end_date=2001-01-01T00:00:00Z&limit=200")["items"]
    assert {item["units_sold"] for item in past} == {0}


def test_of_a_time_the_day_in_utc_counts(office: BoxOffice):
    event = office.event()
    office.sold(event, office.customer())
    today, path = datetime.now(UTC).date(), f"/api/v1/events/{event['id']}/sales"

    def found(day: date, time: str) -> list[Json]:
        at = quote(f"{day.isoformat()}T{time}")
        return list(office.get(f"{path}?start={at}&end={at}")["tickets"])

    assert found(today, "12:00:00Z")
    assert found(today - timedelta(days=1), "23:59:59-23:00") == found(today, "12:00:00Z")
    assert not found(today, "23:59:59-23:00")


@pytest.mark.parametrize("letter", ["\x01", "\U0001f3ad"], ids=["control", "emoji"])
def test_the_next_page_comes_after_the_longest_name(office: BoxOffice, letter: str):
    body = {"name": 200 * letter, "email": "long@example.org"}
    made = {office.post("/api/v1/customers", body, 201)["id"] for _ in range(2)}
    assert {item["id"] for item in pages(office, "/api/v1/customers", 1)} >= made


def test_sales_are_grouped_as_asked(office: BoxOffice):
    event, other, customer = office.event(), office.event(), office.customer()
    office.sold(event, customer, ADULT, 2)
    office.sold(other, customer)
    office.post(f"/api/v1/orders/{office.sold(event, customer)['id']}/refund")
    path = f"/api/v1/events/{event['id']}/sales"
    sales = office.get(f"{path}?group_by=ticket_type,payment_method,country")
    assert [(row["ticket_type"], row["net_units"]) for row in sales["tickets"]] == [("Adult", 2)]
    assert sales["totals"]["tickets"]["net_amount"] == "25.00"
    assert sales["totals"]["orders"]["standing"] == 1
    assert sales["orders"][0]["country"] == "GB"
    assert office.get(path)["tickets"][0]["day"] == datetime.now(UTC).date().isoformat()
    assert office.get(f"{path}?end=2001-01-01")["tickets"] == []
    assert "week" in office.get(f"{path}?group_by=week")["orders"][0]


def test_a_customers_statistics(office: BoxOffice):
    event, ada, grace = office.event(title="Best"), office.customer(), office.customer("Grace")
    office.sold(event, ada, ADULT, 2)
    shown = office.get(f"/api/v1/customers/{ada['id']}/statistics")
    assert shown["total_orders_placed"] == 1
    assert shown["total_amount_spent"] == "25.00"
    assert shown["most_purchased_event_name"] == "Best"
    none = office.get(f"/api/v1/customers/{grace['id']}/statistics")
    assert (none["total_orders_placed"], none["most_purchased_event_name"]) == (0, None)


def test_customers_are_found(office: BoxOffice):
    office.customer("Katherine Johnson")
    dorothy = office.customer("Dorothy Vaughan", country="US")
    assert office.get(f"/api/v1/customers/{dorothy['id']}")["name"] == "Dorothy Vaughan"
    items = office.get("/api/v1/customers?q=vaug&country=US")["items"]
    assert dorothy["id"] in {item["id"] for item in items}
    assert {item["name"] for item in items} == {"Dorothy Vaughan"}


def test_orders_are_listed_and_shown(office: BoxOffice):
    event, ada, grace = office.event(), office.customer(), office.customer("Grace")
    paid, placed = office.sold(event, ada, ADULT, 2), office.order(event, ada)
    office.order(event, grace)
    path = f"/api/v1/orders?customer_id={ada['id']}"
    assert [item["id"] for item in pages(office, path, 1)] == [placed["id"], paid["id"]]
    assert [item["id"] for item in office.get(f"{path}&status=paid")["items"]] == [paid["id"]]
    assert [item["id"] for item in office.get(f"{path}&order=placed_at")["items"]] == [
        paid["id"],
        placed["id"],
    ]
    refund = {"ticket_ids": ticket_ids(paid)[:1]}
    office.post(f"/api/v1/orders/{paid['id']}/refund", refund)
    shown = office.get(f"/api/v1/orders/{paid['id']}")
    assert shown["total"] == "25.00"
    assert shown["refunds"][0]["ticket_ids"] == refund["ticket_ids"]
    assert shown["payments"][0]["method"] == "card"


def test_tickets_and_attendees_are_shown(office: BoxOffice):
    event, other, ada = office.event(), office.event(), office.customer()
    ticket = office.ticket(event, ada)
    office.ticket(other, ada)
    assert ticket["holder_name"] == "Ada Lovelace"
    assert len(ticket["secret"]) == 43
    path = f"/api/v1/events/{event['id']}/attendees"
    assert [item["ticket_id"] for item in office.get(path)["items"]] == [ticket["id"]]
    assert office.get(f"{path}?q=lovel&status=issued")["items"][0]["email"] == "ada@example.org"
    assert office.get(f"{path}?q=grace")["items"] == []


@pytest.fixture
def gate(office: BoxOffice) -> Json:
    """An event with two scans that passed, two that did not, and two transfers."""
    event, other = office.event(), office.event()
    ada, grace = office.customer(), office.customer("Grace")
    ticket, second = office.ticket(event, ada), office.ticket(event, ada, CHILD)
    transfer = {"to_customer_id": grace["id"], "reason": "Gift"}
    office.post(f"/api/v1/tickets/{second['id']}/transfer", transfer)
    office.post(f"/api/v1/tickets/{second['id']}/transfer", transfer, 409)
    office.scan(event, secret=ticket["secret"], scanner_id="g1", location="North")
    office.scan(event, secret=ticket["secret"])
    office.scan(event, secret="forged")
    office.scan(event, secret=ticket["secret"], type="exit")
    office.scan(other, secret="forged")
    return {"event": event, "ticket": ticket, "second": second, "ada": ada, "grace": grace}


def test_gate_statistics_have_their_exact_fields(office: BoxOffice, gate: Json):
    event_id = gate["event"]["id"]
    stats = office.get(f"/stats?event_id={event_id}")
    assert set(stats) == COUNTS
    assert {name: stats[name] for name in COUNTS - {"event_id", "last_updated"}} == {
        "scan_count": 4,
        "transfer_count": 2,
        "invalid_attempt_count": 3,
        "valid_scan_count": 2,
        "invalid_scan_count": 2,
        "successful_transfer_count": 1,
        "failed_transfer_count": 1,
    }
    everything = office.get("/stats")
    assert everything[event_id] == stats
    assert len(everything) > 1
    days = office.get(f"/stats/daily?event_id={event_id}")
    assert days == [stats | {"stat_date": datetime.now(UTC).date().isoformat()}]
    assert sum(row["admissions"] for row in office.get(f"/stats/hourly?event_id={event_id}")) == 1


def test_gate_lists_have_their_exact_fields(office: BoxOffice, gate: Json):
    event_id = gate["event"]["id"]
    scans = office.get(f"/stats/scans?event_id={event_id}")
    assert (set(scans), scans["event_id"]) == ({"event_id", "scans", "count"}, event_id)
    assert scans["count"] == len(scans["scans"]) == 4
    first = scans["scans"][-1]
    assert first == {
        "id": first["id"],
        "ticket_id": gate["ticket"]["id"],
        "scanner_id": "g1",
        "scan_timestamp": first["scan_timestamp"],
        "is_valid": True,
        "location": "North",
    }
    assert office.get(f"/stats/scans?event_id={event_id}&limit=1")["count"] == 1
    transfers = office.get(f"/stats/transfers?event_id={event_id}")
    done = transfers["transfers"][-1]
    assert (set(transfers), transfers["count"]) == ({"event_id", "transfers", "count"}, 2)
    assert done == {
        "id": done["id"],
        "ticket_id": gate["second"]["id"],
        "from_user_id": gate["ada"]["id"],
        "to_user_id": gate["grace"]["id"],
        "transfer_timestamp": done["transfer_timestamp"],
        "is_successful": True,
        "transfer_reason": "Gift",
    }
    attempts = office.get(f"/stats/invalid-attempts?event_id={event_id}")
    assert (set(attempts), attempts["count"]) == ({"event_id", "attempts", "count"}, 3)
    refused = attempts["attempts"][-1]
    assert refused == {
        "id": refused["id"],
        "attempt_type": "transfer",
        "ticket_id": gate["second"]["id"],
        "attempt_timestamp": refused["attempt_timestamp"],
        "reason": "same_holder",
        "ip_address": "127.0.0.1",
    }


def seen(office: BoxOffice, path: str, position: Any) -> Any:
    return office.send("GET", path, headers={"Turnstile-Position": str(position)})


def test_a_query_waits_for_what_its_caller_has_seen(office: BoxOffice):
    event = office.event()
    projecting = threading.Timer(0.2, office.catch_up)
    projecting.start()
    response = seen(office, f"/api/v1/events/{event['id']}", event["position"])
    projecting.join()
    assert response.status_code == 200
    assert int(response.headers["Turnstile-Position"]) >= event["position"]


def test_before_any_event_was_projected_a_query_is_as_of_the_beginning(migrated_url: str):
    turnstile = compose(Settings(database_url=migrated_url))
    response = BoxOffice(turnstile).send("GET", "/api/v1/events")
    assert (response.status_code, response.json["items"]) == (200, [])
    assert response.headers["Turnstile-Position"] == "0"
    turnstile.close()


def test_a_query_does_not_wait_for_ever(office: BoxOffice, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("web.reading.WAIT_SECONDS", 0.05)
    customer = office.customer()
    response = seen(office, "/api/v1/customers", customer["position"])
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.json["type"] == "/problems/not-caught-up"
    log = seen(office, f"/api/v1/customers/{customer['id']}/history", customer["position"])
    assert log.status_code == 200


def test_a_query_that_waits_asks_again_only_when_something_has_moved(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("web.reading.WAIT_SECONDS", 0.05)
    customer, bell = office.customer(), office.turnstile.signals.bells[MOVED]
    asked: list[str] = []
    heard = bell.heard()
    with hearing(for_queries(office.turnstile.engine), lambda _, sql: asked.append(sql)):
        seen(office, "/api/v1/customers", customer["position"])
    rings = bell.heard() - heard  # one perhaps, as the process begins to listen
    assert sum("FROM tracking" in sql for sql in asked) <= 2 + rings


def test_an_order_is_looked_up_with_few_questions(office: BoxOffice):
    placed = office.order(office.event(), office.customer(), quantity=2)
    office.catch_up()
    with statements(for_queries(office.turnstile.engine)) as asked:
        office.get(f"/api/v1/orders/{placed['id']}", caught_up=False)
    # How new it is and which version, the order with its tickets, its payments.
    assert sum("SELECT" in sql.split("\n")[0] for sql in asked) == 3


@contextmanager
def meanwhile(office: BoxOffice, table: str, act: Callable[[], object]) -> Iterator[None]:
    """Once a query has asked that table something, does `act`, of which the read models hear."""
    pending = [act, office.catch_up]

    def interrupt(_: Connection, sql: str) -> None:
        while f"FROM {table}" in sql and pending:
            with ThreadPoolExecutor(1) as thread:
                thread.submit(pending.pop(0)).result()

    with hearing(for_queries(office.turnstile.engine), after=interrupt):
        yield
    assert not pending


def test_an_order_is_shown_as_of_one_moment(office: BoxOffice):
    order = office.order(office.event(), office.customer(), quantity=2)
    path = f"/api/v1/orders/{order['id']}"
    office.catch_up()
    with meanwhile(office, "orders", lambda: office.post(f"{path}/pay", {"method": "card"})):
        shown = office.get(path, caught_up=False)
    assert (shown["status"], shown["payments"], shown["version"]) == ("placed", [], 1)
    with meanwhile(office, "tracking", lambda: office.post(f"{path}/refund")):
        shown = office.get(path, caught_up=False)
    assert (shown["status"], shown["refunds"], shown["version"]) == ("paid", [], 2)
    assert office.get(path)["status"] == "refunded"


def test_sales_and_statistics_are_shown_as_of_one_moment(office: BoxOffice):
    event, customer = office.event(), office.customer()
    office.sold(event, customer)
    office.catch_up()
    with meanwhile(office, "tickets_by_day", lambda: office.sold(event, customer)):
        totals = office.get(f"/api/v1/events/{event['id']}/sales", caught_up=False)["totals"]
    assert (totals["tickets"]["units_sold"], totals["orders"]["paid"]) == (1, 1)
    price = Decimal(event["ticket_types"][ADULT]["price"])
    with meanwhile(office, "customer_statistics", lambda: office.sold(event, customer)):
        shown = office.get(f"/api/v1/customers/{customer['id']}/statistics", caught_up=False)
    assert shown["total_orders_placed"] == 2
    assert Decimal(shown["total_amount_spent"]) == 2 * price


def test_a_ticket_type_is_no_newer_than_its_event(office: BoxOffice):
    event = office.event()
    path, (kind, *_) = f"/api/v1/events/{event['id']}", event["ticket_types"]
    office.catch_up()
    rename = partial(office.patch, f"{path}/ticket-types/{kind['id']}", {"name": "Renamed"})
    with meanwhile(office, "catalogue", rename):
        shown = office.get(path, caught_up=False)
    assert shown["ticket_types"][0]["name"] == kind["name"]
    assert shown["version"] == event["version"]
    assert office.get(path)["ticket_types"][0]["name"] == "Renamed"


def test_not_all_threads_wait_for_what_may_never_come(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("web.reading.WAIT_SECONDS", 2.0)
    bell = office.turnstile.signals.bells[MOVED]
    half = office.turnstile.settings.web_threads // 2
    lagging, made_up = office.event()["position"], 10**17
    with ThreadPoolExecutor(half) as threads:
        waiting: list[Future[Any]] = []
        for position, most in (made_up, half // 2), (lagging, half):
            ask = partial(seen, office, "/api/v1/events", position)
            waiting += [threads.submit(ask) for _ in range(most - len(waiting))]
            assert eventually(partial(lambda most: bell.waiting == most, most))
            started = time.monotonic()
            refused = seen(office, "/api/v1/events", position)
            assert time.monotonic() - started < 0.5
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert seen(office, "/api/v1/events", 1).status_code == 200
    assert {answer.result().status_code for answer in waiting} == {503}
    assert bell.waiting == 0


def test_what_is_looked_up_tells_the_version_that_a_command_may_be_held_to(office: BoxOffice):
    event, ada, grace = office.event(), office.customer(), office.customer("Grace")
    order = office.order(event, ada)
    path = f"/api/v1/orders/{order['id']}"
    office.post(f"{path}/pay", {"method": "card", "amount": "0.01"}, 409)
    office.catch_up()
    response = office.send("GET", path)
    assert response.json["version"] == 2
    assert response.headers["ETag"] == '"2"'
    paid = office.post(f"{path}/pay", {"method": "card"}, If_Match=response.headers["ETag"])
    ticket_id = ticket_ids(paid)[0]
    office.scan(event, ticket_id=ticket_id)
    office.scan(event, ticket_id=ticket_id)
    assert office.get(f"/api/v1/tickets/{ticket_id}")["version"] == 3
    office.patch(f"/api/v1/customers/{grace['id']}", {"name": "Grace H."})
    assert office.get(f"/api/v1/customers/{grace['id']}")["version"] == 2
    assert office.get(f"/api/v1/customers/{ada['id']}")["version"] == 1


def test_a_process_of_one_thread_lets_it_wait(office: BoxOffice, monkeypatch: pytest.MonkeyPatch):
    few = replace(office.turnstile, settings=replace(office.turnstile.settings, web_threads=1))
    monkeypatch.setattr("web.reading.turnstile", lambda: few)
    position = office.customer()["position"]
    projecting = threading.Timer(0.2, office.catch_up)
    projecting.start()
    assert seen(office, "/api/v1/customers", position).status_code == 200
    projecting.join()


def test_the_version_of_what_is_parked_is_that_of_what_is_shown(office: BoxOffice):
    order = office.order(office.event(), office.customer())
    path = f"/api/v1/orders/{order['id']}"
    office.catch_up()
    engine, stream_id = office.turnstile.engine, UUID(order["id"])
    paid = office.post(f"{path}/pay", {"method": "card"})
    office.catch_up()
    assert office.get(path)["version"] == paid["version"] == 2
    with writing(engine) as connection:
        mine = (events.c.stream_id == stream_id, events.c.version == 2)
        position = connection.execute(select(events.c.position).where(*mine)).scalar_one()
        row = {"read_model": "orders", "stream_id": stream_id, "position": position}
        row |= {"error": "poisoned", "parked_at": datetime.now(UTC)}
        connection.execute(insert(parked).values(row))
    assert office.get(path)["version"] == 1
    with writing(engine) as connection:
        connection.execute(delete(parked).where(parked.c.stream_id == stream_id))


def test_a_version_is_told_no_newer_than_what_is_shown(office: BoxOffice):
    order = office.order(office.event(), office.customer())
    path = f"/api/v1/orders/{order['id']}"
    assert office.get(path)["version"] == 1
    office.post(f"{path}/pay", {"method": "card"})
    behind = office.get(path, caught_up=False)
    assert (behind["status"], behind["version"]) == ("placed", 1)


LISTS_OF_AN_ORGANIZER = (
    "/api/v1/orders",
    "/api/v1/events/summary",
    "/api/v1/events/low-capacity?threshold=5",
    "/api/v1/ticket-types/top",
    "/stats",
)


@pytest.mark.parametrize("path", LISTS_OF_AN_ORGANIZER)
def test_what_is_narrowed_to_an_organizer_waits_for_the_catalogue(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch, path: str
):
    monkeypatch.setattr("web.reading.WAIT_SECONDS", 0.05)
    position = office.event()["position"]
    others = [model for model in READ_MODELS if model is not CATALOGUE]
    Projector(office.turnstile, others).catch_up()
    assert seen(office, path, position).status_code == 503
    office.catch_up()
    with statements(for_queries(office.turnstile.engine)) as asked:
        assert seen(office, path, position).status_code == 200
    assert sum("FROM tracking" in sql for sql in asked) == 1


@pytest.mark.parametrize("bad", ["", "x", "-1", "1.5", "9" * 19])
def test_a_position_that_is_none_is_refused(office: BoxOffice, bad: str):
    assert seen(office, "/api/v1/events", bad).status_code == 400
