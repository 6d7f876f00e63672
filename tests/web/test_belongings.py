"""What is whose: orders, tickets, drafts and exports are for those to whom they belong."""

from uuid import UUID, uuid4

from sqlalchemy import text

from application.access.identity import ATTENDEE, GATE, ORGANIZER
from tests.keys import bearer
from tests.web.conftest import BoxOffice, Json
from tests.web.people import registered
from tests.web.world import api_key, as_one


def _attendee(anybody: BoxOffice) -> tuple[Json, BoxOffice]:
    """Somebody who has registered: their account, and the box office as it is to them."""
    _, tokens = registered(anybody)
    return tokens["account"], BoxOffice(anybody.turnstile, bearer(tokens["access_token"]))


def test_an_attendee_orders_and_sees_own_orders_only(anybody: BoxOffice, office: BoxOffice):
    event, stranger = office.event(), office.customer("Bob")
    theirs = office.order(event, stranger)
    me, ada = _attendee(anybody)
    order = ada.order(event, {"id": me["subject_id"]})
    assert [item["id"] for item in ada.get("/api/v1/orders")["items"]] == [order["id"]]
    assert ada.get(f"/api/v1/orders/{order['id']}")["status"] == "placed"
    ada.get(f"/api/v1/orders/{theirs['id']}", 403)
    ada.get(f"/api/v1/orders/{uuid4()}", 404)
    fact = office.get(f"/api/v1/orders/{order['id']}/history")["items"][0]
    assert fact["who"] == f"attendee:{me['id']}"


def test_a_stranger_does_not_learn_a_version(anybody: BoxOffice, office: BoxOffice):
    order = office.order(office.event(), office.customer())
    _, stranger = _attendee(anybody)
    path, headers = f"/api/v1/orders/{order['id']}/cancel", {"If-Match": '"99"'}
    assert stranger.send("POST", path, headers=headers).status_code == 403


def test_a_ticket_that_was_handed_over_is_no_longer_theirs(anybody: BoxOffice, office: BoxOffice):
    me, ada = _attendee(anybody)
    ticket = office.ticket(office.event(), {"id": me["subject_id"]})
    bob, eve = office.customer("Bob"), office.customer("Eve")
    path = f"/api/v1/tickets/{ticket['id']}"
    assert ada.get(path)["secret"]
    ada.post(f"{path}/transfer", {"to_customer_id": bob["id"]})
    ada.post(f"{path}/transfer", {"to_customer_id": eve["id"]}, 403)
    ada.get(path, 403)


def test_a_ticket_is_shown_to_nobody_until_its_new_holder_is_seen(office: BoxOffice):
    ada, bob = office.customer("Ada"), office.customer("Bob")
    (_, hers), (_, his) = (as_one(office, ATTENDEE, UUID(who["id"])) for who in (ada, bob))
    ticket = office.ticket(office.event(), ada)
    path = f"/api/v1/tickets/{ticket['id']}"
    hers.post(f"{path}/transfer", {"to_customer_id": bob["id"]})
    for attendee in (hers, his):
        attendee.get(path, 403, caught_up=False)
    assert his.get(path)["secret"] != ticket["secret"]
    hers.get(path, 403)


def test_the_secret_of_a_ticket_is_not_for_those_who_run_the_event(office: BoxOffice):
    ticket = office.ticket(office.event(), office.customer())
    assert ticket["secret"]
    _, admin = as_one(office)
    assert admin.get(f"/api/v1/tickets/{ticket['id']}")["secret"] is None


def test_a_stranger_neither_uses_up_nor_reads_the_nonces_of_a_gate(office: BoxOffice):
    event = office.event()
    ticket = office.ticket(event, office.customer())
    _, secret = api_key(office, GATE, event_ids=[UUID(office.event()["id"])])
    stranger = BoxOffice(office.turnstile, bearer(secret))
    attempt = {"event_id": event["id"], "secret": ticket["secret"], "nonce": "0001"}
    stranger.post("/api/v1/checkins", attempt, 403)
    assert office.scan(event, **attempt)["status"] == "ok"
    assert office.scan(event, **attempt)["status"] == "ok"
    stranger.post("/api/v1/checkins", attempt, 403)


def test_lists_narrow_down_to_an_organizers_own(office: BoxOffice):
    other_event, customer = office.event(title="Other"), office.customer()
    office.sold(other_event, customer)
    _, olga = as_one(office, ORGANIZER)
    event = olga.event(title="Own", capacity=1)
    sold = olga.sold(event, customer)
    assert [item["event_id"] for item in olga.get("/api/v1/events/summary")["items"]] == [
        event["id"]
    ]
    low = olga.get("/api/v1/events/low-capacity")["items"]
    assert [item["id"] for item in low] == [event["id"]]
    assert [item["id"] for item in olga.get("/api/v1/orders")["items"]] == [sold["id"]]
    assert set(olga.get("/stats")) == {event["id"]}
    for period in ("", "?start_date=2020-01-01"):
        top = olga.get(f"/api/v1/ticket-types/top{period}")["items"]
        assert {item["event_id"] for item in top} == {event["id"]}


def test_statistics_of_no_event_are_a_bad_request_for_an_organizer_too(office: BoxOffice):
    _, olga = as_one(office, ORGANIZER)
    unknown, others = uuid4(), office.event()["id"]
    for path in ("/stats", "/stats/daily", "/stats/scans"):
        assert str(unknown) in olga.get(f"{path}?event_id={unknown}", 400)["detail"]
        olga.get(f"{path}?event_id={others}", 403)
    olga.get(f"/api/v1/orders?event_id={unknown}", 404)


def test_a_draft_is_not_there_for_others(anybody: BoxOffice, office: BoxOffice):
    draft = office.event(publish=False)
    anybody.get(f"/api/v1/events/{draft['id']}", 404)
    assert office.get(f"/api/v1/events/{draft['id']}")["status"] == "draft"


def test_a_draft_that_is_called_off_is_still_not_there_for_others(
    anybody: BoxOffice, office: BoxOffice
):
    _, olga = as_one(office, ORGANIZER)
    title = f"Secret {uuid4()}"
    draft, shown = olga.event(publish=False, title=title), olga.event(title=title)
    for event in (draft, shown):
        olga.post(f"/api/v1/events/{event['id']}/cancel")
    cancelled = f"/api/v1/events?status=cancelled&organizer_id={draft['organizer_id']}"
    assert [item["id"] for item in anybody.get(cancelled)["items"]] == [shown["id"]]
    anybody.get(f"/api/v1/events/{draft['id']}", 404)
    assert anybody.get(f"/api/v1/events/{shown['id']}")["status"] == "cancelled"
    assert {item["id"] for item in olga.get(cancelled)["items"]} == {shown["id"], draft["id"]}
    assert olga.get(f"/api/v1/events/{draft['id']}")["status"] == "cancelled"


def test_an_export_tells_nothing_of_others(anybody: BoxOffice, office: BoxOffice):
    me, ada = _attendee(anybody)
    ticket = office.ticket(office.event(), {"id": me["subject_id"]})
    bob = office.customer("Bob")
    ada.post(f"/api/v1/tickets/{ticket['id']}/transfer", {"to_customer_id": bob["id"]})
    (his,) = office.get(f"/api/v1/customers/{bob['id']}/export")["tickets"]
    (given,) = his["history"]
    assert (given["who"], given["metadata"]) == ("attendee", {})
    (hers,) = ada.get(f"/api/v1/customers/{me['subject_id']}/export")["tickets"]
    assert hers["history"][-1]["who"] == f"attendee:{me['id']}"
    assert hers["history"][-1]["metadata"]["ip"] == "127.0.0.1"


def test_an_export_tells_from_where_the_customer_ordered_even_when_their_account_is_gone(
    anybody: BoxOffice, office: BoxOffice
):
    me, ada = _attendee(anybody)
    order = ada.order(office.event(), {"id": me["subject_id"]})
    office.post(f"/api/v1/orders/{order['id']}/pay", {"method": "card"})
    for mine in (ada, office):
        (held,) = mine.get(f"/api/v1/customers/{me['subject_id']}/export")["orders"]
        placed, paid = held["history"]
        assert (placed["who"], placed["metadata"]["ip"]) == (f"attendee:{me['id']}", "127.0.0.1")
        assert (paid["who"], paid["metadata"]) == ("service", {})
        with office.turnstile.access.changing() as connection:
            connection.execute(text("DELETE FROM accounts WHERE email = :email"), me)
