"""Clients that are slow on purpose keep nobody else from being served, by either server."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from tests.workers.processes import Client, eventually, free_port, turnstile
from web.patience import close_overdue

THREADS = 2
ANSWER_SECONDS = 2
ATTACKERS = 120
"""More than the server's threads, and than waitress takes connections by default."""

Attack = Callable[[socket.socket], None]


@pytest.fixture(params=["waitress", "granian"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """Where a box office listens that has little patience, and few threads."""
    port = free_port()
    url = request.getfixturevalue(
        "migrated_sqlite_url" if request.param == "waitress" else "migrated_postgres_url"
    )
    part = "up" if request.param == "waitress" else "serve"
    settings = {"WEB_PROCESSES": "1", "WEB_THREADS": str(THREADS)}
    settings |= {"PORT": str(port), "ANSWER_SECONDS": str(ANSWER_SECONDS)}
    with turnstile(part, url=url, **settings):
        eventually(lambda: Client(port).answers("/health/live"), pause=0.1)
        yield port


def says_nothing(_: socket.socket) -> None:
    pass


def sends_half_a_header(connection: socket.socket) -> None:
    connection.sendall(b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nX-Slow")


def sends_half_a_body(connection: socket.socket) -> None:
    connection.sendall(
        b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Content-Length: 1000\r\n\r\n{"title": "'
    )


ATTACKS = (says_nothing, sends_half_a_header, sends_half_a_body)


@pytest.mark.parametrize("attack", ATTACKS)
def test_others_are_served_again_soon(port: int, attack: Attack):
    with ExitStack() as opened:
        for _ in range(ATTACKERS):
            attacker = opened.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
            attack(attacker)
        # Who came with them is closed with them, and asks again.
        client = Client(port)
        eventually(lambda: client.answers("/health/live"), patience=10 * ANSWER_SECONDS)


def test_whoever_drips_is_closed_nevertheless(port: int):
    with closing(socket.create_connection(("127.0.0.1", port))) as attacker:
        sends_half_a_body(attacker)
        eventually(lambda: is_refused(attacker, b"a"), pause=0.2, patience=10 * ANSWER_SECONDS)


def is_refused(connection: socket.socket, byte: bytes) -> bool:
    try:
        connection.sendall(byte)
    except OSError:
        return True
    return False


def test_only_connections_without_an_answer_are_closed():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with ExitStack() as opened:
            pairs = []
            for _ in range(2):
                client = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
                pairs.append((client, opened.enter_context(server.accept()[0])))
            time.sleep(0.5)
            pairs[1][1].sendall(b"answer")
            assert close_overdue(port, 60) == 0
            assert close_overdue(port + 1, 0.25) == 0
            assert close_overdue(port, 0.25) == 1
            assert pairs[0][0].recv(1) == b""
            pairs[1][1].sendall(b" and more")
            assert pairs[1][0].recv(100) == b"answer and more"
