"""The log over HTTP: histories, states as of some moment, the feed, and the projections."""

from uuid import UUID, uuid4

from application import keys, proofs
from application.checkpoints import take_checkpoint
from application.proofs import read_proof
from tests.web.conftest import ADULT, BoxOffice


def test_a_tickets_history_tells_what_who_and_when_without_secrets(office: BoxOffice):
    event, ada, grace = office.event(), office.customer(), office.customer("Grace")
    ticket = office.ticket(event, ada)
    office.ticket(event, ada)
    body = {"to_customer_id": grace["id"], "reason": "Gift"}
    office.post(f"/api/v1/tickets/{ticket['id']}/transfer", body, X_Actor="desk")
    at = "2026-05-01T10:00:00Z"
    office.scan(event, ticket_id=ticket["id"], at=at)
    response = office.send("GET", f"/api/v1/tickets/{ticket['id']}/history")
    facts = response.json["items"]
    assert [fact["what"] for fact in facts] == [
        "Ticket.Issued",
        "Ticket.Transferred",
        "Ticket.Admitted",
    ]
    assert [fact["version"] for fact in facts] == [1, 2, 3]
    assert facts[1]["who"] == "desk"
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
