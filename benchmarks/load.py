"""A load generator: keep-alive connections driven by one thread, cheap enough to share the machine.

Closed loop: each connection sends its next request when it has its answer, as a client would.
"""

import json
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

CHUNK = 65_536


@dataclass
class Load:
    """What came back: answers by status, latencies in seconds, and the bodies kept."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def succeeded(self) -> int:
        """Answers with 2xx."""
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)

    @property
    def rate(self) -> float:
        """Successful answers a second."""
        return self.succeeded / self.seconds

    def percentile(self, share: float) -> float:
        """The latency in milliseconds that `share` of all answers stayed within."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def post(path: str, body: object, key: str = "") -> bytes:
    """The bytes of a POST request, with an idempotency key unless it is empty."""
    content = json.dumps(body).encode()
    idempotency = f"Idempotency-Key: {key}\r\n" if key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"{idempotency}Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def get(path: str, position: int | None = None) -> bytes:
    """The bytes of a GET request, for a state that has seen `position` if one is given."""
    seen = "" if position is None else f"Turnstile-Position: {position}\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{seen}\r\n".encode()


@dataclass(frozen=True)
class Server:
    """Where a server listens, and a key to it."""

    port: int
    key: str

    def authorized(self, request: bytes) -> bytes:
        """The request with the key."""
        return request.replace(b"\r\n", f"\r\nAuthorization: Bearer {self.key}\r\n".encode(), 1)


class Connection:
    """One client: a socket, what it has received of an answer, and when it asked."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.socket = socket.create_connection(("127.0.0.1", server.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.asked = 0.0

    def ask(self, request: bytes) -> None:
        """Send a request; the answer is to be waited for before the next one."""
        self.received = b""
        complete = self._server.authorized(request)
        self.asked = time.perf_counter()
        self.socket.sendall(complete)

    def answer(self) -> tuple[int, bytes] | None:
        """Status and body once the answer is complete."""
        self.received += self.socket.recv(CHUNK)
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator or len(body) < _length(head):
            return None
        return int(head[9:12]), body


def drive(
    server: Server,
    requests: Iterator[bytes],
    *,
    clients: int,
    seconds: float = float("inf"),
    keep_bodies: bool = False,
) -> Load:
    """Send `requests` over `clients` connections, until they end or the time is over."""
    load = Load()
    started = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for _ in range(clients):
            connection = Connection(server)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            if not _ask_next(connection, requests, started + seconds):
                _end(selector, connection)
        while selector.get_map():
            for key, _ in selector.select():
                connection = key.data
                answer = connection.answer()
                if answer is None:
                    continue
                load.latencies.append(time.perf_counter() - connection.asked)
                load.statuses[answer[0]] += 1
                if keep_bodies:
                    load.bodies.append(answer[1])
                if not _ask_next(connection, requests, started + seconds):
                    _end(selector, connection)
    load.seconds = time.perf_counter() - started
    return load


def _ask_next(connection: Connection, requests: Iterator[bytes], deadline: float) -> bool:
    request = next(requests, None) if time.perf_counter() < deadline else None
    if request is None:
        return False
    connection.ask(request)
    return True


def _end(selector: selectors.BaseSelector, connection: Connection) -> None:
    selector.unregister(connection.socket)
    connection.socket.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
