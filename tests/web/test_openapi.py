"""The document: complete, sound, and generated from what validates."""

import re
from typing import Any

import pytest

from tests.web.conftest import BoxOffice

COMMANDS = """
POST /api/v1/events
PATCH /api/v1/events/{event_id}
POST /api/v1/events/{event_id}/publish
POST /api/v1/events/{event_id}/start
POST /api/v1/events/{event_id}/complete
POST /api/v1/events/{event_id}/cancel
POST /api/v1/events/{event_id}/ticket-types
PATCH /api/v1/events/{event_id}/ticket-types/{ticket_type_id}
POST /api/v1/customers
PATCH /api/v1/customers/{customer_id}
POST /api/v1/customers/{customer_id}/erase
POST /api/v1/orders
POST /api/v1/orders/{order_id}/pay
POST /api/v1/orders/{order_id}/cancel
POST /api/v1/orders/{order_id}/refund
POST /api/v1/tickets/{ticket_id}/transfer
POST /api/v1/tickets/{ticket_id}/block
POST /api/v1/tickets/{ticket_id}/unblock
POST /api/v1/checkins
"""
QUERIES = """
GET /api/v1/events
GET /api/v1/events/{event_id}
GET /api/v1/events/summary
GET /api/v1/events/low-capacity
GET /api/v1/events/{event_id}/sales
GET /api/v1/events/{event_id}/attendees
GET /api/v1/events/{event_id}/figures
GET /api/v1/events/{event_id}/figures/{name}/sources
GET /api/v1/ticket-types/top
GET /api/v1/customers
GET /api/v1/customers/{customer_id}
GET /api/v1/customers/{customer_id}/statistics
GET /api/v1/customers/{customer_id}/export
GET /api/v1/orders
GET /api/v1/orders/{order_id}
GET /api/v1/tickets/{ticket_id}
GET /stats
GET /stats/daily
GET /stats/hourly
GET /stats/scans
GET /stats/transfers
GET /stats/invalid-attempts
GET /api/v1/events/{event_id}/history
GET /api/v1/events/{event_id}/as-of
GET /api/v1/events/{event_id}/diff
GET /api/v1/orders/{order_id}/history
GET /api/v1/orders/{order_id}/as-of
GET /api/v1/orders/{order_id}/diff
GET /api/v1/tickets/{ticket_id}/history
GET /api/v1/tickets/{ticket_id}/as-of
GET /api/v1/tickets/{ticket_id}/diff
GET /api/v1/customers/{customer_id}/history
GET /api/v1/customers/{customer_id}/as-of
GET /api/v1/customers/{customer_id}/diff
GET /api/v1/events/{event_id}/proof
GET /api/v1/orders/{order_id}/history
GET /api/v1/orders/{order_id}/as-of
GET /api/v1/orders/{order_id}/proof
GET /api/v1/tickets/{ticket_id}/history
GET /api/v1/tickets/{ticket_id}/as-of
GET /api/v1/tickets/{ticket_id}/proof
GET /api/v1/customers/{customer_id}/history
GET /api/v1/customers/{customer_id}/as-of
GET /api/v1/customers/{customer_id}/proof
GET /api/v1/log
GET /api/v1/log/checkpoints
GET /api/v1/projections
GET /api/v1/projections/{name}
"""
OTHERS = """
POST /api/v1/auth/register
POST /api/v1/auth/login
POST /api/v1/auth/refresh
POST /api/v1/auth/logout
POST /api/v1/auth/password
POST /api/v1/auth/email
GET /api/v1/auth/me
POST /api/v1/accounts
GET /api/v1/accounts
DELETE /api/v1/accounts/{account_id}
POST /api/v1/accounts/{account_id}/disable
POST /api/v1/accounts/{account_id}/enable
POST /api/v1/api-keys
GET /api/v1/api-keys
POST /api/v1/api-keys/{key_id}/revoke
POST /api/v1/projections/{name}/rebuild
POST /api/v1/projections/{name}/retry
GET /health/live
GET /health/ready
GET /metrics
"""
MAKING = {
    "POST /api/v1/events",
    "POST /api/v1/customers",
    "POST /api/v1/orders",
    "POST /api/v1/checkins",
}
METHODS = {"get", "post", "patch", "put", "delete"}


@pytest.fixture(scope="session")
def document(office: BoxOffice) -> Any:
    return office.send("GET", "/openapi.json").json


def operations(document: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_every_route_is_in_it_and_no_other(document: Any):
    assert document["openapi"].startswith("3.1")
    assert set(operations(document)) == set(filter(None, (COMMANDS + QUERIES + OTHERS).split("\n")))


def test_every_operation_is_told_apart_and_explained(document: Any):
    named = operations(document)
    assert len({operation["operationId"] for operation in named.values()}) == len(named)
    for name, operation in named.items():
        assert operation["summary"], name
        assert not operation["summary"].endswith("."), name
        assert len(operation["tags"]) == 1, name
        assert any(status.startswith("2") for status in operation["responses"]), name
        in_path = {p["name"] for p in operation.get("parameters", ()) if p.get("in") == "path"}
        in_path |= {p["name"] for p in document["paths"][name.split()[1]].get("parameters", ())}
        assert in_path == set(re.findall(r"{(\w+)}", name)), name


def test_commands_and_queries_say_what_they_take_and_give(document: Any):
    named = operations(document)
    for name in filter(None, COMMANDS.split("\n")):
        headers = _parameters(document, named[name])
        assert {"Idempotency-Key", "X-Request-ID"} <= headers, name
        assert ("If-Match" in headers) == (name not in MAKING), name
        assert {"400", "404", "409", "412", "422", "503"} <= set(named[name]["responses"])
        success = next(iter(s for s in named[name]["responses"] if s.startswith("2")))
        assert {"ETag", "Turnstile-Position"} <= set(named[name]["responses"][success]["headers"])
    for name in filter(None, QUERIES.split("\n")):
        assert "Turnstile-Position" in _parameters(document, named[name]), name
        assert "Turnstile-Position" in named[name]["responses"]["200"]["headers"], name


def test_every_post_can_be_repeated_under_a_key(document: Any):
    for name, operation in operations(document).items():
        takes = "Idempotency-Key" in _parameters(document, operation)
        assert takes == name.startswith(("POST", "PATCH")), name


def test_errors_are_problem_documents(document: Any):
    responses = document["components"]["responses"]
    assert {"CONFLICT", "UNPROCESSABLE_ENTITY", "DEFAULT_ERROR"} <= set(responses)
    for response in responses.values():
        schema = response["content"]["application/problem+json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Problem"}


def test_every_reference_leads_somewhere(document: Any):
    references = set(_references(document))
    assert references
    for reference in references:
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_money_is_documented_as_a_string(document: Any):
    schemas = document["components"]["schemas"]
    assert schemas["NewTicketType"]["properties"]["price"]["type"] == "string"
    assert schemas["RecordedOrder"]["properties"]["total"]["type"] == "string"
    assert schemas["NewOrder"]["additionalProperties"] is False


def test_answers_may_get_more_members_and_requests_may_not(document: Any):
    schemas = document["components"]["schemas"]
    assert "additionalProperties" not in schemas["RecordedOrder"] | schemas["Problem"]
    assert schemas["NewLine"]["additionalProperties"] is False


def test_every_default_is_of_its_own_type(document: Any):
    kinds = {
        "array": list,
        "string": str,
        "integer": int,
        "number": float,
        "boolean": bool,
        "null": type(None),
    }
    for operation in operations(document).values():
        for parameter in operation["parameters"]:
            schema = parameter.get("schema", {})
            if "default" in schema:
                may_be = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
                fitting = tuple(kinds[name] for name in may_be)
                assert isinstance(schema["default"], fitting), parameter["name"]


def test_every_operation_says_for_whom_it_is(document: Any):
    named = operations(document)
    credentials: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}]
    assert named["GET /api/v1/events"]["security"] == [{}, *credentials]
    assert named["POST /api/v1/orders"]["security"] == credentials
    assert named["POST /api/v1/auth/logout"]["security"] == credentials[:1]
    for operation in named.values():
        assert "For " in operation["description"]
    assert named["GET /api/v1/log"]["description"].endswith(
        "For admins, auditors and keys with `log:read`."
    )


def test_it_is_not_sent_again_to_who_has_it(office: BoxOffice):
    first = office.client.get("/openapi.json")
    again = office.client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


def _parameters(document: Any, operation: Any) -> set[str]:
    shared = document["components"]["parameters"]
    return {
        shared[parameter["$ref"].split("/")[-1]]["name"]
        for parameter in operation["parameters"]
        if "$ref" in parameter
    }


def _references(part: Any) -> Any:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)
