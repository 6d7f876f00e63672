"""What an attacker sends, and the answer that each must get.

To add a line, put a `Try` into the group it belongs to. `{event}`, `{ada}` and the like stand for
the ids of `tests/web/world.py`; whoever sends it is one of its callers, or one of `forged`.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import jwt
from jwt.utils import base64url_encode

from application.access import api_keys, sessions
from application.access.identity import SERVICE
from tests.keys import bearer
from tests.web.conftest import EVENT, Json
from tests.web.world import World, access_token, api_key

SCRIPT = "<script>alert('turnstile')</script>"
TABLES = "Robert'); DROP TABLE events;--"
DEEP = "[" * 100_000
WIDE = {"additional_metadata": {str(number): number for number in range(5000)}}


@dataclass(frozen=True)
class Try:
    """One request, and the answer that it must get: a status, and the rule that said no."""

    what: str
    who: str
    request: str
    answer: str
    body: Any = None
    raw: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    shows: Json = field(default_factory=dict)
    """Members that the answer must have."""
    records: int = 0
    """How many events it must add to the log."""

    @property
    def sent(self) -> str:
        """All that was sent, as far as it is text."""
        return " ".join((self.request, json.dumps(self.body), str(self.raw), str(self.headers)))


CUSTOMER = {"name": "Eve", "email": "eve@example.org"}
TYPE = {"name": "Adult", "price": "1.00"}
REGISTRATION = {**CUSTOMER, "password": "a long enough password"}
ORDER: Json = {
    "event_id": "{event}",
    "customer_id": "{ada}",
    "lines": [{"ticket_type_id": "{type}", "quantity": 1}],
    "payment_method": "card",
}
SCAN: Json = {"event_id": "{event}", "secret": "guessed"}
FIELDS = "422 invalid-fields"
UNREADABLE = "400 bad-request"
NOBODY = "401 unauthorized"
FORBIDDEN = "403 forbidden"
NOT_SO = "405 method-not-allowed"
NOTHING = "404 not-found"


def _line(**changes: Any) -> Json:
    return ORDER | {"lines": [ORDER["lines"][0] | changes]}


SQL = (
    Try("in a search", "shop", "GET /api/v1/customers?q=zq' OR 'zq'='zq", "200",
        shows={"items": []}),
    Try("ends a search", "shop", "GET /api/v1/orders?q='; DROP TABLE events;--", "200"),
    Try("joins a search", "nobody", "GET /api/v1/events?q=' UNION SELECT * FROM accounts--", "200"),
    Try("wildcards", "shop", "GET /api/v1/customers?q=%25", "200", shows={"items": []}),
    Try("a backslash", "shop", "GET /api/v1/customers?q=%5C", "200", shows={"items": []}),
    Try("as a category", "nobody", f"GET /api/v1/events?category={TABLES}", "200"),
    Try("as an order", "nobody", "GET /api/v1/events?order=title;DROP TABLE events", FIELDS),
    Try("as a status", "nobody", "GET /api/v1/events?status=draft' OR '1'='1", FIELDS),
    Try("as an id in the path", "admin", "GET /api/v1/orders/1 OR 1=1", NOTHING),
    Try("as an id in a query", "admin", "GET /api/v1/orders?event_id=1' OR '1'='1", FIELDS),
    Try("as an id in a body", "shop", "POST /api/v1/orders", FIELDS, ORDER | {"event_id": "1;--"}),
    Try("as a limit", "shop", "GET /api/v1/log?limit=1;SELECT pg_sleep(9)", FIELDS),
    Try("as a cursor", "nobody", "GET /api/v1/events?after=' OR 1=1--", FIELDS),
    Try("as words", "olga", "GET /api/v1/events/{event}/sales?group_by=day;DROP TABLE x", FIELDS),
    Try("as a read model", "admin", "GET /api/v1/projections/orders';DROP TABLE x", NOTHING),
    Try("rebuilds a table", "admin", "POST /api/v1/projections/accounts/rebuild", NOTHING),
    Try("as a topic", "shop", "GET /api/v1/log?topics=' OR '1'='1", FIELDS),
    Try("as a figure", "shop", "GET /api/v1/events/{event}/figures/a'--/sources", NOTHING),
    Try("as an address", "nobody", "POST /api/v1/auth/login", NOBODY,
        {"email": "' OR 1=1--", "password": "' OR 1=1--"}),
    Try("as a secret", "gate", "POST /api/v1/checkins", "201", SCAN | {"secret": "' OR '1'='1"},
        shows={"status": "error", "reason": "invalid"}, records=1),
    Try("as a name is but a name", "shop", "POST /api/v1/customers", "201",
        CUSTOMER | {"name": TABLES}, shows={"name": TABLES}, records=1),
    Try("as an idempotency key", "shop", "POST /api/v1/orders", FIELDS, ORDER | {"lines": []},
        headers={"Idempotency-Key": "'; DROP TABLE events;--"}),
)  # fmt: skip

JSON = (
    Try("nested too deeply", "shop", "POST /api/v1/events", UNREADABLE, raw=DEEP.encode()),
    Try("objects nested too deeply", "shop", "POST /api/v1/events", UNREADABLE,
        raw=b'{"a":' * 50_000),
    Try("metadata nested too deeply", "gate", "POST /api/v1/checkins", FIELDS,
        SCAN | {"additional_metadata": {"a": json.loads("[" * 20 + "]" * 20)}}),
    Try("metadata too wide", "gate", "POST /api/v1/checkins", FIELDS, SCAN | WIDE),
    Try("a body too large", "shop", "POST /api/v1/customers", "413 too-large",
        raw=b'{"name":"' + b"x" * 1_100_000 + b'"}'),
    Try("a title too long", "olga", "POST /api/v1/events", FIELDS, EVENT | {"title": "x" * 201}),
    Try("too many lines", "shop", "POST /api/v1/orders", FIELDS,
        ORDER | {"lines": ORDER["lines"] * 101}),
    Try("too many ticket types", "shop", "POST /api/v1/events", FIELDS,
        EVENT | {"ticket_types": [TYPE] * 101}),
    Try("not an object", "shop", "POST /api/v1/customers", FIELDS, raw=b"[]"),
    Try("null", "shop", "POST /api/v1/customers", FIELDS, raw=b"null"),
    Try("broken off", "shop", "POST /api/v1/customers", UNREADABLE, raw=b'{"name":"Eve"'),
    Try("two documents", "shop", "POST /api/v1/customers", UNREADABLE, raw=b"{}{}"),
    Try("with comments", "shop", "POST /api/v1/customers", UNREADABLE, raw=b"{}//x"),
    Try("NaN", "shop", "POST /api/v1/orders", UNREADABLE, raw=b'{"quantity":NaN}'),
    Try("infinity", "shop", "POST /api/v1/orders", UNREADABLE, raw=b'{"quantity":1e999}'),
    Try("a prototype", "shop", "POST /api/v1/customers", FIELDS,
        CUSTOMER | {"__proto__": {"role": "admin"}}),
    Try("a list for a text", "shop", "POST /api/v1/customers", FIELDS, CUSTOMER | {"name": ["E"]}),
    Try("an operator for a text", "nobody", "POST /api/v1/auth/login", FIELDS,
        {"email": {"$ne": ""}, "password": {"$ne": ""}}),
    Try("a member twice: the last counts", "shop", "POST /api/v1/customers", "201",
        raw=b'{"name":"Eve","name":"Mallory","email":"m@example.org"}',
        shows={"name": "Mallory"}, records=1),
    Try("compressed", "shop", "POST /api/v1/customers", "415 unsupported-media-type",
        raw=b"\x1f\x8b\x08\0\0", headers={"Content-Encoding": "gzip"}),
)  # fmt: skip

NUMBERS = (
    Try("beyond 64 bits", "shop", "POST /api/v1/orders", FIELDS, _line(quantity=2**70)),
    Try("of 5,000 digits", "shop", "POST /api/v1/orders", UNREADABLE,
        raw=b'{"quantity":' + b"9" * 5000 + b"}"),
    Try("none", "ada", "POST /api/v1/orders", FIELDS, _line(quantity=0)),
    Try("negative", "ada", "POST /api/v1/orders", FIELDS, _line(quantity=-1)),
    Try("a fraction", "ada", "POST /api/v1/orders", FIELDS, _line(quantity=1.5)),
    Try("a truth value", "ada", "POST /api/v1/orders", FIELDS, _line(quantity=True)),
    Try("a text", "ada", "POST /api/v1/orders", FIELDS, _line(quantity="1")),
    Try("more than one order takes", "ada", "POST /api/v1/orders", FIELDS, _line(quantity=1001)),
    Try("more than there are", "ada", "POST /api/v1/orders", "409 sold-out", _line(quantity=900)),
    Try("a negative price", "olga", "POST /api/v1/events/{event}/ticket-types", FIELDS,
        TYPE | {"price": "-1.00"}),
    Try("a price as a number", "olga", "POST /api/v1/events/{event}/ticket-types", FIELDS,
        TYPE | {"price": 1.0}),
    Try("a price as a power", "olga", "POST /api/v1/events/{event}/ticket-types", FIELDS,
        TYPE | {"price": "1e9"}),
    Try("a price finer than a penny", "olga", "POST /api/v1/events/{event}/ticket-types",
        "422 invalid-money", TYPE | {"price": "0.001"}),
    Try("a price in other digits", "olga", "POST /api/v1/events/{event}/ticket-types", FIELDS,
        TYPE | {"price": "１.００"}),
    Try("paid too little", "shop", "POST /api/v1/orders/{unpaid}/pay", "409 amount-mismatch",
        {"method": "card", "amount": "0.01"}, records=1),
    Try("a limit below one", "nobody", "GET /api/v1/events?limit=0", FIELDS),
    Try("a limit beyond all", "nobody", "GET /api/v1/events?limit=99999999999999999999", FIELDS),
    Try("a limit of 5,000 digits", "nobody", f"GET /api/v1/events?limit={'9' * 5000}", FIELDS),
    Try("not a number", "olga", "GET /api/v1/events/low-capacity?threshold=nan", FIELDS),
    Try("a version beyond all", "shop", "GET /api/v1/orders/{order}/as-of?version=9999999999",
        FIELDS),
    Try("a position beyond all", "shop", "GET /api/v1/log?after=9223372036854775808", FIELDS),
    Try("a position that is none", "nobody", "GET /api/v1/events", UNREADABLE,
        headers={"Turnstile-Position": "-1"}),
    Try("a year beyond all", "olga", "POST /api/v1/events", FIELDS,
        EVENT | {"ends_at": "9999-12-31T23:59:59-14:00"}),
    Try("a year before all", "shop", "GET /api/v1/events/{event}/figures?at=0001-01-01T00:00:00Z",
        FIELDS),
)  # fmt: skip

TEXT = (
    Try("a NUL in a name", "shop", "POST /api/v1/customers", FIELDS, CUSTOMER | {"name": "E\0ve"}),
    Try("a NUL in a password", "nobody", "POST /api/v1/auth/login", FIELDS,
        {"email": "eve@example.org", "password": "\0" * 12}),
    Try("a NUL in an address", "nobody", "POST /api/v1/auth/register", FIELDS,
        REGISTRATION | {"email": "e\0@example.org"}),
    Try("a NUL in metadata", "gate", "POST /api/v1/checkins", FIELDS,
        SCAN | {"additional_metadata": {"\0": "\0"}}),
    Try("a NUL in a search", "shop", "GET /api/v1/customers?q=%00", FIELDS),
    Try("a NUL in the path", "shop", "GET /api/v1/projections/%00", NOTHING),
    Try("a NUL in a topic", "shop", "GET /api/v1/log?topics=%00", FIELDS),
    Try("wrong UTF-8", "shop", "POST /api/v1/customers", UNREADABLE, raw=b'{"name":"\xff"}'),
    Try("UTF-8 that is too long", "shop", "POST /api/v1/customers", UNREADABLE,
        raw=b'{"name":"\xc0\xaf"}'),
    Try("half a surrogate pair", "shop", "POST /api/v1/customers", UNREADABLE,
        raw=b'{"name":"\\ud800"}'),
    Try("UTF-16", "shop", "POST /api/v1/customers", UNREADABLE, raw="{}".encode("utf-16")),
    Try("a byte order mark", "shop", "POST /api/v1/customers", UNREADABLE, raw=b"\xef\xbb\xbf{}"),
    Try("wrong UTF-8 in the path", "shop", "GET /api/v1/projections/%ff", NOTHING),
    Try("wrong UTF-8 in a search", "shop", "GET /api/v1/customers?q=%ff", "200"),
    Try("a script in a title is but a title", "olga", "PATCH /api/v1/events/{event}", "200",
        {"title": SCRIPT}, shows={"title": SCRIPT}, records=1),
    Try("a script as a field", "shop", "POST /api/v1/customers", FIELDS, CUSTOMER | {SCRIPT: 1}),
    Try("a script as a parameter", "nobody", f"GET /api/v1/events?{SCRIPT}=1", FIELDS),
    Try("a script in the path", "nobody", f"GET /{SCRIPT}", NOTHING),
    Try("a script as a rule", "nobody", f"GET /problems/{SCRIPT}", NOTHING),
    Try("a script as a country", "shop", "POST /api/v1/customers", FIELDS,
        CUSTOMER | {"country": SCRIPT}),
    Try("a line break after a word", "ada", "POST /api/v1/orders", FIELDS,
        ORDER | {"payment_method": "card\n"}),
    Try("a line break in an address", "shop", "POST /api/v1/customers", FIELDS,
        CUSTOMER | {"email": "eve@example.org\r\nBcc: all@example.org"}),
    Try("a template", "olga", "PATCH /api/v1/events/{event}", "200",
        {"venue": "{{7*7}}${7*7}"}, shows={"venue": "{{7*7}}${7*7}"}, records=1),
)  # fmt: skip

FORMS = (
    Try("a form (which any page can send)", "admin", "POST /api/v1/customers",
        "415 unsupported-media-type", raw=b"name=Eve",
        headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Try("plain text (which any page can send)", "admin", "POST /api/v1/customers",
        "415 unsupported-media-type", raw=b"{}", headers={"Content-Type": "text/plain"}),
    Try("a file", "admin", "POST /api/v1/customers", "415 unsupported-media-type", raw=b"{}",
        headers={"Content-Type": "multipart/form-data; boundary=x"}),
    Try("XML with an entity", "admin", "POST /api/v1/customers", "415 unsupported-media-type",
        raw=b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        headers={"Content-Type": "application/xml"}),
    Try("a script for a type", "admin", "POST /api/v1/customers", "415 unsupported-media-type",
        raw=b"{}", headers={"Content-Type": SCRIPT}),
)  # fmt: skip

PATHS = (
    Try("up from the scripts", "nobody", "GET /docs/redoc/../../../../etc/passwd", NOTHING),
    Try("up, encoded", "nobody", "GET /docs/redoc/%2e%2e%2f%2e%2e%2fetc%2fpasswd", NOTHING),
    Try("up, encoded twice", "nobody", "GET /docs/redoc/%252e%252e%252fetc%252fpasswd", NOTHING),
    Try("up by backslashes", "nobody", "GET /docs/redoc/..%5c..%5cetc%5cpasswd", NOTHING),
    Try("from the root", "nobody", "GET /docs/redoc/%2fetc/passwd", NOTHING),
    Try("another folder", "nobody", "GET /docs/web/app.py", NOTHING),
    Try("up from the rules", "nobody", "GET /problems/..%2f..%2fetc%2fpasswd", NOTHING),
    Try("a file with secrets", "nobody", "GET /.env", NOTHING),
    Try("the repository", "nobody", "GET /.git/config", NOTHING),
    Try("round a prefix", "nobody", "GET /api/v1/events/..;/accounts", NOTHING),
    Try("a double slash", "nobody", "GET //api/v1/accounts", NOTHING),
    Try("capitals", "nobody", "GET /API/V1/ACCOUNTS", NOTHING),
    Try("a slash behind", "nobody", "GET /api/v1/accounts/", NOTHING),
    Try("an id in braces", "admin", "GET /api/v1/orders/{{{order}}}", NOTHING),
    Try("an id as a URN", "admin", "GET /api/v1/orders/urn:uuid:{order}", NOTHING),
)  # fmt: skip

METHODS = (
    Try("deletes an event", "admin", "DELETE /api/v1/events/{event}", NOT_SO),
    Try("replaces an event", "admin", "PUT /api/v1/events/{event}", NOT_SO, EVENT),
    Try("traces", "admin", "TRACE /api/v1/events", NOT_SO),
    Try("one of its own", "admin", "PROPFIND /api/v1/events", NOT_SO),
    Try("changes the log", "admin", "POST /api/v1/log", NOT_SO, {}),
    Try("a command by GET", "admin", "GET /api/v1/events/{draft}/publish", NOT_SO),
    Try("overrides the method", "admin", "GET /api/v1/events/{event}", "200",
        headers={"X-HTTP-Method-Override": "DELETE"}, shows={"id": "{event}"}),
    Try("overrides the method by a field", "admin", "POST /api/v1/events/{draft}/publish", FIELDS,
        {"_method": "DELETE"}),
)  # fmt: skip

HEADERS = (
    Try("another host", "shop", "POST /api/v1/customers", "201", CUSTOMER, records=1,
        headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}),
    Try("another path", "nobody", "GET /health/live", "200", shows={"status": "ok"},
        headers={"X-Original-URL": "/api/v1/accounts", "X-Rewrite-URL": "/api/v1/accounts"}),
    Try("a proxy's word for who it is", "nobody", "GET /api/v1/accounts", NOBODY,
        headers={"X-Forwarded-For": "127.0.0.1", "X-Forwarded-User": "admin"}),
    Try("the actor of old", "nobody", "GET /api/v1/accounts", NOBODY, headers={"X-Actor": "admin"}),
    Try("an empty idempotency key", "shop", "POST /api/v1/customers", UNREADABLE, CUSTOMER,
        headers={"Idempotency-Key": ""}),
    Try("a long idempotency key", "shop", "POST /api/v1/customers", UNREADABLE, CUSTOMER,
        headers={"Idempotency-Key": "x" * 256}),
    Try("an idempotency key that is not ASCII", "shop", "POST /api/v1/customers", UNREADABLE,
        CUSTOMER, headers={"Idempotency-Key": "\xff"}),
    Try("a version that is none", "olga", "PATCH /api/v1/events/{event}", UNREADABLE,
        {"venue": "Barn"}, headers={"If-Match": "1; DROP TABLE events"}),
    Try("a version long gone", "olga", "PATCH /api/v1/events/{event}", "412 stale",
        {"venue": "Barn"}, headers={"If-Match": '"0"'}),
    Try("parts of an answer", "nobody", "GET /openapi.json", "200",
        headers={"Range": "bytes=0-1,0-1,0-1,0-1"}),
    Try("anything but JSON, please", "nobody", "GET /nothing", NOTHING,
        headers={"Accept": "text/html"}),
    Try("a cookie", "nobody", "GET /api/v1/auth/me", NOBODY,
        headers={"Cookie": "access_token_cookie=admin; session=admin"}),
)  # fmt: skip

TOKENS = (
    Try("that nobody signed", "alg none", "GET /api/v1/auth/me", NOBODY),
    Try("that nobody signed, in capitals", "alg NONE", "GET /api/v1/auth/me", NOBODY),
    Try("without a signature", "signature cut off", "GET /api/v1/auth/me", NOBODY),
    Try("for somebody else, under a true signature", "payload swapped", "GET /api/v1/auth/me",
        NOBODY),
    Try("signed with the empty key", "empty key", "GET /api/v1/auth/me", NOBODY),
    Try("signed with another key", "another key", "GET /api/v1/auth/me", NOBODY),
    Try("with its own key inside", "own key inside", "GET /api/v1/auth/me", NOBODY),
    Try("with a file for a key", "key from a file", "GET /api/v1/auth/me", NOBODY),
    Try("signed by another algorithm", "alg HS512", "GET /api/v1/auth/me", NOBODY),
    Try("expired", "expired", "GET /api/v1/auth/me", NOBODY),
    Try("without an end", "without end", "GET /api/v1/auth/me", NOBODY),
    Try("not valid yet", "not yet", "GET /api/v1/auth/me", NOBODY),
    Try("for another audience", "another audience", "GET /api/v1/auth/me", NOBODY),
    Try("by another issuer", "another issuer", "GET /api/v1/auth/me", NOBODY),
    Try("of a session that never was", "no session", "GET /api/v1/auth/me", NOBODY),
    Try("of a session that is SQL", "SQL session", "GET /api/v1/auth/me", NOBODY),
    Try("of a session that was ended", "ended session", "GET /api/v1/auth/me", NOBODY),
    Try("for refreshing", "refresh token", "GET /api/v1/auth/me", NOBODY),
    Try("for refreshing, forged", "nobody", "POST /api/v1/auth/refresh", NOBODY,
        {"refresh_token": "eyJhbGciOiJub25lIn0.e30."}),
    Try("a key that is guessed", "guessed key", "GET /stats", NOBODY),
    Try("a key that was revoked", "revoked key", "GET /stats", NOBODY),
    Try("a key without its beginning", "bare key", "GET /stats", NOBODY),
    Try("a password instead", "basic", "GET /api/v1/auth/me", NOBODY),
    Try("nothing at all", "empty", "GET /api/v1/events", NOBODY),
    Try("of 5,000 characters", "long", "GET /api/v1/events", NOBODY),
    Try("in the query string", "nobody", "GET /api/v1/auth/me?access_token=x", NOBODY),
    Try("a gate's key on another gate", "other_gate", "POST /api/v1/checkins", FORBIDDEN, SCAN),
    Try("makes itself an admin's", "admin claimed", "GET /api/v1/accounts", FORBIDDEN),
)  # fmt: skip

MASS_ASSIGNMENT = (
    Try("registers as an admin", "nobody", "POST /api/v1/auth/register", FIELDS,
        REGISTRATION | {"role": "admin"}),
    Try("registers as somebody", "nobody", "POST /api/v1/auth/register", FIELDS,
        REGISTRATION | {"subject_id": "{ada}"}),
    Try("becomes staff", "ada", "PATCH /api/v1/customers/{ada}", FIELDS, {"role": "admin"}),
    Try("becomes another", "ada", "PATCH /api/v1/customers/{ada}", FIELDS, {"id": "{bob}"}),
    Try("erases oneself by hand", "ada", "PATCH /api/v1/customers/{ada}", FIELDS, {"erased": True}),
    Try("names the price", "ada", "POST /api/v1/orders", FIELDS, ORDER | {"total": "0.00"}),
    Try("names the price of a line", "ada", "POST /api/v1/orders", FIELDS,
        _line(unit_price="0.00")),
    Try("orders it paid", "ada", "POST /api/v1/orders", FIELDS, ORDER | {"status": "paid"}),
    Try("holds it for ever", "ada", "POST /api/v1/orders", FIELDS,
        ORDER | {"expires_at": "2100-01-01T00:00:00Z"}),
    Try("an event on sale from the start", "olga", "POST /api/v1/events", FIELDS,
        EVENT | {"status": "published"}),
    Try("an event under an id of one's own", "olga", "POST /api/v1/events", FIELDS,
        EVENT | {"id": "{event}"}),
    Try("ticket types that are not sold out", "olga",
        "PATCH /api/v1/events/{event}/ticket-types/{type}", FIELDS, {"sold": 0}),
    Try("a transfer that says from whom", "ada", "POST /api/v1/tickets/{ticket}/transfer", FIELDS,
        {"to_customer_id": "{bob}", "holder_id": "{bob}"}),
    Try("a scan that says it passed", "gate", "POST /api/v1/checkins", FIELDS,
        SCAN | {"status": "ok"}),
    Try("a key with a secret of one's own", "admin", "POST /api/v1/api-keys", FIELDS,
        {"name": "K", "role": "service", "scopes": ["stats:read"], "secret": "mine"}),
    Try("a key for a role of people", "olga", "POST /api/v1/api-keys", FIELDS,
        {"name": "K", "role": "admin"}),
    Try("a key for scopes that there are not", "olga", "POST /api/v1/api-keys", FIELDS,
        {"name": "K", "role": "service", "scopes": ["*"]}),
    Try("an account for a role of keys", "admin", "POST /api/v1/accounts", FIELDS,
        {"email": "eve@example.org", "password": "a long enough password", "role": "service"}),
)  # fmt: skip

IDS_OF_OTHERS = (
    Try("another's profile", "bob", "GET /api/v1/customers/{ada}", FORBIDDEN),
    Try("changes another's profile", "bob", "PATCH /api/v1/customers/{ada}", FORBIDDEN,
        {"email": "bob@example.org"}),
    Try("another's order", "bob", "GET /api/v1/orders/{order}", FORBIDDEN),
    Try("cancels another's order", "bob", "POST /api/v1/orders/{unpaid}/cancel", FORBIDDEN, {}),
    Try("orders in another's name", "bob", "POST /api/v1/orders", FORBIDDEN, ORDER),
    Try("lists another's orders", "bob", "GET /api/v1/orders?customer_id={ada}", FORBIDDEN),
    Try("lists nobody's but own orders", "bob", "GET /api/v1/orders", "200", shows={"items": []}),
    Try("another's ticket, with its secret", "bob", "GET /api/v1/tickets/{ticket}", FORBIDDEN),
    Try("takes another's ticket", "bob", "POST /api/v1/tickets/{ticket}/transfer", FORBIDDEN,
        {"to_customer_id": "{bob}"}),
    Try("pays by saying so", "ada", "POST /api/v1/orders/{unpaid}/pay", FORBIDDEN,
        {"method": "card"}),
    Try("refunds oneself", "ada", "POST /api/v1/orders/{order}/refund", FORBIDDEN, {}),
    Try("lets oneself in", "ada", "POST /api/v1/checkins", FORBIDDEN,
        {"event_id": "{event}", "ticket_id": "{ticket}"}),
    Try("another organizer's event", "otto", "PATCH /api/v1/events/{event}", FORBIDDEN,
        {"title": "Otto's"}),
    Try("takes another organizer's event", "otto", "PATCH /api/v1/events/{event}", FORBIDDEN,
        {"organizer": {"id": "{otto}", "name": "Otto"}}),
    Try("an event in another organizer's name", "otto", "POST /api/v1/events", FORBIDDEN,
        EVENT | {"organizer": {"id": "{olga}", "name": "Olga"}}),
    Try("another organizer's draft", "otto", "GET /api/v1/events/{draft}", NOTHING),
    Try("another organizer's guests", "otto", "GET /api/v1/events/{event}/attendees", FORBIDDEN),
    Try("another organizer's sales", "otto", "GET /api/v1/events/{event}/sales", FORBIDDEN),
    Try("another organizer's key", "otto", "POST /api/v1/api-keys/{other_gates_key}/revoke",
        NOTHING, {}),
    Try("a key to another organizer's event", "otto", "POST /api/v1/api-keys", FORBIDDEN,
        {"name": "K", "role": "gate", "event_ids": ["{event}"]}),
    Try("tickets of another order", "shop", "POST /api/v1/orders/{unpaid}/refund",
        "409 wrong-order-status", {"ticket_ids": ["{ticket}"]}),
    Try("a ticket as an order", "shop", "GET /api/v1/orders/{ticket}", NOTHING),
    Try("a ticket type of another event", "shop", "POST /api/v1/orders", "404 not-found",
        ORDER | {"event_id": "{moved}"}),
    Try("an auditor who changes things", "auditor", "PATCH /api/v1/events/{event}", FORBIDDEN,
        {"title": "Audited"}),
    Try("a gate that looks people up", "gate", "GET /api/v1/customers?q=a", FORBIDDEN),
    Try("nobody reads the log", "nobody", "GET /api/v1/log", NOBODY),
)  # fmt: skip

GROUPS = {
    "SQL": SQL,
    "JSON": JSON,
    "numbers": NUMBERS,
    "text": TEXT,
    "forms": FORMS,
    "paths": PATHS,
    "methods": METHODS,
    "headers": HEADERS,
    "tokens": TOKENS,
    "mass assignment": MASS_ASSIGNMENT,
    "ids of others": IDS_OF_OTHERS,
}


def forged(world: World) -> dict[str, dict[str, str]]:
    """What those show who would like to be somebody, by the name of their trick."""
    true = world.credentials["ada"]["Authorization"].removeprefix("Bearer ")
    key = world.office.turnstile.settings.secret_key
    claims = jwt.decode(true, options={"verify_signature": False})
    header, payload, signature = true.split(".")
    capitals = base64url_encode(b'{"alg":"NONE"}').decode()
    unkeyed = hmac.digest(b"", f"{header}.{payload}".encode(), "sha256")
    swapped = base64url_encode(json.dumps(claims | {"sub": str(uuid4())}).encode()).decode()
    another = "another key that is long enough for it"

    def signed(secret: str = key, alg: str = "HS256", head: Any = None, **changes: Any) -> str:
        some = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(some, secret, alg, headers=head)

    tokens = {
        "alg none": signed("", "none"),
        "alg NONE": f"{capitals}.{payload}.",
        "signature cut off": f"{header}.{payload}.",
        "payload swapped": f"{header}.{swapped}.{signature}",
        "empty key": f"{header}.{payload}.{base64url_encode(unkeyed).decode()}",
        "another key": signed(another),
        "own key inside": signed(another, head={"jwk": {"kty": "oct", "k": another}}),
        "key from a file": signed(another, head={"kid": "../../../../dev/null"}),
        "alg HS512": signed(key * 2, "HS512"),
        "expired": signed(exp=claims["iat"] - 1),
        "without end": signed(exp=None),
        "not yet": signed(nbf=claims["iat"] + 3600),
        "another audience": signed(aud="somebody"),
        "another issuer": signed(iss="somebody"),
        "no session": signed(sid=str(uuid4())),
        "SQL session": signed(sid="' OR '1'='1"),
        "admin claimed": signed(role="admin", roles=["admin"], sub=str(world.people["admin"].id)),
        "guessed key": f"{api_keys.PREFIX}{'A' * 43}",
        "long": "x" * 5000,
    }
    return {name: bearer(token) for name, token in tokens.items()} | {
        "ended session": bearer(_ended_session(world)),
        "refresh token": bearer(signed(type="refresh")),
        "revoked key": bearer(_revoked_key(world)),
        "bare key": bearer(world.credentials["shop"]["Authorization"].split(api_keys.PREFIX)[1]),
        "basic": {"Authorization": "Basic YWRtaW46YWRtaW4="},
        "empty": {"Authorization": ""},
    }


def _ended_session(world: World) -> str:
    token = access_token(world.office, world.people["ada"])
    session_id = UUID(jwt.decode(token, options={"verify_signature": False})["sid"])
    with world.office.turnstile.access.changing() as connection:
        sessions.end(connection, session_id)
    return token


def _revoked_key(world: World) -> str:
    key, secret = api_key(world.office, SERVICE, scopes=["stats:read"])
    with world.office.turnstile.access.changing() as connection:
        api_keys.revoke(connection, key.id)
    return secret
