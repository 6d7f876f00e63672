"""The log over HTTP: histories, states as of some moment, the feed, and the projections."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from application import keys, proofs
from application.checkpoints import take_checkpoint
from application.proofs import read_proof
from application.store.database import writing
from projections.customer_statistics import CUSTOMER_STATISTICS
from projections.engine.tables import parked
from tests.application.store.tampering import alter, tampering
from tests.keys import bearer, service_key
from tests.web.conftest import ADULT, BoxOffice, by_a_slow_clock, ticket_ids
from tests.workers.festival import box_office
from tests.workers.processes import eventually
from web.schemas.log import TOPICS
from workers.jobs import jobs_of


def test_a_tickets_history_tells_what_who_and_when_without_secrets(office: BoxOffice):
    event, ada, grace = office.event(), office.customer(), office.customer("Grace")
    ticket = office.ticket(event, ada)
    office.ticket(event, ada)
    body = {"to_customer_id": grace["id"], "reason": "Gift"}
    office.post(f"/api/v1/tickets/{ticket['id']}/transfer", body)
    at = by_a_slow_clock()
    office.scan(event, ticket_id=ticket["id"], at=at)
    response = office.send("GET", f"/api/v1/tickets/{ticket['id']}/history")
    facts = response.json["items"]
    assert [fact["what"] for fact in facts] == [
        "Ticket.Issued",
        "Ticket.Transferred",
        "Ticket.Admitted",
    ]
    assert [fact["version"] for fact in facts] == [1, 2, 3]
    assert facts[1]["who"].startswith("service:")
    assert facts[1]["data"]["reason"] == "Gift"
    assert facts[2]["occurred_at"] == at != facts[2]["recorded_at"]
    assert [fact["data"].get("secret") for fact in facts] == ["redacted", "redacted", None]
    assert ticket["secret"] not in response.text
    page = office.get(f"/api/v1/tickets/{ticket['id']}/history?limit=2")
    assert page["next"] == 2
    rest = office.get(f"/api/v1/tickets/{ticket['id']}/history?limit=2&after=2")
    assert (rest["items"], rest["next"]) == (facts[2:], None)


def test_every_kind_has_its_own_history_and_state_then(office: BoxOffice):
    event, customer = office.event(), office.customer()
    order = office.sold(event, customer)
    ticket = order["lines"][0]["ticket_ids"][0]
    ids = {"events": event["id"], "orders": order["id"], "customers": customer["id"]}
    for kind, known in (ids | {"tickets": ticket}).items():
        assert office.get(f"/api/v1/{kind}/{known}/history")["items"]
        then = office.get(f"/api/v1/{kind}/{known}/as-of?version=1")
        assert (then["id"], then["version"]) == (known, 1)
        assert office.get(f"/api/v1/{kind}/{known}/diff?from=0&to=1")["id"] == known
        office.get(f"/api/v1/{kind}/{uuid4()}/history", 404)
        office.get(f"/api/v1/{kind}/{known}/as-of?version=99", 404)
    office.get(f"/api/v1/orders/{event['id']}/history", 404)


def test_the_state_as_of_a_time_or_a_version(office: BoxOffice):
    event = office.event(title="Before")
    path = f"/api/v1/events/{event['id']}"
    before = office.get(f"{path}/history")["items"][-1]["occurred_at"]
    office.patch(path, {"title": "After"})
    assert office.get(f"{path}/as-of?version={event['version']}")["title"] == "Before"
    assert office.get(f"{path}/as-of?at={before}")["title"] == "Before"
    assert office.get(f"{path}/as-of?at=2100-01-01T00:00:00Z")["title"] == "After"
    assert office.get(f"{path}/as-of?at={before}&by=occurred")["title"] == "Before"
    office.get(f"{path}/as-of?at=2001-01-01T00:00:00Z&by=recorded", 404)


def test_a_scan_before_the_tickets_issue_leaves_a_state_to_show(office: BoxOffice):
    event, customer = office.event(), office.customer()
    ticket, at = office.ticket(event, customer), by_a_slow_clock()
    office.scan(event, ticket_id=ticket["id"], at=at)
    path = f"/api/v1/tickets/{ticket['id']}/as-of"
    then = office.get(f"{path}?at={at}")
    assert (then["inside"], then["holder_id"]) == (True, customer["id"])
    office.get(f"{path}?at={by_a_slow_clock(seconds=10)}", 404)
    office.get(f"{path}?at={at}&by=recorded", 404)


def test_the_difference_between_two_versions_tells_what_made_it(office: BoxOffice):
    event, customer = office.event(), office.customer()
    order = office.sold(event, customer, ADULT, 2)
    returned = {"ticket_ids": [ticket_ids(order)[1]], "reason": "Ill"}
    refund = office.post(f"/api/v1/orders/{order['id']}/refund", returned)
    path = f"/api/v1/orders/{order['id']}"
    placed, paid, refunded = (f["position"] for f in office.get(f"{path}/history")["items"])
    changed = office.get(f"{path}/diff?from=1&to={refund['version']}")
    assert (changed["from"]["version"], changed["to"]["version"]) == (1, 3)
    assert {change["path"]: change for change in changed["changes"]} == {
        "/status": {
            "path": "/status",
            "before": "placed",
            "after": "partly_refunded",
            "positions": [paid, refunded],
        },
        "/payment_attempts": {
            "path": "/payment_attempts",
            "before": 0,
            "after": 1,
            "positions": [paid],
        },
        "/refunded_tickets/0": {
            "path": "/refunded_tickets/0",
            "before": None,
            "after": ticket_ids(order)[1],
            "positions": [refunded],
        },
    }
    everything = office.get(f"{path}/diff?from=0&to=1")
    assert everything["from"] == {"version": 0, "as_of": None}
    assert {"path": "/status", "before": None, "after": "placed", "positions": [placed]} in (
        everything["changes"]
    )
    assert office.get(f"{path}/diff?from=2&to=2")["changes"] == []


def test_the_difference_between_two_times_goes_by_either_clock(office: BoxOffice):
    event = office.event()
    ticket = office.ticket(event, office.customer())
    issued = office.get(f"/api/v1/tickets/{ticket['id']}/history")["items"][0]["recorded_at"]
    scan = office.scan(event, ticket_id=ticket["id"], at=by_a_slow_clock())
    path = f"/api/v1/tickets/{ticket['id']}/diff"

    def changed(start: str, end: str, by: str) -> dict[str, Any]:
        query = f"{path}?from={start}&to={end}&by={by}"
        return {change["path"]: change for change in office.get(query)["changes"]}

    late = changed(issued, "2100-01-01T00:00:00Z", "recorded")
    assert set(late) == {"/inside", "/admissions"}
    assert late["/inside"]["positions"] == [scan["position"]]
    assert changed(issued, "2100-01-01T00:00:00Z", "occurred") == {}
    early = changed("2021-01-01T00:00:00Z", by_a_slow_clock(seconds=-10), "occurred")
    assert (early["/inside"]["before"], early["/inside"]["after"]) == (None, True)


def test_what_was_reported_late_is_not_what_happened_between(office: BoxOffice):
    event = office.event()
    ticket = office.ticket(event, office.customer())
    came = office.scan(event, ticket_id=ticket["id"])
    office.scan(event, ticket_id=ticket["id"], type="exit")
    office.scan(event, ticket_id=ticket["id"], at=by_a_slow_clock())
    path, between = f"/api/v1/tickets/{ticket['id']}", by_a_slow_clock(seconds=-10)
    then = office.get(f"{path}/as-of?at={between}")
    assert (then["version"], then["admissions"]) == (4, 1)
    query = f"from={between}&to=2100-01-01T00:00:00Z"
    assert office.get(f"{path}/diff?{query}")["changes"] == [
        {"path": "/admissions", "before": 1, "after": 2, "positions": [came["position"]]},
    ]


def test_a_difference_that_cannot_be_told_is_refused(office: BoxOffice):
    order = office.order(office.event(), office.customer())
    path = f"/api/v1/orders/{order['id']}/diff"
    mixed = office.get(f"{path}?from=1&to=2100-01-01T00:00:00Z", 422)
    assert mixed["detail"] == "Give two versions or two times."
    office.get(f"{path}?from=2&to=1", 422)
    office.get(f"{path}?from=2002-01-01T00:00:00Z&to=2001-01-01T00:00:00Z", 422)
    assert office.get(f"{path}?from=1&to=9", 404)["detail"] == "Its latest version is 1."
    office.get(f"{path}?from=2001-01-01T00:00:00Z&to=2002-01-01T00:00:00Z", 404)
    office.get(f"/api/v1/orders/{uuid4()}/diff?from=1&to=1", 404)
    office.get(f"/api/v1/tickets/{order['id']}/diff?from=1&to=1", 404)


def test_the_feed_goes_on_where_it_ended(office: BoxOffice):
    start = office.customer()["position"]
    event = office.event()
    office.sold(event, office.customer(), ADULT, 1)
    feed = office.get(f"/api/v1/log?after={start}&limit=2")
    assert [fact["position"] for fact in feed["items"]] == [start + 1, start + 2]
    rest = office.get(f"/api/v1/log?after={feed['next']}")
    positions = [fact["position"] for fact in rest["items"]]
    assert positions == list(range(start + 3, rest["head"] + 1))
    assert office.get(f"/api/v1/log?after={rest['next']}")["items"] == []
    query = f"/api/v1/log?after={start}&topics=Order.Paid,Ticket.Issued"
    chosen = office.send("GET", query)
    assert {fact["what"] for fact in chosen.json["items"]} == {"Order.Paid", "Ticket.Issued"}
    assert chosen.json["items"][-1]["data"]["secret"] == "redacted"


@pytest.mark.parametrize("topics", ["Nonsense", "Order", "Order.Paid,order.paid", ",", "%00"])
def test_a_follower_of_what_is_never_recorded_is_told(office: BoxOffice, topics: str):
    problem = office.get(f"/api/v1/log?topics={topics}", 422)
    assert problem["errors"][0]["field"].startswith("topics.")
    assert "Order.Placed" in problem["errors"][0]["message"]


def test_a_follower_may_name_every_topic_or_none(office: BoxOffice):
    start = office.customer()["position"] - 1
    for topics in ("", ",".join(TOPICS)):
        assert len(office.get(f"/api/v1/log?after={start}&topics={topics}")["items"]) == 1


def test_checkpoints_are_listed_the_newest_first(office: BoxOffice):
    key = keys.new_key()
    signed = []
    for _ in range(3):
        office.customer()
        checkpoint = take_checkpoint(office.turnstile.engine, key.private)
        assert checkpoint is not None
        signed.append(checkpoint.signature)
    page = office.get("/api/v1/log/checkpoints?limit=2")
    rest = office.get(f"/api/v1/log/checkpoints?limit=200&after={page['next']}")
    shown = [item["signature"] for item in page["items"] + rest["items"]]
    assert shown[:3] == signed[::-1]
    assert page["items"][0]["public_key"] == key.public
    assert rest["next"] is None
    office.get("/api/v1/log/checkpoints?after=nonsense", 422)


def test_every_kind_is_proven_up_to_the_latest_checkpoint(office: BoxOffice):
    event, customer = office.event(), office.customer()
    ticket = office.ticket(event, customer)
    ids = {"events": event["id"], "tickets": ticket["id"], "customers": customer["id"]}
    assert office.get(f"/api/v1/tickets/{ticket['id']}/proof", 404)["type"].endswith(
        "/no-checkpoint"
    )
    key = keys.new_key()
    take_checkpoint(office.turnstile.engine, key.private)
    for kind, known in (ids | {"orders": ticket["order_id"]}).items():
        response = office.send("GET", f"/api/v1/{kind}/{known}/proof")
        proof = read_proof(response.data)
        assert proof.id == UUID(known)
        assert len(proofs.check(proof, [key.public])) > 0
        office.get(f"/api/v1/{kind}/{uuid4()}/proof", 404)
        assert ticket["secret"] not in response.text


def test_projections_tell_how_far_they_are(office: BoxOffice):
    office.event()
    items = {item["name"]: item for item in office.get("/api/v1/projections")["items"]}
    assert items["catalogue"]["lag_events"] == 0
    office.event()
    behind = office.get("/api/v1/projections/catalogue", caught_up=False)
    assert behind["lag_events"] > 0
    assert behind["head"] == behind["position"] + behind["lag_events"]
    office.get("/api/v1/projections/nothing", 404)


def test_a_rebuild_is_a_job_to_follow(office: BoxOffice):
    job = office.post("/api/v1/projections/catalogue/rebuild", status=202)
    assert (job["kind"], job["subject"], job["state"]) == ("rebuild", "catalogue", "waiting")
    followed = office.get("/api/v1/projections/catalogue")["rebuild"]
    assert followed["id"] == job["id"]
    assert office.get("/api/v1/projections/orders")["rebuild"] is None
    office.post("/api/v1/projections/nothing/rebuild", status=404)


def test_a_dry_run_is_a_job_that_only_compares(office: BoxOffice):
    path = "/api/v1/projections/open_holds"
    office.event()
    office.catch_up()
    job = office.post(f"{path}/rebuild", {"dry_run": True}, status=202)
    assert (job["kind"], job["subject"]) == ("compare", "open_holds")
    worker = jobs_of(office.turnstile).start_worker(1)
    try:
        done = eventually(lambda: finished(office, path, "compare"))
    finally:
        worker.stop()
    shown = office.get(path)
    assert shown["rebuild"] is None
    assert done["id"] == job["id"]
    found = shown["comparison"]
    assert (found["outcome"], found["missing"], found["swapped_at"]) == ("equal", 0, None)
    assert done["outcome"].startswith(f"compared at position {found['position']}: ")
    assert [table["table"] for table in found["tables"]] == ["open_holds"]
    office.post(f"{path}/rebuild", {"dry_run": "perhaps"}, status=422)


def test_what_waits_is_shown_counted_and_taken_again(office: BoxOffice):
    path = "/api/v1/projections/customer_statistics"
    customer = office.customer("Grace Hopper")
    office.catch_up()
    with writing(office.turnstile.engine) as connection:
        connection.execute(
            parked.insert().values(
                read_model="customer_statistics",
                position=customer["position"],
                stream_id=UUID(customer["id"]),
                error="KeyError: 'GB'",
                parked_at=datetime.now(UTC),
            )
        )
        statistics = CUSTOMER_STATISTICS.tables[0]
        connection.execute(
            statistics.delete().where(statistics.c.customer_id == UUID(customer["id"]))
        )
    (waiting,) = office.get(path)["waiting"]
    assert waiting["stream_id"] == customer["id"]
    assert (waiting["events"], waiting["error"]) == (1, "KeyError: 'GB'")
    assert waiting["first_position"] == waiting["last_position"] == customer["position"]
    assert office.get("/api/v1/projections/orders")["waiting"] == []
    metrics = office.send("GET", "/metrics").text
    assert 'turnstile_parked_streams{read_model="customer_statistics"} 1.0' in metrics
    assert 'turnstile_parked_events{read_model="orders"} 0.0' in metrics

    job = office.post(f"{path}/retry", status=202)
    assert (job["kind"], job["subject"]) == ("retry", "customer_statistics")
    worker = jobs_of(office.turnstile).start_worker(1)
    try:
        done = eventually(lambda: finished(office, path, "retry"))
    finally:
        worker.stop()
    assert done["outcome"] == "1 events taken, 0 wait still"
    assert office.get(path)["waiting"] == []
    assert office.get(f"/api/v1/customers/{customer['id']}/statistics")["total_orders_placed"] == 0
    office.post("/api/v1/projections/nothing/retry", status=404)


def finished(office: BoxOffice, path: str, kind: str):
    job = office.get(path)[kind]
    return job if job["finished_at"] else None


@pytest.mark.parametrize("payload", ['{"v":1', "[]"])
def test_a_damaged_event_is_named_by_its_position(migrated_url: str, payload: str):
    with box_office(migrated_url) as turnstile:
        office = BoxOffice(turnstile, bearer(service_key(turnstile)))
        order = office.order(office.event(), office.customer())
        at = order["position"]
        with tampering(turnstile.engine) as connection:
            alter(connection, at, payload=payload)
        for path in (f"/api/v1/orders/{order['id']}/history", f"/api/v1/log?after={at - 1}"):
            problem = office.get(path, 500, caught_up=False)
            assert problem["type"] == "/problems/unreadable-event"
            assert problem["detail"].startswith(f"Order.Placed at position {at} is damaged")
        office.get(f"/api/v1/log?after={at}", caught_up=False)
