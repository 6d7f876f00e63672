"""Asking again, and asking about a version: idempotency keys and If-Match."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.keys import bearer, service_key
from tests.web.conftest import EVENT, BoxOffice

CUSTOMER = {"name": "Ada", "email": "ada@example.org"}


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


def test_the_same_key_and_body_get_the_stored_answer(office: BoxOffice):
    headers = key()
    first = office.send("POST", "/api/v1/customers", json=CUSTOMER, headers=headers)
    reordered = dict(reversed(CUSTOMER.items()))
    again = office.send("POST", "/api/v1/customers", json=reordered, headers=headers)
    assert (again.status_code, again.json) == (201, first.json)
    for name in ("ETag", "Turnstile-Position", "Location"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers


def test_the_same_key_with_another_body_is_refused(office: BoxOffice):
    headers = key()
    office.send("POST", "/api/v1/customers", json=CUSTOMER, headers=headers)
    other = office.send("POST", "/api/v1/customers", json=CUSTOMER | {"name": "B"}, headers=headers)
    assert other.status_code == 422
    assert other.json["type"] == "/problems/idempotency-key-reused"


def test_what_is_made_on_the_way_does_not_make_it_another_request(office: BoxOffice):
    headers = key()
    first = office.send("POST", "/api/v1/events", json=EVENT, headers=headers)
    again = office.send("POST", "/api/v1/events", json=EVENT, headers=headers)
    assert (again.status_code, again.json) == (201, first.json)


@pytest.mark.parametrize("other", [{"nonce": "b"}, {"secret": "other"}, {"force": True}])
def test_every_field_counts_for_being_the_same_request(office: BoxOffice, other: dict[str, Any]):
    body = {"event_id": office.event()["id"], "secret": "forged", "nonce": "a"}
    headers = key()
    office.send("POST", "/api/v1/checkins", json=body | {"nonce": "c"}, headers=headers)
    again = office.send("POST", "/api/v1/checkins", json=body | other, headers=headers)
    assert again.status_code == 422


def test_a_key_belongs_to_an_actor_and_a_path(office: BoxOffice):
    headers = key()
    first = office.send("POST", "/api/v1/customers", json=CUSTOMER, headers=headers)
    mine = headers | bearer(service_key(office.turnstile))
    assert (
        office.send("POST", "/api/v1/customers", json=CUSTOMER, headers=mine).json["id"]
        != first.json["id"]
    )
    assert office.send("POST", "/api/v1/events", json=EVENT, headers=headers).status_code == 201


def test_a_refusal_is_stored_as_well(office: BoxOffice):
    event, headers = office.event(publish=False, ticket_types=[]), key()
    path = f"/api/v1/events/{event['id']}/publish"
    assert office.send("POST", path, headers=headers).status_code == 409
    office.post(f"/api/v1/events/{event['id']}/ticket-types", {"name": "A", "price": "1.00"}, 201)
    again = office.send("POST", path, headers=headers)
    assert (again.status_code, again.json["type"]) == (409, "/problems/nothing-to-sell")
    assert office.send("POST", path, headers=key()).status_code == 200


@pytest.mark.parametrize("bad", ["", "x" * 256, "caf\u00e9"])
def test_a_key_that_is_none_is_refused(office: BoxOffice, bad: str):
    headers = {"Idempotency-Key": bad.encode().decode("latin-1")}
    response = office.send("POST", "/api/v1/customers", json=CUSTOMER, headers=headers)
    assert response.status_code == 400


def test_a_stale_version_is_refused(office: BoxOffice):
    event = office.event()
    path = f"/api/v1/events/{event['id']}"
    tag = f'"{event["version"]}"'
    changed = office.patch(path, {"venue": "Barn"}, If_Match=tag)
    problem = office.patch(path, {"venue": "Hall"}, 412, If_Match=tag)
    assert problem["type"] == "/problems/stale"
    office.patch(path, {"venue": "Hall"}, If_Match=f'W/"{changed["version"]}"')
    assert office.patch(path, {"venue": "Tent"}, If_Match="*")["venue"] == "Tent"


@pytest.mark.parametrize("bad", ["7", '"seven"', '"1", "2"', "", '""', '"99999999999999999999"'])
def test_a_tag_that_we_never_gave_is_refused(office: BoxOffice, bad: str):
    event = office.event()
    response = office.send(
        "PATCH", f"/api/v1/events/{event['id']}", json={}, headers={"If-Match": bad}
    )
    assert response.status_code == 400


def test_what_does_not_exist_yet_has_no_version_to_match(office: BoxOffice):
    for tag in ('"1"', "*"):
        office.post("/api/v1/customers", CUSTOMER, 412, If_Match=tag)


def test_a_repeated_command_is_answered_though_the_version_moved_on(office: BoxOffice):
    event = office.event()
    headers = key() | {"If-Match": f'"{event["version"]}"'}
    path = f"/api/v1/events/{event['id']}"
    first = office.send("PATCH", path, json={"venue": "Barn"}, headers=headers)
    again = office.send("PATCH", path, json={"venue": "Barn"}, headers=headers)
    assert (again.status_code, again.json) == (200, first.json)


def test_a_mended_version_is_heard_under_the_same_key(office: BoxOffice):
    event, headers = office.event(), key()
    path = f"/api/v1/events/{event['id']}"
    stale = headers | {"If-Match": '"1"'}
    assert office.send("PATCH", path, json={"venue": "Barn"}, headers=stale).status_code == 412
    mended = headers | {"If-Match": f'"{event["version"]}"'}
    answer = office.send("PATCH", path, json={"venue": "Barn"}, headers=mended)
    assert (answer.status_code, answer.json["venue"]) == (200, "Barn")


def test_a_job_is_asked_for_once_under_a_key(office: BoxOffice):
    path, headers = "/api/v1/projections/catalogue/rebuild", key()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: office.send("POST", path, headers=headers), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert office.send("POST", path, headers=key()).json["id"] != answers[0].json["id"]
    other = office.send("POST", path, json={"dry_run": True}, headers=headers)
    assert other.status_code == 422
    assert other.json["type"] == "/problems/idempotency-key-reused"
