"""Every command: what it answers with, and where it stands in the log."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.web.conftest import ADULT, CHILD, EVENT, BoxOffice, Json, by_a_slow_clock, ticket_ids

LIFE = [("publish", "published"), ("start", "ongoing"), ("complete", "completed")]


def test_a_command_says_what_it_made_and_where_it_stands(office: BoxOffice):
    office.event()
    response = office.send("POST", "/api/v1/events", json=EVENT)
    made = response.json
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/events/{made['id']}"
    assert response.headers["ETag"] == f'"{made["version"]}"'
    assert response.headers["Turnstile-Position"] == str(made["position"])
    assert UUID(made["id"]).version == 7
    assert made["position"] > made["version"] > 0


def test_an_event_is_made_with_everything_that_describes_it(office: BoxOffice):
    details: Json = {
        "description": "Outdoors",
        "online": True,
        "registration_deadline": "2119-01-01T00:00:00Z",
        "doors_open_at": "2020-06-21T17:00:00Z",
        "organizer": {"id": str(uuid4()), "name": "Players"},
    }
    made = office.event(publish=False, **details)
    organizer = details.pop("organizer")
    assert made["organizer_id"] == organizer["id"]
    assert made["organizer_name"] == organizer["name"]
    assert {name: made[name] for name in details} == details
    assert made["status"] == "draft"
    assert [kind["price"] for kind in made["ticket_types"]] == ["12.50", "0.00"]


def test_an_event_is_led_through_its_life(office: BoxOffice):
    event = office.event(publish=False)
    for verb, status in LIFE:
        assert office.post(f"/api/v1/events/{event['id']}/{verb}")["status"] == status
    other = office.event()
    cancelled = office.post(f"/api/v1/events/{other['id']}/cancel", {"reason": "Rain"})
    assert cancelled["status"] == "cancelled"


def test_a_change_touches_only_what_is_given_and_null_clears(office: BoxOffice):
    event = office.event()
    path = f"/api/v1/events/{event['id']}"
    changed = office.patch(path, {"capacity": None, "description": None, "title": "Noon"})
    assert changed["capacity"] is None
    assert changed["title"] == "Noon"
    same = set(event) - {"version", "position", "capacity", "title"}
    assert {name: changed[name] for name in same} == {name: event[name] for name in same}
    renamed = office.patch(path, {"organizer": {"name": "Others"}})
    assert renamed["organizer_name"] == "Others"
    assert renamed["organizer_id"] == event["organizer_id"]


def test_times_are_answered_in_utc(office: BoxOffice):
    event = office.event(starts_at="2026-06-21T20:00:00+02:00")
    assert event["starts_at"] == "2026-06-21T18:00:00Z"


def test_a_ticket_type_is_added_and_changed(office: BoxOffice):
    event = office.event(publish=False)
    path = f"/api/v1/events/{event['id']}/ticket-types"
    added = office.post(path, {"name": "Patron", "price": "100.00", "quantity": 5}, 201)
    assert added["event_id"] == event["id"]
    assert added["price"] == "100.00"
    assert added["version"] == event["version"] + 1
    changed = office.patch(f"{path}/{added['id']}", {"price": "90", "quantity": None})
    assert (changed["price"], changed["quantity"]) == ("90.00", None)
    assert changed["name"] == "Patron"


def test_prices_are_in_the_currency_of_the_event(office: BoxOffice):
    event = office.event(publish=False, currency="JPY", ticket_types=[])
    path = f"/api/v1/events/{event['id']}/ticket-types"
    assert office.post(path, {"name": "Adult", "price": "1500"}, 201)["price"] == "1500"
    problem = office.post(path, {"name": "Child", "price": "7.50"}, 422)
    assert problem["type"] == "/problems/invalid-money"


def test_a_customer_is_registered_and_changed(office: BoxOffice):
    office.customer("Grace Hopper")
    customer = office.customer(phone="+44 1")
    path = f"/api/v1/customers/{customer['id']}"
    changed = office.patch(path, {"phone": "", "email": "ada@new.example"})
    assert (changed["phone"], changed["email"]) == ("", "ada@new.example")
    assert changed["name"] == "Ada Lovelace"


def test_an_order_holds_is_paid_and_refunded_in_part_and_whole(office: BoxOffice):
    event, customer = office.event(), office.customer()
    order = office.order(event, customer, ADULT, 3)
    assert order["status"] == "placed"
    assert order["total"] == "37.50"
    expires_at = datetime.fromisoformat(order["expires_at"])
    assert timedelta(minutes=29) < expires_at - datetime.now(UTC) <= timedelta(minutes=30)
    path = f"/api/v1/orders/{order['id']}"
    paid = office.post(f"{path}/pay", {"method": "cash", "reference": "r1", "amount": "37.50"})
    assert (paid["status"], paid["payment_method"]) == ("paid", "cash")
    one = ticket_ids(paid)[0]
    partly = office.post(f"{path}/refund", {"ticket_ids": [one], "reason": "Ill"})
    assert (partly["status"], partly["refunded_tickets"]) == ("partly_refunded", [one])
    assert office.post(f"{path}/refund")["status"] == "refunded"


def test_a_free_order_is_paid_at_once(office: BoxOffice):
    assert office.order(office.event(), office.customer(), CHILD)["status"] == "paid"


def test_an_order_is_cancelled(office: BoxOffice):
    order = office.order(office.event(), office.customer())
    path = f"/api/v1/orders/{order['id']}/cancel"
    assert office.post(path, {"reason": "Changed my mind"})["status"] == "cancelled"


def test_another_amount_than_the_total_is_refused(office: BoxOffice):
    order = office.order(office.event(), office.customer())
    body = {"method": "card", "amount": "12.49"}
    problem = office.post(f"/api/v1/orders/{order['id']}/pay", body, 409)
    assert problem["type"] == "/problems/amount-mismatch"


def test_overselling_is_refused_by_its_rule(office: BoxOffice):
    event, customer = office.event(capacity=1), office.customer()
    office.order(event, customer)
    body = {
        "event_id": event["id"],
        "customer_id": customer["id"],
        "lines": [{"ticket_type_id": event["ticket_types"][ADULT]["id"], "quantity": 1}],
        "payment_method": "card",
    }
    problem = office.post("/api/v1/orders", body, 409)
    assert problem["type"] == "/problems/sold-out"
    assert problem["detail"] == "0 places are left in all."


def test_a_ticket_is_handed_over_under_a_new_secret(office: BoxOffice):
    event, ada, grace = office.event(), office.customer(), office.customer("Grace Hopper")
    ticket = office.ticket(event, ada)
    path = f"/api/v1/tickets/{ticket['id']}"
    handed = office.post(f"{path}/transfer", {"to_customer_id": grace["id"], "reason": "Gift"})
    assert (handed["holder_id"], handed["transfers"]) == (grace["id"], 1)
    assert "secret" not in handed
    assert office.scan(event, secret=ticket["secret"])["reason"] == "revoked"
    assert office.scan(event, secret=office.get(path)["secret"])["status"] == "ok"


def test_a_blocked_ticket_does_not_pass_until_unblocked(office: BoxOffice):
    event = office.event()
    ticket = office.ticket(event, office.customer())
    path = f"/api/v1/tickets/{ticket['id']}"
    assert office.post(f"{path}/block", {"reason": "Stolen"})["blocked"]
    assert office.scan(event, secret=ticket["secret"])["reason"] == "blocked"
    assert not office.post(f"{path}/unblock")["blocked"]
    assert office.scan(event, secret=ticket["secret"])["status"] == "ok"


def test_every_attempt_at_the_gate_is_answered(office: BoxOffice):
    event, other, customer = office.event(), office.event(), office.customer()
    ticket, child = office.ticket(event, customer), office.ticket(event, customer, CHILD)
    shown = {"secret": ticket["secret"]}
    passed = office.scan(event, **shown, scanner_id="g1", location="North", device_info="x")
    assert passed["status"] == "ok"
    assert passed["reason"] is None
    assert passed["ticket_type"] == "Adult"
    assert passed["id"] == passed["ticket_id"] == ticket["id"]
    assert office.scan(event, **shown)["reason"] == "already_redeemed"
    assert office.scan(event, **shown, type="exit")["status"] == "ok"
    assert office.scan(event, **shown)["status"] == "ok"
    assert office.scan(event, ticket_id=child["id"])["status"] == "ok"
    assert office.scan(event, ticket_id=child["id"], force=True)["status"] == "ok"
    assert office.scan(other, **shown)["reason"] == "product"
    assert office.scan(event, secret="no such secret")["reason"] == "invalid"
    assert office.scan(event, ticket_id=str(uuid4()))["reason"] == "invalid"
    metadata = {"lane": 7, "nested": {"a": [1, None, True, 0.5]}}
    assert office.scan(event, **shown, additional_metadata=metadata)["status"] == "error"


def test_an_unpaid_ticket_is_known_by_its_id(office: BoxOffice):
    event = office.event()
    order = office.order(event, office.customer())
    assert office.scan(event, ticket_id=ticket_ids(order)[0])["reason"] == "unpaid"
    office.catch_up()
    assert office.scan(event, ticket_id=ticket_ids(order)[0])["reason"] == "unpaid"
    office.post(f"/api/v1/orders/{order['id']}/cancel")
    assert office.scan(event, ticket_id=ticket_ids(order)[0])["reason"] == "canceled"


def test_a_refusal_that_is_recorded_tells_where(office: BoxOffice):
    order = office.order(office.event(), office.customer())
    path, key = f"/api/v1/orders/{order['id']}/pay", {"Idempotency-Key": str(uuid4())}
    sent: Any = {"json": {"method": "card", "reference": "ch_1", "amount": "1.00"}, "headers": key}
    first, again = (office.send("POST", path, **sent) for _ in range(2))
    (_, refused) = office.get(f"/api/v1/orders/{order['id']}/history")["items"]
    assert first.headers["Turnstile-Position"] == str(refused["position"])
    assert again.headers["Turnstile-Position"] == str(refused["position"])
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (409, "true")
    nothing = office.send("POST", f"/api/v1/orders/{order['id']}/refund", json={})
    assert (nothing.status_code, "Turnstile-Position" in nothing.headers) == (409, False)


def test_a_scan_made_offline_counts_when_it_happened(office: BoxOffice):
    event = office.event()
    ticket = office.ticket(event, office.customer())
    at = by_a_slow_clock()
    assert office.scan(event, secret=ticket["secret"], at=at)["at"] == at
    future = (datetime.now(UTC) + timedelta(minutes=6)).isoformat()
    body = {"event_id": event["id"], "secret": ticket["secret"], "at": future}
    assert office.post("/api/v1/checkins", body, 422)["type"] == "/problems/invalid-time"
    soon = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    assert office.scan(event, secret=ticket["secret"], type="exit", at=soon)["status"] == "ok"


def test_a_scanner_that_has_lost_the_time_counts_now_and_what_it_told_is_kept(office: BoxOffice):
    event = office.event()
    ticket = office.ticket(event, office.customer())
    before, told = datetime.now(UTC), "1970-01-01T00:00:07Z"
    entered = office.scan(event, secret=ticket["secret"], at=told)
    assert before < datetime.fromisoformat(entered["at"]) < datetime.now(UTC)
    made = office.get(f"/api/v1/tickets/{ticket['id']}/history")["items"][-1]
    assert (made["occurred_at"], made["metadata"]["told_at"]) == (entered["at"], told)
    (day,) = office.get(f"/stats/daily?event_id={event['id']}")
    assert day["stat_date"] == entered["at"][:10]


def test_a_scanner_whose_clock_is_fast_keeps_nobody_from_leaving(office: BoxOffice):
    event = office.event()
    secret = office.ticket(event, office.customer())["secret"]
    before, soon = datetime.now(UTC), (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    entered = office.scan(event, secret=secret, at=soon)
    assert before < datetime.fromisoformat(entered["at"]) < datetime.now(UTC)
    assert office.scan(event, secret=secret, type="exit")["status"] == "ok"
    assert office.scan(event, secret=secret)["status"] == "ok"


def test_the_same_nonce_gets_the_first_answer_again(office: BoxOffice):
    event, other = office.event(), office.event()
    ticket = office.ticket(event, office.customer())
    attempt = {"secret": ticket["secret"], "nonce": "n-1"}
    first = office.scan(event, **attempt)
    assert first["status"] == "ok"
    again = office.send("POST", "/api/v1/checkins", json={"event_id": event["id"], **attempt})
    assert (again.status_code, again.json) == (201, first)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert office.scan(event, **{**attempt, "nonce": "n-2"})["reason"] == "already_redeemed"
    assert office.scan(other, **attempt)["reason"] == "product"


def test_a_nonce_admits_nobody_else(office: BoxOffice):
    event = office.event()
    first, second = (office.ticket(event, office.customer()) for _ in range(2))
    assert office.scan(event, secret=first["secret"], nonce="0001")["status"] == "ok"
    assert office.scan(event, secret="forged", nonce="0001")["reason"] == "invalid"
    assert office.scan(event, secret=second["secret"], nonce="0001")["ticket_id"] == second["id"]
    assert office.scan(event, ticket_id=first["id"], nonce="0001")["reason"] == "already_redeemed"
    assert office.scan(event, secret=first["id"], nonce="0001")["reason"] == "invalid"
    assert office.scan(event, secret=first["secret"], nonce="0001", type="exit")["type"] == "exit"


def test_a_nonce_of_another_gate_is_another_attempt(office: BoxOffice):
    event = office.event()
    attempt = {"secret": office.ticket(event, office.customer())["secret"], "nonce": "17"}
    assert office.scan(event, **attempt, scanner_id="gate-1")["status"] == "ok"
    assert office.scan(event, **attempt, scanner_id="gate-2")["reason"] == "already_redeemed"
    assert office.scan(event, **attempt, scanner_id="gate-1")["status"] == "ok"


@pytest.mark.parametrize("verb", ["publish", "start", "complete", "cancel"])
def test_a_command_without_a_body_needs_no_content_type(office: BoxOffice, verb: str):
    event = office.event(publish=False)
    response = office.send("POST", f"/api/v1/events/{event['id']}/{verb}")
    assert response.status_code == (200 if verb in ("publish", "cancel") else 409)
