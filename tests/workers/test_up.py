"""`turnstile up` and its parts: they start, work, end when told, and leave nobody behind."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from uuid import UUID

import pytest

from application import jobs
from application.composition import Turnstile
from application.history import history
from projections import open_holds
from projections.engine.projector import Projector
from projections.event_summaries import EVENT_SUMMARIES
from projections.open_holds import OPEN_HOLDS
from tests.keys import service_key
from tests.services import SECRETS
from tests.workers.festival import box_office, reached
from tests.workers.processes import PATIENCE, Client, Running, eventually, free_port
from tests.workers.processes import turnstile as process
from tests.workers.projecting import projecting
from tests.workers.selling import Sale
from tests.workers.tallies import register
from tests.workers.threads import in_threads
from web.serving import STOP_SECONDS
from workers import reactor, supervisor
from workers.jobs import REBUILD, request_for

GRACE = 15.0
Works = Callable[[Turnstile, int], bool]

EVENT = {
    "title": "Harvest",
    "organizer": {"name": "Village Hall"},
    "starts_at": "2090-09-01T12:00:00Z",
    "ends_at": "2090-09-03T12:00:00Z",
    "currency": "GBP",
    "ticket_types": [{"name": "Adult", "price": "25.00", "quantity": 100}],
}
CUSTOMER = {"name": "Anna Lind", "email": "anna@example.org"}


def terminate(running: Running) -> None:
    running.process.send_signal(signal.SIGTERM)


def press_ctrl_c(running: Running) -> None:
    """Which a terminal tells the whole group."""
    os.killpg(running.process.pid, signal.SIGINT)


def hang_up(running: Running) -> None:
    os.killpg(running.process.pid, signal.SIGHUP)


def ready(port: int, url: str) -> Client:
    """Who may do everything there, once it is ready."""
    client = Client(port)
    eventually(lambda: client.answers("/health/ready"), pause=0.1)
    with box_office(url) as turnstile:
        return Client(port, service_key(turnstile))


def order_tickets(client: Client) -> Any:
    """Two tickets for a new event, as a new customer orders them."""
    event = client.post("/api/v1/events", EVENT)
    client.post(f"/api/v1/events/{event['id']}/publish")
    customer = client.post("/api/v1/customers", CUSTOMER)
    line = {"ticket_type_id": event["ticket_types"][0]["id"], "quantity": 2}
    order = {"event_id": event["id"], "customer_id": customer["id"], "lines": [line]}
    return client.post("/api/v1/orders", {**order, "payment_method": "card"})


def seen(client: Client, order: Any) -> Any:
    """The order as the read models show it, once they have got there."""
    path, position = f"/api/v1/orders/{order['id']}", str(order["position"])
    return eventually(lambda: client.answers(path, **{"Turnstile-Position": position}), pause=0.1)


def buy(client: Client) -> None:
    order = order_tickets(client)
    paid = client.post(f"/api/v1/orders/{order['id']}/pay", {"method": "card"})
    assert seen(client, paid)["status"] == "paid"


def require_clean_end(running: Running, tell: Callable[[Running], None] = terminate) -> None:
    told = time.monotonic()
    tell(running)
    assert running.wait() == 0
    assert time.monotonic() - told < GRACE
    assert running.leaves_nobody


# Everything at once


def test_up_on_sqlite_sells_and_expires_holds_in_one_process(sqlite_url: str) -> None:
    port = free_port()
    with process("up", "--port", str(port), url=sqlite_url) as running:
        client = ready(port, sqlite_url)
        buy(client)
        with box_office(sqlite_url) as turnstile:
            sale = Sale(turnstile)
            placed = turnstile.executor.execute(sale.order(sale.customer_id, minutes=1e-6))
        order = {"id": placed.body["id"], "position": placed.position}
        eventually(lambda: seen(client, order)["status"] == "expired", pause=0.1)
        require_clean_end(running)
        assert "Traceback" not in running.said


def test_up_on_sqlite_goes_on_after_it_was_killed(sqlite_url: str) -> None:
    port = free_port()
    with process("up", "--port", str(port), url=sqlite_url) as running:
        client = ready(port, sqlite_url)
        order = order_tickets(client)
        running.end(signal.SIGKILL)
    with process("up", "--port", str(port), url=sqlite_url) as running:
        assert seen(ready(port, sqlite_url), order)["status"] == "placed"
        require_clean_end(running)


def test_a_command_beside_up_on_sqlite_costs_nothing_that_was_acknowledged(sqlite_url: str) -> None:
    port = free_port()
    with process("up", "--port", str(port), url=sqlite_url, ANSWER_SECONDS="1") as running:
        client = ready(port, sqlite_url)
        time.sleep(0.5)  # in which the server looks at its connections
        with process("status", url=sqlite_url) as command:
            assert command.wait() == 0
        order = order_tickets(client)
        running.end(signal.SIGKILL)
    with box_office(sqlite_url) as turnstile:
        assert what_happened(turnstile, UUID(order["id"])) == ["Placed"]


def test_up_on_postgresql_brings_back_the_parts_that_die(postgres_url: str, redis_url: str) -> None:
    port = free_port()
    with process("up", "--port", str(port), url=postgres_url, REDIS_URL=redis_url) as running:
        client = ready(port, postgres_url)
        buy(client)
        assert set(running.parts()) == {"serve", "project", "react", "work"}
        for part in ("serve", "project"):
            killed = running.parts()[part]
            os.kill(killed, signal.SIGKILL)
            wait_until_replaced(running, part, killed)
        buy(ready(port, postgres_url))
        os.kill(running.parts()["react"], signal.SIGSTOP)  # it will not hear that it should end
        require_clean_end(running)
        assert "Traceback" not in running.said


def wait_until_replaced(running: Running, part: str, killed: int) -> None:
    eventually(lambda: running.parts()[part] != killed)


def test_a_part_that_dies_at_once_is_started_again_later_and_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 5.0)
    monkeypatch.setattr(supervisor, "STEADY_SECONDS", PATIENCE)  # the machine may be busy
    part = supervisor._Child(["react"])

    def pause_after(seconds: float) -> float:
        """What it comes to when the part dies after so long."""
        part.start_at = 0.0
        part.watch()
        started = part.process
        assert started is not None
        started.kill()
        started.wait(PATIENCE)
        part.started -= seconds
        died = time.monotonic()
        part.watch()
        assert part.process is None
        assert part.start_at >= died + part.pause
        return part.pause

    assert [pause_after(0) for _ in range(3)] == [2.0, 4.0, 5.0]
    assert pause_after(PATIENCE) == 1.0


@pytest.mark.parametrize("tell", [press_ctrl_c, hang_up])
def test_parts_end_in_order_when_the_terminal_says_so(
    tell: Callable[[Running], None], postgres_url: str, redis_url: str
) -> None:
    port = free_port()
    one = {"REDIS_URL": redis_url, "WEB_PROCESSES": "1"}  # which is ready, then, as a whole
    with process("up", "--port", str(port), url=postgres_url, **one) as running:
        ready(port, postgres_url)
        told = time.monotonic()
        require_clean_end(running, tell)
        assert time.monotonic() - told < STOP_SECONDS, "A part had to be killed."


def test_parts_are_ours_wherever_they_are_started(postgres_url: str, redis_url: str) -> None:
    port = free_port()
    with process("up", "--port", str(port), url=postgres_url, REDIS_URL=redis_url) as running:
        client = ready(port, postgres_url)
        folder = Path(f"/proc/{running.process.pid}/cwd").resolve()
        (folder / "web.py").write_text("raise SystemExit('of somebody else')")
        killed = running.parts()["serve"]
        os.kill(killed, signal.SIGKILL)
        wait_until_replaced(running, "serve", killed)
        eventually(lambda: client.answers("/health/ready"), pause=0.1)
        assert "of somebody else" not in running.said


def test_parts_end_with_a_supervisor_that_was_killed(postgres_url: str, redis_url: str) -> None:
    port = free_port()
    with process("up", "--port", str(port), url=postgres_url, REDIS_URL=redis_url) as running:
        client = ready(port, postgres_url)
        assert not running.leaves_nobody
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
        eventually(lambda: running.leaves_nobody, patience=2 * GRACE)
        assert client.answers("/health/live") is None


def test_what_is_logged_names_nobody_and_shows_no_secret(sqlite_url: str) -> None:
    port = free_port()
    with process("up", "--port", str(port), url=sqlite_url) as running:
        client = ready(port, sqlite_url)
        customer = client.post("/api/v1/customers", CUSTOMER)
        assert client.answers("/api/v1/customers?q=anna") is not None
        for path, body in (
            ("/api/v1/customers", CUSTOMER | {"email": "anna"}),
            ("/api/v1/customers", CUSTOMER | {"phone": "anna\0"}),
            (f"/api/v1/customers/{customer['id']}/erase", {"name": "anna"}),
        ):
            with pytest.raises(HTTPError):
                client.post(path, body)
        client.post(f"/api/v1/customers/{customer['id']}/erase")
        require_clean_end(running)
        said = running.said
    assert said
    assert not any(word in said.lower() for word in ("anna", "lind", *SECRETS.values()))


# One at a time


def served(turnstile: Turnstile, port: int) -> bool:
    return bool(Client(port).answers("/health/ready"))


def projected(turnstile: Turnstile, port: int) -> bool:
    register(turnstile)
    return reached(turnstile) > 0


def reacted(turnstile: Turnstile, port: int) -> bool:
    order_id = Sale(turnstile).hold(minutes=1e-6)
    Projector(turnstile).catch_up()
    eventually(lambda: what_happened(turnstile, order_id)[-1] == "Expired")
    return True


def worked(turnstile: Turnstile, port: int) -> bool:
    job_id = request_for(turnstile, REBUILD, OPEN_HOLDS.name)["id"]
    with turnstile.engine.connect() as connection:
        eventually(lambda: (jobs.job(connection, job_id) or {})["state"] == jobs.DONE)
    time.sleep(0.5)  # told to end before it has heard of its own commit, it does the job once more
    return True


@pytest.mark.parametrize(
    ("part", "works"),
    [("serve", served), ("project", projected), ("react", reacted), ("work", worked)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_part_works_and_ends_when_told(
    part: str, works: Works, postgres_url: str, redis_url: str
) -> None:
    port = free_port()
    environment = {"REDIS_URL": redis_url, "PORT": str(port)}
    with (
        box_office(postgres_url, redis_url) as turnstile,
        process(part, url=postgres_url, **environment) as running,
    ):
        eventually(lambda: works(turnstile, port), pause=0.1)
        require_clean_end(running)
        assert "Traceback" not in running.said


# Reactions


def test_two_reactors_expire_each_hold_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reactor, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(reactor, "BATCH", 3)
    with ExitStack() as opened:
        shop, *others = [opened.enter_context(box_office(database_url)) for _ in range(4)]
        sale = Sale(shop)
        lapsed = [sale.hold(minutes=1e-6) for _ in range(10)]
        held = sale.hold()
        opened.enter_context(projecting(others[0], OPEN_HOLDS, EVENT_SUMMARIES))
        with reacting(*others[1:]):
            eventually(lambda: all(what_happened(shop, one)[-1] == "Expired" for one in lapsed))
        for order_id in lapsed:
            assert what_happened(shop, order_id) == ["Placed", "Expired"]
        assert what_happened(shop, held) == ["Placed"]
        eventually(lambda: waiting_holds(shop) == 1)
        of_event = what_happened(shop, sale.event_id, "event")
        assert of_event.count("HoldReleased") == len(lapsed)


def reacting(*turnstiles: Turnstile) -> AbstractContextManager[None]:
    """Live reactors, each in a thread."""
    return in_threads(*(partial(reactor.run, one) for one in turnstiles))


def what_happened(turnstile: Turnstile, aggregate_id: UUID, kind: str = "order") -> list[str]:
    with turnstile.engine.connect() as connection:
        items = history(connection, kind, aggregate_id)["items"]
    return [item["what"].split(".")[1] for item in items]


def waiting_holds(turnstile: Turnstile) -> int:
    with turnstile.engine.connect() as connection:
        return len(connection.execute(open_holds.open_holds.select()).all())
