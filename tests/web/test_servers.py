"""Both servers, as they run: slow clients keep nobody waiting for ever, and proxies are believed
only where that is configured."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.keys import bearer, service_key
from tests.web.conftest import EVENT
from tests.workers.festival import box_office
from tests.workers.processes import Client, eventually, free_port, turnstile

THREADS = 2
ANSWER_SECONDS = 2
ATTACKERS = 120
"""More than the server's threads, and than waitress takes connections by default."""

Attack = Callable[[socket.socket], None]


Serve = Callable[..., AbstractContextManager[Client]]


@pytest.fixture(params=["waitress", "granian"])
def serving(request: pytest.FixtureRequest) -> Serve:
    """`serving(NAME=value)` is a client of a server with few threads and little patience."""
    embedded = request.param == "waitress"
    url = request.getfixturevalue(f"migrated_{'sqlite' if embedded else 'postgres'}_url")
    few = {"WEB_PROCESSES": "1", "WEB_THREADS": str(THREADS), "ANSWER_SECONDS": str(ANSWER_SECONDS)}

    @contextmanager
    def serve(**environment: str) -> Iterator[Client]:
        port = free_port()
        with turnstile(
            "up" if embedded else "serve", url=url, PORT=str(port), **few, **environment
        ):
            eventually(lambda: Client(port).answers("/health/live"), pause=0.1)
            with box_office(url) as turnstile_:
                yield Client(port, service_key(turnstile_))

    return serve


@pytest.fixture
def port(serving: Serve) -> Iterator[int]:
    with serving() as client:
        yield client.port


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


# Proxies


@pytest.mark.parametrize(("proxies", "seen"), [(0, "127.0.0.1"), (1, "203.0.113.9")])
def test_an_address_is_taken_from_as_many_proxies_as_are_trusted(
    serving: Serve, proxies: int, seen: str
):
    headers = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9", "Content-Type": "application/json"}
    with serving(TRUSTED_PROXIES=str(proxies)) as client:
        made = Request(
            f"http://127.0.0.1:{client.port}/api/v1/events",
            json.dumps(EVENT).encode(),
            headers | bearer(client.key),
        )
        with urlopen(made) as response:
            event_id = json.load(response)["id"]
        history = client.get(f"/api/v1/events/{event_id}/history")
    assert history["items"][0]["metadata"]["ip"] == seen


def test_threads_of_a_web_process_push_nobody_aside(migrated_postgres_url: str):
    port = free_port()
    serving = turnstile("serve", url=migrated_postgres_url, PORT=str(port), WEB_PROCESSES="1")
    with serving as running:
        eventually(lambda: Client(port).answers("/health/live"), pause=0.1)
        assert [pid for pid in group(running.process.pid) if policies(pid) == {os.SCHED_BATCH}]


def group(leader: int) -> list[int]:
    """The processes of a process group."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if group_of(pid) == leader]


def group_of(pid: int) -> int | None:
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return None


def policies(pid: int) -> set[int]:
    """How the threads of a process are scheduled."""
    return {os.sched_getscheduler(int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir()}
