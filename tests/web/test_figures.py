"""Figures over HTTP: as they stand, as they stood, and what each is made of."""

from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4
from zoneinfo import ZoneInfo

from tests.web.conftest import ADULT, CHILD, BoxOffice, Json, by_a_slow_clock, ticket_ids

LONG_AFTER = "2100-01-01T00:00:00Z"


def figures(office: BoxOffice, event: Json, **query: str) -> Json:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return office.get(f"/api/v1/events/{event['id']}/figures?{asked}")  # type: ignore[no-any-return]


def sources(office: BoxOffice, event: Json, name: str, **query: Any) -> Json:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    path = f"/api/v1/events/{event['id']}/figures/{name}/sources?{asked}"
    return office.get(path)  # type: ignore[no-any-return]


def test_figures_are_those_of_the_summary_and_of_the_statistics(office: BoxOffice):
    event, other, customer = office.event(), office.event(), office.customer()
    ticket = office.ticket(event, customer)
    office.sold(event, customer, CHILD, 3)
    office.order(event, customer, ADULT, 2)
    office.sold(other, customer, ADULT, 5)
    office.scan(event, ticket_id=ticket["id"])
    office.scan(event, secret="forged")
    shown = figures(office, event)
    assert shown["ticket_types"] == [
        {"id": kind["id"], "name": kind["name"], "units_sold": units}
        for kind, units in zip(event["ticket_types"], (1, 3), strict=True)
    ]
    summaries = office.get("/api/v1/events/summary?limit=200")["items"]
    summary = next(item for item in summaries if item["event_id"] == event["id"])
    gates = office.get(f"/stats?event_id={event['id']}")
    assert summary.items() <= shown.items()
    assert gates.items() <= shown.items()
    assert shown["percentage_tickets_remaining"] == 94.0
    assert (shown["scan_count"], shown["invalid_scan_count"]) == (2, 1)


def test_what_came_before_the_event_was_made_has_sources_for_each_figure(office: BoxOffice):
    """By a scanner whose clock is slow."""
    event, customer = office.event(), office.customer()
    ticket, at = office.ticket(event, customer), by_a_slow_clock()
    office.scan(event, ticket_id=ticket["id"], at=at)
    assert figures(office, event, at=at)["tickets_remaining"] == 100
    (item,) = sources(office, event, "tickets_remaining", at=at)["items"]
    assert item["after"] == 100
    adult = event["ticket_types"][ADULT]["id"]
    for name in ("total_tickets_sold", "total_revenue", f"units_sold.{adult}"):
        assert sources(office, event, name, at=at)["items"] == []
    assert len(sources(office, event, "scan_count", at=at)["items"]) == 1


def test_a_late_scan_counts_when_it_happened_or_when_it_was_recorded(office: BoxOffice):
    event, customer = office.event(), office.customer()
    ticket, then = office.ticket(event, customer), by_a_slow_clock()
    paris = quote(datetime.fromisoformat(then).astimezone(ZoneInfo("Europe/Paris")).isoformat())
    scan = office.scan(event, ticket_id=ticket["id"], at=then)
    office.scan(event, ticket_id=ticket["id"])
    history = office.get(f"/api/v1/tickets/{ticket['id']}/history")["items"]
    before, late, again = (fact["recorded_at"] for fact in history)
    assert figures(office, event, at=paris)["scan_count"] == 1
    assert figures(office, event, at=paris)["at"] == then
    assert figures(office, event, at=paris)["total_tickets_sold"] == 0
    office.get(f"/api/v1/events/{event['id']}/figures?at={paris}&by=recorded", 404)
    recorded = [
        figures(office, event, at=at, by="recorded")["scan_count"] for at in (before, late, again)
    ]
    assert recorded == [0, 1, 2]
    (item,) = sources(office, event, "scan_count", at=late, by="recorded")["items"]
    assert item["position"] == scan["position"]
    assert sources(office, event, "scan_count", at=paris)["items"] == [item]


def test_every_source_tells_what_it_was_and_what_it_added(office: BoxOffice):
    event, customer = office.event(), office.customer()
    order = office.sold(event, customer, ADULT, 2)
    refund = {"ticket_ids": ticket_ids(order)[:1], "reason": "Ill"}
    office.post(f"/api/v1/orders/{order['id']}/refund", refund)
    sale, back = sources(office, event, "total_revenue")["items"]
    assert (sale["what"], sale["stream_id"]) == ("Event.TicketsSold", event["id"])
    assert sale["data"]["order_id"] == order["id"]
    moved = [(item["before"], item["after"], item["contribution"]) for item in (sale, back)]
    assert moved == [("0.00", "25.00", "25.00"), ("25.00", "12.50", "-12.50")]
    assert back["who"].startswith("service:")
    adult, child = (f"units_sold.{kind['id']}" for kind in event["ticket_types"])
    assert [item["contribution"] for item in sources(office, event, adult)["items"]] == [2, -1]
    assert sources(office, event, child)["items"] == []


def test_the_sources_of_a_figure_show_no_secrets(office: BoxOffice):
    event, grace = office.event(), office.customer("Grace")
    ticket = office.ticket(event, office.customer())
    office.post(f"/api/v1/tickets/{ticket['id']}/transfer", {"to_customer_id": grace["id"]})
    (item,) = sources(office, event, "successful_transfer_count")["items"]
    assert (item["what"], item["stream_id"]) == ("Ticket.Transferred", ticket["id"])
    assert item["data"]["secret"] == "redacted"


def test_sources_come_page_by_page(office: BoxOffice):
    event, customer = office.event(), office.customer()
    for quantity in (1, 2, 3):
        office.sold(event, customer, ADULT, quantity)
    every = sources(office, event, "total_tickets_sold")
    assert ([item["after"] for item in every["items"]], every["next"]) == ([1, 3, 6], None)
    first = sources(office, event, "total_tickets_sold", limit=2)
    rest = sources(office, event, "total_tickets_sold", limit=2, after=first["next"])
    assert first["items"] + rest["items"] == every["items"]
    assert (len(first["items"]), rest["next"]) == (2, None)
    assert sources(office, event, "total_tickets_sold", limit=3) == every, "a full page, and last"


def test_what_has_no_figures_is_not_found(office: BoxOffice):
    event = office.event()
    order = office.order(event, office.customer())
    for unknown in (uuid4(), order["id"]):
        for path in ("figures", f"figures?at={LONG_AFTER}", "figures/scan_count/sources"):
            assert "no event" in office.get(f"/api/v1/events/{unknown}/{path}", 404)["detail"]
    early = "at=2001-01-01T00:00:00Z"
    assert office.get(f"/api/v1/events/{event['id']}/figures?{early}", 404)["detail"].endswith(
        "then."
    )


def test_an_unknown_figure_is_told_which_there_are(office: BoxOffice):
    event, other = office.event(), office.event()
    foreign = other["ticket_types"][0]["id"]
    for name in ("sold", "units_sold", "units_sold.x", f"units_sold.{foreign}", "event_id"):
        problem = office.get(f"/api/v1/events/{event['id']}/figures/{name}/sources", 404)
        assert problem["type"] == "/problems/not-found"
        for known in ("total_tickets_sold", "scan_count", "units_sold.{ticket_type_id}"):
            assert known in problem["detail"]


def test_figures_wait_for_what_the_caller_has_seen(office: BoxOffice):
    event = office.event()
    path = f"/api/v1/events/{event['id']}/figures"
    office.catch_up()
    order = office.order(event, office.customer())
    seen = {"Turnstile-Position": str(order["position"])}
    assert office.send("GET", path, headers=seen).status_code == 503
    assert office.get(path, caught_up=False)["tickets_held"] == 0
    office.catch_up()
    assert office.send("GET", path, headers=seen).json["tickets_held"] == 1
