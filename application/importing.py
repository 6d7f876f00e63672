"""Moving in from another system: its record, in JSON Lines, through the same domain rules.

Every line carries an idempotency key made from its text, kept for ever and in the transaction
of its events. So an import can be killed anywhere and run again, as often as one likes.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select

from application.composition import Turnstile
from application.import_lines import Names, PlaceOrder, decode
from application.orders import place_order
from application.store import log
from application.store.group_commit import LARGEST_BATCH
from application.store.tables import events
from application.store.work import Command, Context, Key, Outcome, Work
from domain.errors import AlreadyExists, DomainError
from domain.order import Order

SLICE = 500


def _nothing(_: Any) -> dict[str, Any]:
    """What is kept of an answer: who imports asks only whether there was one."""
    return {}


@dataclass(frozen=True)
class Refusal:
    """A line that was refused: its number (from 1), the rule or "unreadable", and the reason."""

    line: int
    rule: str
    reason: str


@dataclass
class Summary:
    """What an import came to, in lines; `already` were imported (or refused) before. `position` is
    that of the log's end."""

    lines: int = 0
    applied: int = 0
    already: int = 0
    refused: int = 0
    position: int = 0


@dataclass
class _Chunk:
    """Lines that go to the executor together."""

    numbers: list[int] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether its lines fill a transaction, were they commands all."""
        return len(self.commands) + len(self.refusals) >= LARGEST_BATCH


class _Placed(msgspec.Struct):
    """What is read of `Order.Placed`."""

    class Line(msgspec.Struct):
        ticket_ids: list[UUID]

    lines: list[Line]


class Importer:
    """Imports one system's record; `refused` hears of each refused line as it happens."""

    def __init__(
        self, turnstile: Turnstile, source: str, refused: Callable[[Refusal], None]
    ) -> None:
        self._turnstile = turnstile
        self._source = source
        self._names = Names(source)
        self._refused = refused
        self._seen: Counter[bytes] = Counter()
        self._order_of: dict[str, str] = {}
        self._placed_before: dict[bytes, bytes] | None = None
        self.summary = Summary()

    def run(self, lines: Iterable[bytes]) -> Iterator[Summary]:
        """Import all lines, in order; yields the summary so far after every transaction."""
        chunk = _Chunk()
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text:
                continue
            self.summary.lines += 1
            self._take(chunk, number, text)
            if chunk.full:
                self._execute(chunk)
                chunk = _Chunk()
                yield self.summary
        self._execute(chunk)
        yield self.summary

    def _take(self, chunk: _Chunk, number: int, text: bytes) -> None:
        try:
            chunk.commands.append(self._command(text))
            chunk.numbers.append(number)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            chunk.refusals.append(Refusal(number, "unreadable", str(error)))
        except DomainError as error:
            chunk.refusals.append(Refusal(number, error.rule(), error.detail))

    def _command(self, text: bytes) -> Command:
        line = decode(text)
        decide, arguments = line.call(self._names, self._turnstile.settings.hold)
        if isinstance(line, PlaceOrder):
            if self._placed_before is None:
                self._placed_before = self._tickets_placed()
            decide, arguments = self.place_order, {**arguments, "line": line}
        context = Context(actor=f"import:{self._source}", source=self._source, at=line.at)
        return Command(decide, arguments, context, _nothing, keys=(self._key(text),))

    def place_order(self, work: Work, line: PlaceOrder, **arguments: Any) -> Order:
        """Raises also `AlreadyExists` for a ticket that stands in another order, paid or not, of
        this file or of an earlier one."""
        for ticket in line.tickets:
            self._require_no_other(line.order, ticket.ref)
        order = place_order(work, **arguments)
        self._order_of.update((ticket.ref, line.order) for ticket in line.tickets)
        return order

    def _require_no_other(self, order: str, ticket: str) -> None:
        stands_in = self._order_of.get(ticket, order)
        if stands_in != order:
            raise AlreadyExists(f"Ticket {ticket!r} stands in order {stands_in!r} already.")
        order_id = self._names.id("order", order).bytes
        before = (self._placed_before or {}).get(self._names.id("ticket", ticket).bytes, order_id)
        if before != order_id:
            raise AlreadyExists(f"Ticket {ticket!r} was in another order of a file before.")

    def _tickets_placed(self) -> dict[bytes, bytes]:
        """The order of each ticket that was imported from this system before."""
        source = f'"source":{msgspec.json.encode(self._source).decode()}'
        query = select(events.c.stream_id, events.c.payload).where(
            events.c.topic == Order.Placed.TOPIC,
            events.c.metadata.contains(source, autoescape=True),
        )
        with self._turnstile.engine.connect() as connection:
            # As bytes, and read row by row: there may be hundreds of thousands.
            rows = connection.execution_options(yield_per=SLICE).execute(query)
            return {
                ticket_id.bytes: order_id.bytes
                for order_id, payload in rows
                for line in msgspec.json.decode(payload, type=_Placed).lines
                for ticket_id in line.ticket_ids
            }

    def _key(self, text: bytes) -> Key:
        """The same line a second time in one file is a second command: hence the count."""
        digest = hashlib.sha256(text).digest()
        self._seen[digest] += 1
        return Key(f"import:{self._source}", f"{digest.hex()}:{self._seen[digest]}")

    def _execute(self, chunk: _Chunk) -> None:
        outcomes = self._turnstile.executor.execute_all(chunk.commands)
        with self._turnstile.engine.connect() as connection:
            self.summary.position = log.read_head(connection)
        for number, outcome in zip(chunk.numbers, outcomes, strict=True):
            self._note(chunk, number, outcome)
        self.summary.refused += len(chunk.refusals)
        for refusal in sorted(chunk.refusals, key=attrgetter("line")):
            self._refused(refusal)

    def _note(self, chunk: _Chunk, number: int, outcome: Outcome) -> None:
        if isinstance(outcome, DomainError):
            self.summary.already += outcome.replayed
            chunk.refusals.append(Refusal(number, outcome.rule(), outcome.detail))
        elif isinstance(outcome, Exception):
            raise outcome
        else:
            self.summary.already += outcome.replayed
            self.summary.applied += not outcome.replayed
