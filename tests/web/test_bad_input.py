"""Whatever is sent, nobody gets a 500, and what can be told is told."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.web.conftest import EVENT, BoxOffice

CUSTOMER = {"name": "Ada", "email": "ada@example.org", "phone": "1", "country": "GB"}
TICKET_TYPE = {
    "name": "Adult",
    "price": "12.50",
    "quantity": 10,
    "sale_starts_at": "2026-01-01T00:00:00Z",
    "sale_ends_at": "2026-02-01T00:00:00Z",
    "min_per_order": 1,
    "max_per_order": 4,
    "reentry": True,
}
FULL_EVENT = EVENT | {
    "description": "",
    "online": False,
    "registration_deadline": "2119-01-01T00:00:00Z",
    "doors_open_at": "2020-06-21T17:00:00Z",
}
ORDER = {
    "event_id": str(uuid4()),
    "customer_id": str(uuid4()),
    "lines": [{"ticket_type_id": str(uuid4()), "quantity": 1}],
    "payment_method": "card",
}
CHECK_IN = {
    "secret": "x",
    "event_id": str(uuid4()),
    "type": "entry",
    "scanner_id": "g1",
    "location": "North",
    "device_info": "x",
    "nonce": "n",
    "at": "2026-01-01T00:00:00Z",
    "force": False,
    "additional_metadata": {},
}
SOME = UUID("0197f3a0-0000-7000-8000-00000000dead")
COMMANDS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/api/v1/events", FULL_EVENT),
    ("PATCH", f"/api/v1/events/{SOME}", FULL_EVENT),
    ("POST", f"/api/v1/events/{SOME}/publish", {}),
    ("POST", f"/api/v1/events/{SOME}/start", {}),
    ("POST", f"/api/v1/events/{SOME}/complete", {}),
    ("POST", f"/api/v1/events/{SOME}/cancel", {"reason": "Rain"}),
    ("POST", f"/api/v1/events/{SOME}/ticket-types", TICKET_TYPE),
    ("PATCH", f"/api/v1/events/{SOME}/ticket-types/{SOME}", TICKET_TYPE),
    ("POST", "/api/v1/customers", CUSTOMER),
    ("PATCH", f"/api/v1/customers/{SOME}", CUSTOMER),
    ("POST", "/api/v1/orders", ORDER),
    ("POST", f"/api/v1/orders/{SOME}/pay", {"method": "card", "reference": "r", "amount": "1.00"}),
    ("POST", f"/api/v1/orders/{SOME}/cancel", {"reason": "Rain"}),
    ("POST", f"/api/v1/orders/{SOME}/refund", {"ticket_ids": [str(SOME)], "reason": "Rain"}),
    ("POST", f"/api/v1/tickets/{SOME}/transfer", {"to_customer_id": str(SOME), "reason": "Gift"}),
    ("POST", f"/api/v1/tickets/{SOME}/block", {"reason": "Stolen"}),
    ("POST", f"/api/v1/tickets/{SOME}/unblock", {}),
    ("POST", "/api/v1/checkins", CHECK_IN),
    ("POST", "/api/v1/projections/nothing/rebuild", {}),
]
QUERIES = {
    "/api/v1/events": ("q", "category", "status", "organizer_id", "order", "limit", "after"),
    "/api/v1/events/summary": ("limit", "after"),
    "/api/v1/events/low-capacity": ("threshold", "limit", "after"),
    f"/api/v1/events/{SOME}/sales": ("start", "end", "group_by"),
    f"/api/v1/events/{SOME}/attendees": ("q", "status", "limit", "after"),
    "/api/v1/ticket-types/top": ("limit", "start_date", "end_date"),
    "/api/v1/customers": ("q", "country", "limit", "after"),
    "/api/v1/orders": (
        *("event_id", "customer_id", "status", "payment_method"),
        *("q", "order", "limit", "after"),
    ),
    "/stats": ("event_id",),
    "/stats/daily": ("event_id",),
    "/stats/hourly": ("event_id",),
    "/stats/scans": ("event_id", "limit"),
    "/stats/transfers": ("event_id", "limit"),
    "/stats/invalid-attempts": ("event_id", "limit"),
    f"/api/v1/tickets/{SOME}/history": ("limit", "after"),
    f"/api/v1/tickets/{SOME}/as-of": ("at", "version", "by"),
    f"/api/v1/tickets/{SOME}/diff": ("from", "to", "by"),
    f"/api/v1/events/{SOME}/figures": ("at", "by"),
    f"/api/v1/events/{SOME}/figures/scan_count/sources": ("at", "by", "limit", "after"),
    "/api/v1/log": ("after", "limit", "topics"),
}
UNREADABLE = [
    b"{",
    b"}",
    b'{"a":1}{',
    b"\xff\xfe",
    b'{"a":"\xff"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\\ud800"}',
    b'{"a":"x\x00"}',
    b"\xef\xbb\xbf{}",
    b"NaN",
    b'{"a":NaN}',
    b'{"a":-Infinity}',
    b'{"a":1e999}',
    b'{"a":' + b"9" * 5000 + b"}",
    b"[" * 100_000,
    b'{"a":' * 5000 + b"1" + b"}" * 5000,
    b"a=1&b=2",
]
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    1.5,
    2**31,
    2**63,
    -(2**70),
    2**70,
    1e308,
    "",
    " ",
    "\0",
    "a\0b",
    "\r\n",
    "card\n",
    "🎟" * 300,
    "a" * 100_000,
    "%s%n'\";--",
    "１２",
    "-1.00",
    "1e3",
    "NaN",
    "99999999999999999999",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-13-01T00:00:00Z",
    "2026-01-01T00:00:00",
    "not-a-uuid",
    "00000000-0000-0000-0000-000000000000",
    [],
    [None],
    ["x"],
    [[]],
    list(range(2000)),
    [{"quantity": 1}] * 200,
    {},
    {"id": None, "name": "x"},
    {"a\0": 1},
    {"a": "\0"},
    {"a": 2**80},
    {"a": json.loads("[" * 12 + "]" * 12)},
    {"a": "x" * 10_000},
]
ODD_WORDS = [str(value) for value in ODD if isinstance(value, str | int | float)] + [
    "%00",
    "%ff",
    "%ED%A0%80",
    "1_0",
    "9" * 5000,
    "Infinity",
    "day,day,",
    "W1tdXQ",
    "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwxXQ",
    "null",
]


def named(command: tuple[str, str, Any]) -> str:
    return f"{command[0]} {command[1].replace(str(SOME), '-')}"


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_what_is_not_json_is_told_so(office: BoxOffice, command: tuple[str, str, Any]):
    method, path, _ = command
    for body in UNREADABLE:
        response = office.send(method, path, data=body, content_type="application/json")
        assert response.status_code == 400, body[:40]
    for other in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        response = office.send(method, path, data=b"{}", content_type=other)
        assert response.status_code == 415, other
    for body in (b"[]", b"[{}]", b'"x"', b"1", b"null", b"true"):
        response = office.send(method, path, data=body, content_type="application/json")
        assert response.status_code == 422, body
    assert office.send(method, path, json={"no_such_field": 1}).status_code == 422
    much = b'{"a":"' + b"x" * 1_100_000 + b'"}'
    response = office.send(method, path, data=much, content_type="application/json")
    assert response.status_code == 413


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_odd_values_never_break_a_command(office: BoxOffice, command: tuple[str, str, Any]):
    method, path, body = _about_what_exists(office, command)
    for name in body:
        for value in ODD:
            response = office.send(method, path, json=body | {name: value})
            assert response.status_code < 500, (name, value, response.text)
        without = {other: body[other] for other in body if other != name}
        assert office.send(method, path, json=without).status_code < 500


def _about_what_exists(office: BoxOffice, command: tuple[str, str, Any]) -> tuple[str, str, Any]:
    """The command with ids that lead past the first look-up."""
    method, path, body = command
    event, customer = office.event(capacity=None), office.customer()
    kind = event["ticket_types"][0]["id"]
    ids = {"events": event["id"], "customers": customer["id"], "ticket-types": kind}
    if "orders/" in path:
        ids["orders"] = office.order(event, customer)["id"]
    if "tickets/" in path:
        ids["tickets"] = office.ticket(event, customer)["id"]
    for folder, known in ids.items():
        path = path.replace(f"{folder}/{SOME}", f"{folder}/{known}")
    if body is ORDER:
        line = {"ticket_type_id": kind, "quantity": 1}
        body = body | {"event_id": event["id"], "customer_id": customer["id"], "lines": [line]}
    return method, path, body | ({"event_id": event["id"]} if body is CHECK_IN else {})


@pytest.mark.parametrize("path", QUERIES)
def test_odd_values_never_break_a_query(office: BoxOffice, path: str):
    office.catch_up()
    for name in QUERIES[path]:
        for word in ODD_WORDS:
            raw = word if word.startswith("%") and len(word) < 10 else None
            response = (
                office.send("GET", f"{path}?{name}={raw}")
                if raw
                else office.send("GET", path, query_string={name: word})
            )
            assert response.status_code < 500, (name, word, response.text)


def selling(**changes: Any) -> dict[str, Any]:
    """What an event's ticket types need to differ in, to be wrong."""
    return {"ticket_types": [{"name": "Adult", "price": "12.50"} | changes]}


WRONG_EVENTS: list[tuple[dict[str, Any], str]] = [
    ({"title": ""}, "title"),
    ({"title": "a\0b"}, "title"),
    ({"title": "x" * 201}, "title"),
    ({"organizer": None}, "organizer"),
    ({"organizer": "Hall"}, "organizer"),
    ({"organizer": {"name": "x", "role": "y"}}, "organizer.role"),
    ({"starts_at": "2026-01-01T00:00:00"}, "starts_at"),
    ({"starts_at": "0001-01-01T00:00:00+14:00"}, "starts_at"),
    ({"ends_at": "9999-12-31T23:59:59-14:00"}, "ends_at"),
    ({"capacity": 0}, "capacity"),
    ({"capacity": -5}, "capacity"),
    ({"capacity": "5"}, "capacity"),
    ({"capacity": 5.0}, "capacity"),
    ({"capacity": 2**64}, "capacity"),
    ({"online": 1}, "online"),
    ({"currency": "gbp"}, "currency"),
    ({"timezone": "../etc/passwd\n"}, "timezone"),
    (selling(price=12.5), "ticket_types.0.price"),
    (selling(price="-1.00"), "ticket_types.0.price"),
    (selling(price="1e3"), "ticket_types.0.price"),
    (selling(price="NaN"), "ticket_types.0.price"),
    (selling(price="１２"), "ticket_types.0.price"),
    (selling(quantity=-1), "ticket_types.0.quantity"),
    (selling(name=""), "ticket_types.0.name"),
    (selling(max_per_order=0), "ticket_types.0.max_per_order"),
]
WRONG_ORDERS: list[tuple[dict[str, Any], str]] = [
    ({"event_id": "x"}, "event_id"),
    ({"event_id": None}, "event_id"),
    ({"lines": []}, "lines"),
    ({"lines": {}}, "lines"),
    ({"lines": [{"ticket_type_id": str(SOME)}]}, "lines.0.quantity"),
    ({"lines": [{"ticket_type_id": str(SOME), "quantity": 0}]}, "lines.0.quantity"),
    ({"lines": [{"ticket_type_id": str(SOME), "quantity": -1}]}, "lines.0.quantity"),
    ({"lines": [{"ticket_type_id": str(SOME), "quantity": 1001}]}, "lines.0.quantity"),
    ({"lines": [{"ticket_type_id": str(SOME), "quantity": True}]}, "lines.0.quantity"),
    ({"lines": [{"ticket_type_id": str(uuid4()), "quantity": 600}] * 2}, "lines"),
    ({"lines": [{"ticket_type_id": str(SOME), "quantity": 1}] * 101}, "lines"),
    ({"payment_method": "Card"}, "payment_method"),
    ({"payment_method": "card\n"}, "payment_method"),
    ({"payment_method": "x" * 41}, "payment_method"),
]
WRONG_CHECK_INS: list[tuple[dict[str, Any], str]] = [
    ({"ticket_id": str(SOME)}, "secret"),
    ({"secret": None}, "secret"),
    ({"secret": ""}, "secret"),
    ({"type": "leave"}, "type"),
    ({"nonce": ""}, "nonce"),
    ({"force": "true"}, "force"),
    ({"at": "yesterday"}, "at"),
    ({"additional_metadata": []}, "additional_metadata"),
    ({"additional_metadata": {"a": "\0"}}, "additional_metadata"),
    ({"additional_metadata": {"\0": 1}}, "additional_metadata"),
    ({"additional_metadata": {"a": 2**63}}, "additional_metadata"),
    ({"additional_metadata": {"a": [[[[[[[[1]]]]]]]]}}, "additional_metadata"),
    ({"additional_metadata": {"a": "x" * 9000}}, "additional_metadata"),
]


@pytest.mark.parametrize(
    ("path", "body", "wrong", "field"),
    [("/api/v1/events", EVENT, *case) for case in WRONG_EVENTS]
    + [("/api/v1/orders", ORDER, *case) for case in WRONG_ORDERS]
    + [("/api/v1/checkins", CHECK_IN, *case) for case in WRONG_CHECK_INS]
    + [
        ("/api/v1/customers", CUSTOMER, {"email": "ada"}, "email"),
        ("/api/v1/customers", CUSTOMER, {"country": "gb"}, "country"),
        (f"/api/v1/orders/{SOME}/refund", {}, {"ticket_ids": []}, "ticket_ids"),
        (f"/api/v1/orders/{SOME}/refund", {}, {"ticket_ids": ["x"]}, "ticket_ids.0"),
        (f"/api/v1/orders/{SOME}/pay", {"method": "card"}, {"amount": 12}, "amount"),
    ],
)
def test_the_wrong_field_is_named(
    office: BoxOffice, path: str, body: dict[str, Any], wrong: dict[str, Any], field: str
):
    problem = office.post(path, body | wrong, 422)
    assert problem["type"] == "/problems/invalid-fields"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["errors"][0]["pointer"] == "/" + field.replace(".", "/")
    assert problem["errors"][0]["message"]


@pytest.mark.parametrize(
    ("wrong", "rule", "field"),
    [
        ({"currency": "XXX"}, "invalid-money", "currency"),
        ({"timezone": "Mars/Phobos"}, "invalid-event", "timezone"),
        ({"timezone": "localtime"}, "invalid-event", "timezone"),
        ({"timezone": "right/UTC"}, "invalid-event", "timezone"),
        ({"title": " "}, "invalid-event", "title"),
        ({"organizer": {"name": " "}}, "invalid-event", "organizer.name"),
        ({"ends_at": EVENT["starts_at"]}, "invalid-event", "ends_at"),
        ({"doors_open_at": "2999-01-01T00:00:00Z"}, "invalid-event", "doors_open_at"),
        (selling(price="1.505"), "invalid-money", "ticket_types.0.price"),
        (selling(price="1000000000.01"), "invalid-ticket-type", "ticket_types.0.price"),
        (
            selling(min_per_order=3, max_per_order=2),
            "invalid-ticket-type",
            "ticket_types.0.max_per_order",
        ),
    ],
)
def test_the_field_that_a_rule_blames_is_named_also_when_asked_again(
    office: BoxOffice, wrong: dict[str, Any], rule: str, field: str
):
    key = str(uuid4())
    for _ in range(2):
        problem = office.post("/api/v1/events", EVENT | wrong, 422, Idempotency_Key=key)
        assert problem["type"] == f"/problems/{rule}"
        assert [error["field"] for error in problem["errors"]] == [field]
        assert problem["errors"][0]["pointer"] == "/" + field.replace(".", "/")


def test_the_amount_of_a_payment_is_named(office: BoxOffice):
    order = office.order(office.event(), office.customer())
    path = f"/api/v1/orders/{order['id']}/pay"
    problem = office.post(path, {"method": "card", "amount": "1.505"}, 422)
    assert [error["field"] for error in problem["errors"]] == ["amount"]


def test_neither_secret_nor_ticket_is_no_attempt(office: BoxOffice):
    problem = office.post("/api/v1/checkins", {"event_id": str(SOME)}, 422)
    assert problem["errors"][0]["field"] == "secret"


def test_of_duplicate_keys_the_last_counts(office: BoxOffice):
    body = json.dumps(CUSTOMER)[:-1] + ', "name": "Grace"}'
    response = office.send(
        "POST", "/api/v1/customers", data=body, content_type="application/json; charset=utf-8"
    )
    assert response.json["name"] == "Grace"


def test_many_errors_are_cut_short(office: BoxOffice):
    problem = office.post("/api/v1/customers", {"x" * 500 + str(n): n for n in range(500)}, 422)
    assert len(problem["errors"]) == 20
    assert all(len(error["field"]) <= 100 for error in problem["errors"])


@pytest.mark.parametrize("bad", ["not-a-uuid", "%00", "0" * 32, "x" * 5000, f"{SOME}%0A"])
def test_a_path_that_names_nothing_is_not_found(office: BoxOffice, bad: str):
    for path in ("events", "orders", "tickets", "customers"):
        assert office.send("GET", f"/api/v1/{path}/{bad}").status_code == 404
    assert office.send("POST", f"/api/v1/events/{bad}/publish").status_code == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("/api/v1/events?limit=0", "limit"),
        ("/api/v1/events?limit=201", "limit"),
        ("/api/v1/events?limit=x", "limit"),
        *((f"/api/v1/events?limit={odd}", "limit") for odd in ("1_0", "%2B5", "%D9%A3", "%205")),
        ("/api/v1/log?after=1_0", "after"),
        ("/api/v1/events?after=x", "after"),
        ("/api/v1/events?status=sold", "status"),
        ("/api/v1/events?order=price", "order"),
        ("/api/v1/events?no_such=1", "no_such"),
        ("/api/v1/events/low-capacity?threshold=101", "threshold"),
        ("/api/v1/events/low-capacity?threshold=nan", "threshold"),
        ("/api/v1/ticket-types/top?start_date=2026-02-01&end_date=2026-01-01", "end_date"),
        (f"/api/v1/events/{SOME}/sales?group_by=month", "group_by"),
        (f"/api/v1/tickets/{SOME}/as-of", "at"),
        (f"/api/v1/tickets/{SOME}/as-of?version=0", "version"),
        (f"/api/v1/tickets/{SOME}/diff?from=1", "to"),
        (f"/api/v1/tickets/{SOME}/diff?from=-1&to=2", "from"),
        (f"/api/v1/tickets/{SOME}/diff?from=1&to=2147483648", "to"),
        (f"/api/v1/tickets/{SOME}/diff?from=2026-01-01&to=2026-01-02T00:00:00Z", "from"),
        (f"/api/v1/tickets/{SOME}/diff?from=1&to=2&by=hearsay", "by"),
        (f"/api/v1/events/{SOME}/figures?at=noon", "at"),
        (f"/api/v1/events/{SOME}/figures?at=2026-01-01T00:00:00Z&by=hearsay", "by"),
        (f"/api/v1/events/{SOME}/figures/scan_count/sources?at=2026-01-01T12:00", "at"),
        (f"/api/v1/events/{SOME}/figures/scan_count/sources?by=", "by"),
        (f"/api/v1/events/{SOME}/figures/scan_count/sources?after=x", "after"),
        ("/api/v1/log?after=9223372036854775808", "after"),
    ],
)
def test_the_wrong_parameter_is_named(office: BoxOffice, query: str, field: str):
    problem = office.get(query, 422)
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(
    "query",
    [
        "/stats?event_id=",
        "/stats?event_id=x",
        f"/stats?event_id={SOME}",
        *(
            f"/stats/{name}{query}"
            for name in ("daily", "hourly", "scans", "transfers", "invalid-attempts")
            for query in ("", "?event_id=x", f"?event_id={SOME}")
        ),
        *(
            f"/stats/scans?event_id=KNOWN&limit={odd}"
            for odd in ("0", "-1", "x", "", "1001", "1_0")
        ),
    ],
)
def test_statistics_say_why_they_cannot_answer(office: BoxOffice, query: str):
    event = office.event() if "KNOWN" in query else {"id": ""}
    problem = office.get(query.replace("KNOWN", event["id"]), 400)
    assert problem["detail"]


@pytest.mark.parametrize(
    "last",
    [
        ["0001-01-01T00:00:00+14:00", str(SOME)],
        ["9999-12-31T23:59:59-14:00", str(SOME)],
        ["2026-01-01T00:00:00", str(SOME)],
        ["2026-01-01T00:00:00Z", "x"],
        ["a\0b", str(SOME)],
        [2**70, str(SOME)],
        [1e300, str(SOME)],
        [None, None],
        {},
    ],
)
def test_a_forged_cursor_is_refused_or_harmless(office: BoxOffice, last: Any):
    event, other = office.event(capacity=2), office.event(capacity=1)
    for what in (event, event, other):
        office.sold(what, office.customer())
    office.catch_up()
    for path in (
        "/api/v1/events",
        "/api/v1/events?order=title",
        "/api/v1/events/summary",
        "/api/v1/events/low-capacity",
        f"/api/v1/events/{event['id']}/attendees",
        "/api/v1/customers",
        "/api/v1/orders",
    ):
        joint = "&" if "?" in path else "?"
        given = office.get(f"{path}{joint}limit=1")["next"]
        mark = json.loads(base64.urlsafe_b64decode(given + "=="))[0]
        forged = [mark, *last] if isinstance(last, list) else last
        cursor = base64.urlsafe_b64encode(json.dumps(forged).encode()).rstrip(b"=").decode()
        response = office.send("GET", f"{path}{joint}after={cursor}")
        assert response.status_code in (200, 400, 422), path


def test_a_time_too_far_ahead_of_us_is_refused(office: BoxOffice):
    ahead = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    problem = office.post("/api/v1/checkins", CHECK_IN | {"at": ahead}, 422)
    assert problem["type"] == "/problems/invalid-time"
    assert [error["field"] for error in problem["errors"]] == ["at"]


def test_a_repeated_parameter_loses_nobody_anything(office: BoxOffice):
    problem = office.get("/api/v1/log?topics=Order.Placed&topics=Order.Paid&limit=1", 422)
    assert [error["field"] for error in problem["errors"]] == ["topics"]
    office.get("/api/v1/log?topics=Order.Placed,Order.Paid&limit=1")
