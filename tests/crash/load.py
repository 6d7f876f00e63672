"""Clients of a box office that fails now and then: they ask again until they have an answer."""

import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Any
from uuid import UUID

from projections.orders import ORDERS
from projections.tickets import TICKETS
from tests.keys import bearer

Json = dict[str, Any]

OUTCOMES = {
    "place": ("Order.Placed",),
    "pay": ("Order.Paid", "Order.PaymentRefused"),
    "cancel": ("Order.Cancelled",),
    "refund": ("Order.Refunded",),
    "transfer": ("Ticket.Transferred", "Ticket.TransferRefused"),
    "check in": (
        "Ticket.Admitted",
        "Ticket.LetOut",
        "Ticket.ScanRefused",
        "Unmatched.Presented",
        "Unmatched.PresentedAgain",
    ),
}
"""What a command of each kind leaves in the log: exactly one of these, if it was accepted."""

ANSWER_SECONDS = 10.0
PATIENCE = 90.0
"""Seconds after which a client gives up. A part that dies again and again is started after half
a minute by the supervisor, and a machine that runs other tests is slow."""
PAUSE = 0.15
THINKS, RESTS = 0.1, 4.0
ABANDONED = REPEATED = 0.05

REBUILT = (ORDERS.name, TICKETS.name)
"""The others are never rebuilt meanwhile, which would heal what went wrong in them."""

EVENT: Json = {
    "organizer": {"name": "Village Hall"},
    "starts_at": "2020-09-01T12:00:00Z",
    "ends_at": "2120-09-03T12:00:00Z",
    "currency": "GBP",
}
EVENTS: tuple[Json, ...] = (
    {  # sold out at once, and again whenever somebody cancels
        **EVENT,
        "title": "Harvest supper",
        "capacity": 30,
        "ticket_types": [
            {"name": "Adult", "price": "25.00", "quantity": 20},
            {"name": "Child", "price": "5.00", "quantity": 20},
        ],
    },
    {**EVENT, "title": "Fair", "ticket_types": [{"name": "Adult", "price": "2.50"}]},
)
CUSTOMERS: tuple[Json, ...] = tuple(
    {"name": name, "email": f"{name.split()[0].lower()}@example.org"}
    for name in ("Anna Lind", "Boris Hahn", "Clara Voss")
)


@dataclass(frozen=True)
class Answered:
    """A command and the answer that its client got, in the end."""

    kind: str
    key: str
    status: int
    body: Json
    attempts: int
    seconds: float

    @property
    def accepted(self) -> bool:
        return self.status < 400

    @property
    def position(self) -> int:
        return int(self.body["position"])

    def __str__(self) -> str:
        said = f"position {self.position}" if self.accepted else self.body["type"]
        return f"{self.kind} {self.key} was answered with {self.status}, {said}"


@dataclass
class Account:
    """What clients were told, and what they have to complain about."""

    answers: list[Answered] = field(default_factory=list)
    jobs: list[UUID] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __add__(self, other: "Account") -> "Account":
        return Account(
            self.answers + other.answers,
            self.jobs + other.jobs,
            self.complaints + other.complaints,
        )


class GaveUp(Exception):
    """No answer came for as long as a client is patient."""


@dataclass(frozen=True)
class Stage:
    """What there is to buy, and who buys it."""

    events: list[Json]
    customers: list[str]


class Caller:
    """Sends a request until it is answered: the same again after a failure, under the same key."""

    def __init__(self, port: int, key: str, name: str, chance: random.Random) -> None:
        self.name = name
        self.chance = chance
        self.account = Account()
        self._port = port
        self._credentials = bearer(key)
        self._sent = 0
        self._connection = self._new_connection()

    def command(self, kind: str, path: str, body: Json) -> Answered:
        """The answer to a command; now and then it is sent again though it was answered."""
        self._sent += 1
        key = f"{self.name}-{self._sent}"
        headers = {"Content-Type": "application/json", "X-Request-ID": key}
        if kind == "check in":
            body = {**body, "nonce": key}
        else:
            headers["Idempotency-Key"] = key
        if self.chance.random() < ABANDONED:
            self._send_and_leave(path, body, headers)
        started = time.monotonic()
        status, answer, attempts = self._until_answered("POST", path, body, headers)
        answered = Answered(kind, key, status, answer, attempts, time.monotonic() - started)
        self.account.answers.append(answered)
        if self.chance.random() < REPEATED:
            again = self._until_answered("POST", path, body, headers)
            self._require(again[:2] == (status, answer), f"{answered}, but later with {again}")
        return answered

    def make(self, path: str, body: Json) -> Json:
        """What a command answers that is sent once, while nothing fails."""
        status, answer = self._send("POST", path, body, {"Content-Type": "application/json"})
        assert status < 300, answer
        return answer

    def ask(self, path: str) -> Json:
        """What is answered that has no key, and may so be done more than once."""
        headers = {"Content-Type": "application/json"}
        status, answer, _ = self._until_answered("POST", path, {}, headers)
        assert status < 300, answer
        return answer

    def seen(self, path: str, position: int) -> Json:
        """What a query shows that has seen that position."""
        status, body, _ = self._until_answered(
            "GET", path, None, {"Turnstile-Position": str(position)}
        )
        self._require(status == 200, f"GET {path} was answered with {status} at {position}")
        return body

    def require_seen(self, path: str, answer: Answered, name: str) -> Json:
        """The same, which must show this as the command's answer did."""
        shown = self.seen(path, answer.position)
        self._require(
            shown.get(name) == answer.body[name],
            f"{answer}, {name} {answer.body[name]}, but {path} then showed {shown.get(name)}",
        )
        return shown

    def close(self) -> None:
        self._connection.close()

    def _require(self, holds: bool, complaint: str) -> None:
        if not holds:
            self.account.complaints.append(f"{complaint}.")

    def _until_answered(
        self, method: str, path: str, body: Json | None, headers: dict[str, str]
    ) -> tuple[int, Json, int]:
        """Status and body of the first answer that is no failure, and how many attempts it took."""
        deadline = time.monotonic() + PATIENCE
        attempts = 0
        failure = ""
        while time.monotonic() < deadline:
            attempts += 1
            try:
                status, answer = self._send(method, path, body, headers)
            except (OSError, HTTPException) as error:
                self._start_over()
                failure = repr(error)
            else:
                if status < 500:
                    return status, answer, attempts
                self._require(status == 503, f"{method} {path} was answered with {status}")
                failure = str(answer)
            time.sleep(self.chance.uniform(PAUSE, 2 * PAUSE))
        raise GaveUp(f"{method} {path} got no answer in {PATIENCE:g} s, at last: {failure}")

    def _send(
        self, method: str, path: str, body: Json | None, headers: dict[str, str]
    ) -> tuple[int, Json]:
        self._connection.request(method, path, _encoded(body), self._credentials | headers)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())

    def _send_and_leave(self, path: str, body: Json, headers: dict[str, str]) -> None:
        """As a client does whose network went away: whether it was heard, nobody knows."""
        with suppress(OSError, HTTPException):
            self._connection.request("POST", path, _encoded(body), self._credentials | headers)
        self._start_over()

    def _start_over(self) -> None:
        self._connection.close()
        self._connection = self._new_connection()

    def _new_connection(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)


def _encoded(body: Json | None) -> bytes | None:
    return None if body is None else json.dumps(body).encode()


def open_doors(port: int, key: str) -> Stage:
    """Put events on sale and register customers, before anything fails."""
    caller = Caller(port, key, "organizer", random.Random(0))
    try:
        events = [caller.make("/api/v1/events", event) for event in EVENTS]
        for event in events:
            caller.make(f"/api/v1/events/{event['id']}/publish", {})
        customers = [caller.make("/api/v1/customers", one)["id"] for one in CUSTOMERS]
    finally:
        caller.close()
    return Stage(events, customers)


class Client:
    """Somebody who buys, and does with the tickets whatever chance wants.

    Who `looks` asks the read models about each order as well, and waits while they lag behind.
    """

    def __init__(self, stage: Stage, caller: Caller, *, looks: bool) -> None:
        self._stage = stage
        self._caller = caller
        self._chance = caller.chance
        self._looks = looks

    def shop(self) -> None:
        """Hold tickets, then pay for them, cancel, or forget about it."""
        event = self._chance.choice(self._stage.events)
        placed = self._caller.command("place", "/api/v1/orders", self._order(event))
        if not placed.accepted:
            return
        path = f"/api/v1/orders/{placed.body['id']}"
        end = self._chance.random()
        if end < 0.7:
            self._pay(path, event)
        elif end < 0.9:
            self._caller.command("cancel", f"{path}/cancel", {"reason": "rain"})

    def _order(self, event: Json) -> Json:
        kind = self._chance.choice(event["ticket_types"])
        line = {"ticket_type_id": kind["id"], "quantity": self._chance.randint(1, 3)}
        return {
            "event_id": event["id"],
            "customer_id": self._chance.choice(self._stage.customers),
            "lines": [line],
            "payment_method": "card",
        }

    def _pay(self, path: str, event: Json) -> None:
        paid = self._caller.command("pay", f"{path}/pay", {"method": "card"})
        if not paid.accepted:
            return
        if self._looks:
            self._caller.require_seen(path, paid, "status")
        tickets = paid.body["lines"][0]["ticket_ids"]
        use = self._chance.choice((self._refund, self._hand_on, self._come))
        use(path, tickets, event)

    def _refund(self, path: str, tickets: list[str], event: Json) -> None:
        some = self._chance.sample(tickets, self._chance.randint(1, len(tickets)))
        self._caller.command("refund", f"{path}/refund", {"ticket_ids": some})

    def _hand_on(self, path: str, tickets: list[str], event: Json) -> None:
        ticket = f"/api/v1/tickets/{tickets[0]}"
        to = {"to_customer_id": self._chance.choice(self._stage.customers)}
        handed = self._caller.command("transfer", f"{ticket}/transfer", to)
        if handed.accepted and self._looks:
            shown = self._caller.require_seen(ticket, handed, "holder_id")
            self._present(event, {"secret": shown["secret"]})

    def _come(self, path: str, tickets: list[str], event: Json) -> None:
        for ticket_id in tickets:
            self._present(event, {"ticket_id": ticket_id})

    def _present(self, event: Json, shown: Json) -> None:
        self._caller.command("check in", "/api/v1/checkins", {**shown, "event_id": event["id"]})


def rebuild(caller: Caller) -> None:
    """Ask for a rebuild, as an operator does."""
    job = caller.ask(f"/api/v1/projections/{caller.chance.choice(REBUILT)}/rebuild")
    caller.account.jobs.append(UUID(job["id"]))


class Load:
    """Several clients at once, of whom one looks, and an operator, until told to stop."""

    def __init__(self, port: int, key: str, stage: Stage, seed: int, clients: int) -> None:
        self._stopped = threading.Event()
        self._threads = ThreadPoolExecutor(clients + 1)
        buyers = [
            Caller(port, key, f"client-{number}", _chance(seed, number))
            for number in range(clients)
        ]
        operator = Caller(port, key, "operator", _chance(seed, clients))
        self._busy = [
            *(
                self._keep(Client(stage, buyer, looks=buyer is buyers[0]).shop, buyer, THINKS)
                for buyer in buyers
            ),
            self._keep(partial(rebuild, operator), operator, RESTS),
        ]

    def stop(self) -> Account:
        """Let each finish what it began; the account of all."""
        self._stopped.set()
        with self._threads:
            return sum((one.result() for one in self._busy), Account())

    def _keep(self, doing: Callable[[], None], caller: Caller, pause: float) -> Future[Account]:
        return self._threads.submit(self._run, doing, caller, pause)

    def _run(self, do: Callable[[], None], caller: Caller, pause: float) -> Account:
        try:
            while not self._stopped.wait(caller.chance.uniform(0, pause)):
                do()
        except GaveUp as error:
            caller.account.complaints.append(f"{error}.")
        finally:
            caller.close()
        return caller.account


def _chance(seed: int, number: int) -> random.Random:
    return random.Random(f"{seed} {number}")
