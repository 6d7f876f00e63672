"""Requests that no client library sends, to the servers as they are run: byte by byte.

Each must get the answer that the table says, or none, and the connection closed; nothing of it
may be recorded, and whoever comes next must be served.
"""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

import migrations
from application.store import log
from application.store.database import open_engine
from tests import services
from tests.keys import service_key
from tests.web.conftest import EVENT
from tests.workers.festival import box_office
from tests.workers.processes import Client, eventually, free_port, turnstile

PATIENCE = 10.0
QUIET = 1.0
"""Seconds after which nothing more is expected of a server that keeps the connection."""
BODY = b'{"name":"Eve","email":"eve@example.org"}'
CREATE = b"POST /api/v1/customers HTTP/1.1\r\nHost: x\r\n{key}Content-Type: application/json\r\n"
TOO_MUCH = (BODY, *[b" " * 65_536] * 17, b"THIS IS NO JSON")
PUBLISH = CREATE.replace(b"customers", b"events/{draft}/publish")
SMUGGLED = CREATE + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
NO_ANSWER = 0
CLOSE = b"Connection: close\r\n\r\n"


@dataclass(frozen=True)
class Server:
    """A server that runs, and the database behind it."""

    name: str
    port: int
    url: str
    key: str
    draft: str
    """The id of an event that is not on sale."""


@dataclass(frozen=True)
class Raw:
    """Bytes, and the status of the one answer that they get: from granian, and from waitress."""

    what: str
    sent: bytes
    granian: int
    waitress: int
    ends: bool = False
    """Whether nothing more is sent, which the server is told."""


# One process runs all tests of a server, so that it is started only once.
SERVERS = [
    pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("granian", "waitress")
]
TRIES = (
    Raw("two lengths that differ", CREATE + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
        400, 400),
    Raw("two lengths in one", CREATE + b"Content-Length: 2, 40\r\n\r\n{}", 400, 400),
    Raw("a negative length", CREATE + b"Content-Length: -1\r\n\r\n{}", 400, 400),
    Raw("a length with a sign", CREATE + b"Content-Length: +40\r\n\r\n" + BODY, 400, 400),
    Raw("a length in hexadecimal", CREATE + b"Content-Length: 0x28\r\n\r\n" + BODY, 400, 400),
    Raw("a length beyond all", CREATE + b"Content-Length: 99999999999999999999\r\n\r\n",
        400, 413),
    Raw("both a length and chunks",
        CREATE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        400, 400),
    Raw("chunks that only one side knows",
        CREATE + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400, 501),
    Raw("chunks behind a blank",
        CREATE + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        400, 400),
    Raw("chunked twice",
        CREATE + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, 422),
    Raw("a chunk of no size", PUBLISH + b"Transfer-Encoding: chunked\r\n\r\nx\r\n{}\r\n0\r\n\r\n",
        400, 400),
    Raw("a chunk of a negative size",
        PUBLISH + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n", 400, 400),
    Raw("more chunks than are taken, which hold something else behind the largest body",
        CREATE + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in TOO_MUCH) + b"0\r\n\r\n",
        413, 413),
    Raw("a chunk that breaks off", PUBLISH + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        400, NO_ANSWER, ends=True),
    Raw("a body that never comes", PUBLISH + b"Content-Length: 40\r\n\r\n",
        400, NO_ANSWER, ends=True),
    Raw("a body that breaks off", PUBLISH + b"Content-Length: 40\r\n\r\n{}",
        400, NO_ANSWER, ends=True),
    Raw("a header that goes on",
        CREATE + b"X-Long: a\r\n b\r\nContent-Length: 2\r\n\r\n{}", 400, 422),
    Raw("a header without a name", LIVE + b": x\r\n" + CLOSE, 400, 400),
    Raw("a header without a colon", LIVE + b"Nonsense\r\n" + CLOSE, 400, 400),
    Raw("a NUL in a header", LIVE + b"X-Request-ID: a\0b\r\n" + CLOSE, 400, 400),
    Raw("a bare CR in a header", LIVE + b"X-Request-ID: a\rSet-Cookie: x=1\r\n" + CLOSE, 400, 400),
    Raw("bare line feeds", b"GET /health/live HTTP/1.1\nHost: x\nConnection: close\n\n",
        200, NO_ANSWER),
    Raw("wrong UTF-8 in a header", LIVE + b"X-Request-ID: \xff\xfe\r\n" + CLOSE, 200, 200),
    Raw("wrong UTF-8 in the request line",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n" + CLOSE, 400, 400),
    Raw("wrong UTF-8 in the path, encoded",
        b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404, 404),
    Raw("a line break in the path, encoded",
        b"GET /problems/%0d%0aSet-Cookie:x HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404, 404),
    Raw("a NUL in the path", b"GET /health\0/live HTTP/1.1\r\nHost: x\r\n" + CLOSE, 400, 404),
    Raw("a blank in the path", b"GET /health/live x HTTP/1.1\r\nHost: x\r\n" + CLOSE, 400, 400),
    Raw("a request line too long", b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n" + CLOSE,
        414, 431),
    Raw("headers too long", LIVE + b"X-Long: " + b"x" * 1_000_000 + b"\r\n" + CLOSE, 431, 431),
    Raw("headers too many", LIVE + b"X-Many: x\r\n" * 40_000 + CLOSE, 431, 431),
    Raw("another site's address",
        b"GET http://evil.example/health/live HTTP/1.1\r\nHost: x\r\n" + CLOSE, 200, 200),
    Raw("a target without a slash", b"GET health/live HTTP/1.1\r\nHost: x\r\n" + CLOSE, 400, 200),
    Raw("a tunnel", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n" + CLOSE,
        404, 404),
    Raw("up from the root", b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404, 404),
    Raw("a method that is none", b"G\xffT / HTTP/1.1\r\nHost: x\r\n" + CLOSE, 400, 400),
    Raw("a method too long", b"X" * 300_000 + b" / HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404, 431),
    Raw("a version that is none", b"GET /health/live HTTP/9.9\r\nHost: x\r\n" + CLOSE, 400, 200),
    # No answer of ours depends on the host.
    Raw("no host", b"GET /health/live HTTP/1.1\r\n" + CLOSE, 200, 200),
    Raw("two hosts", LIVE + b"Host: y\r\n" + CLOSE, 200, 200),
    Raw("a host that is none", b"GET /health/live HTTP/1.1\r\nHost: a/b@c\r\n" + CLOSE, 200, 200),
    Raw("another protocol", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
        400, NO_ANSWER),
    Raw("HTTP/2 from the start", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NO_ANSWER, 404),
    Raw("an upgrade", LIVE + b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        b"Connection: Upgrade, HTTP2-Settings, close\r\n\r\n", 200, 200),
)  # fmt: skip


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_server: str
) -> Iterator[Server]:
    """`turnstile serve` on PostgreSQL, and `turnstile up` on SQLite."""
    if request.param == "waitress":
        url = f"sqlite:///{tmp_path_factory.mktemp('wire') / 'turnstile.db'}"
        with _running("waitress", url, "up") as running:
            yield running
        return
    url = services.create_database(postgres_server, "turnstile_test")
    with _running("granian", url, "serve", "--processes", "1") as running:
        yield running
    services.drop_database(postgres_server, url)


@contextmanager
def _running(name: str, url: str, *command: str) -> Iterator[Server]:
    engine = open_engine(url)
    migrations.upgrade(engine)
    engine.dispose()
    port = free_port()
    with turnstile(*command, "--port", str(port), url=url), box_office(url) as office:
        eventually(lambda: Client(port).answers("/health/live"), pause=0.1)
        key = service_key(office)
        draft = Client(port, key).post("/api/v1/events", EVENT)["id"]
        yield Server(name, port, url, key, draft)


@pytest.mark.parametrize("attempt", TRIES, ids=lambda attempt: attempt.what)
def test_gets_the_answer_that_it_must(server: Server, attempt: Raw):
    before = _position(server)
    answered = _sent(server, attempt)
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+) ", answered)]
    expected = getattr(attempt, server.name)
    assert statuses == ([] if expected == NO_ANSWER else [expected]), answered[:1000]
    assert not re.search(rb"^set-cookie", answered, re.IGNORECASE | re.MULTILINE)
    assert b"Traceback" not in answered
    assert str(Path(__file__).parents[2]).encode() not in answered
    assert _position(server) == before
    assert Client(server.port).get("/health/live") == {"status": "ok"}


def _sent(server: Server, attempt: Raw) -> bytes:
    """All that comes back until the server closes, or has nothing more to say."""
    key = f"Authorization: Bearer {server.key}\r\n".encode()
    raw = attempt.sent.replace(b"{key}", key).replace(b"{draft}", server.draft.encode())
    received = b""
    with (
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection,
        suppress(ConnectionError, TimeoutError),
    ):
        connection.sendall(raw)
        if attempt.ends:
            connection.shutdown(socket.SHUT_WR)
        connection.settimeout(QUIET)
        while part := connection.recv(65536):
            received += part
    return received


def _position(server: Server) -> int:
    engine = open_engine(server.url)
    with engine.connect() as connection:
        position = log.read_head(connection)
    engine.dispose()
    return position
