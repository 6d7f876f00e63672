"""Group commit: one executor per process turns waiting commands into one transaction.

Whoever finds the executor free becomes the leader, takes all that waits, decides the commands
one after another against one identity map, and appends their events in one transaction. So
thirty-two buyers of one hot event cost one commit, not thirty-two conflicts.

The map is kept between batches. A batch begins by locking the head of the log, and reads what
others have appended since; so whatever it then decides holds until it is committed.
"""

import collections
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from prometheus_client import Counter, Histogram
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from application.store import answers, log, transactions
from application.store.answers import Kept
from application.store.batch import Batch, IdentityMap
from application.store.database import Holder
from application.store.deciding import decide_all, to_keep
from application.store.log import Head
from application.store.mapper import Undecodable, to_fact
from application.store.sealing import Keys
from application.store.signals import LOG, Signals
from application.store.snapshots import keep_snapshots
from application.store.work import Answer, Command, Outcome
from application.store.writes import writes_to
from domain.errors import AlreadyExists, DomainError

LARGEST_BATCH = 128
CACHED_AGGREGATES = 20_000
MOST_TO_CATCH_UP = 5_000
ATTEMPTS = 10

BATCHES = Counter("turnstile_batches", "Transactions that group commit made")
CONFLICTS = Counter("turnstile_conflicts", "Batches refused because an id existed already")
MISSED = Counter("turnstile_missed_events", "Events of other processes read before deciding")
BATCH_SIZE = Histogram(
    "turnstile_batch_commands", "Commands in a batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
BATCH_SECONDS = Histogram(
    "turnstile_batch_seconds",
    "Duration of a batch of commands, from taking it to its commit",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10),
)
COMMANDS = Counter("turnstile_commands", "Commands by use case and outcome", ("name", "outcome"))

logger = structlog.get_logger(__name__)


class StoreUnavailable(Exception):
    """The database did not answer; whether the command took effect is not known.

    Asking again with the same idempotency key finds out.
    """


def _held_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(eq=False)
class _Pending:
    """A command on its way. Its thread waits for `turn`, a lock held from the start: released
    when the outcome is there, or when this thread is to lead the next batch."""

    command: Command
    outcome: Outcome | None = None
    turn: threading.Lock = field(default_factory=_held_lock)


class Executor:
    """Takes commands from any number of threads; each answer is given after its commit."""

    def __init__(self, engine: Engine, signals: Signals) -> None:
        self._holder = Holder(engine)
        self._signals = signals
        self._mutex = threading.Lock()
        self._queue: deque[_Pending] = deque()
        self._batch: list[_Pending] = []
        self._leader: _Pending | None = None
        self._aggregates: IdentityMap = OrderedDict()
        self._known: Head | None = None
        self._committing = False

    def execute(self, command: Command) -> Answer:
        """The command's answer, once durable.

        Raises the `DomainError` that refused it, or `StoreUnavailable`.
        """
        outcome = self.execute_all([command])[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def execute_all(self, commands: Sequence[Command]) -> list[Outcome]:
        """The outcomes of commands that are decided in this order, in as few batches as can be."""
        if not commands:
            return []
        pending = [_Pending(command) for command in commands]
        self._see_through(pending)
        return [item.outcome for item in pending if item.outcome is not None]

    def _see_through(self, pending: list[_Pending]) -> None:
        last, leads = pending[-1], False
        try:
            with self._mutex:
                self._queue.extend(pending)
                leads = self._leader is None
                if leads:
                    self._leader = last
            while last.outcome is None:
                if not leads:
                    last.turn.acquire()
                if last.outcome is None:
                    self._lead()
                leads = False
        except BaseException:
            self._withdraw(pending)
            raise

    def _withdraw(self, pending: list[_Pending]) -> None:
        """Somebody was interrupted, like a job past its time: what they wait for is not decided
        any more, and the next one leads if it was their turn."""
        with self._mutex:
            self._queue = deque(item for item in self._queue if item not in pending)
        if self._leader is pending[-1]:
            self._hand_over([])

    def _lead(self) -> None:
        batch: list[_Pending] = []
        self._batch = batch
        try:
            with self._mutex:
                while self._queue and len(batch) < LARGEST_BATCH:
                    batch.append(self._queue.popleft())
            self._run(batch)
        finally:
            self._hand_over(batch)

    def _take_latecomers(self, commands: list[Command]) -> None:
        """Take along who came while the lock was awaited."""
        if len(commands) < len(self._batch):  # decided one by one after a failure
            return
        with self._mutex:
            while self._queue and len(commands) < LARGEST_BATCH:
                self._batch.append(self._queue.popleft())
                commands.append(self._batch[-1].command)

    def _hand_over(self, batch: list[_Pending]) -> None:
        """Wake those whose command is done, and one who waits to lead the next batch."""
        with self._mutex:
            self._leader = successor = self._queue[-1] if self._queue else None
        for item in batch:
            item.outcome = item.outcome or StoreUnavailable("The batch was interrupted.")
            item.turn.release()
        if successor is not None:
            successor.turn.release()

    def _run(self, batch: list[_Pending]) -> None:
        with BATCH_SECONDS.time():
            outcomes = self._outcomes([item.command for item in batch])
        BATCH_SIZE.observe(len(batch))
        counted: collections.Counter[tuple[str, str]] = collections.Counter()
        for item, outcome in zip(batch, outcomes, strict=True):
            item.outcome = outcome
            counted[item.command.name, _outcome_name(outcome)] += 1
        for names, number in counted.items():
            COMMANDS.labels(*names).inc(number)

    def _outcomes(self, commands: list[Command]) -> list[Outcome]:
        """What the commands came to; one that breaks their batch fails alone."""
        try:
            return self._settle(commands)
        except BaseException as error:
            self._forget_everything()
            if not isinstance(error, Exception):
                raise
            logger.exception("batch.failed", commands=len(commands))
            if self._committing or isinstance(error, SQLAlchemyError | StoreUnavailable):
                return [StoreUnavailable(str(error)) for _ in commands]
            if len(commands) == 1:
                return [error]
        return [outcome for command in commands for outcome in self._outcomes([command])]

    def _settle(self, commands: list[Command]) -> list[Outcome]:
        for attempt in range(ATTEMPTS):
            try:
                return self._attempt(commands)
            except IntegrityError as error:
                CONFLICTS.inc()
                self._committing = False
                raise AlreadyExists("Something with one of these ids exists.") from error
            except (DataError, ValueError) as error:  # which the database did not take
                self._committing = False
                raise ValueError(f"A value cannot be stored: {error}") from error
            except DBAPIError as error:
                if not error.connection_invalidated or self._committing:
                    raise
                logger.warning("batch.reconnecting", attempt=attempt, error=str(error.orig))
                self._forget_everything()
        raise StoreUnavailable(f"No batch went through in {ATTEMPTS} attempts.")

    def _attempt(self, commands: list[Command]) -> list[Outcome]:
        self._committing = False
        with self._holder.transaction() as connection:
            head = end = transactions.begin(connection)
            self._take_latecomers(commands)
            batch = Batch(self._aggregates, connection)
            kept = self._catch_up(batch, head, commands)
            decided, fresh = decide_all(batch, commands, kept)
            keep_snapshots(connection, batch.due_for_snapshot())
            first = head.position + 1
            with writes_to(connection) as writes:
                keys_of_customers = Keys(connection)
                if batch.entries:
                    now = datetime.now(UTC)
                    end = log.write(writes, head, batch.entries, now, keys_of_customers)
                    self._signals.announce(writes, LOG)
                answers.keep(writes, to_keep(fresh, first, end.position), keys_of_customers)
                self._committing = True
                transactions.commit(writes)
        BATCHES.inc()
        self._known = end
        batch.note_use()
        while len(self._aggregates) > CACHED_AGGREGATES:
            self._aggregates.popitem(last=False)
        if batch.entries:
            self._signals.ring(LOG)
        return [item.durable(first, end.position) for item in decided]

    def _catch_up(self, batch: Batch, head: Head, commands: Sequence[Command]) -> Kept:
        """Bring the map to the locked head of the log, with what the commands name; what is kept
        under their keys.

        Nothing in it is trusted after too much, nor when the event where it stands shows that it
        is another log that it stands in.
        """
        known = self._known
        missed = head.position - known.position if known else 0
        if known is None or not 0 <= missed <= MOST_TO_CATCH_UP or (not missed and known != head):
            self._aggregates.clear()
            known, missed = head, 0
        found = batch.look_up(commands, known.position if missed else None)
        if missed and found.known != known.hash:
            self._aggregates.clear()
            batch.touched.clear()
            found = batch.look_up(commands, None)
        MISSED.inc(len(found.missed))
        for entry in found.missed:
            aggregate = self._aggregates.get(entry.stream_id)
            if aggregate is not None and entry.version == aggregate.version + 1:
                try:
                    to_fact(entry).mutate(aggregate)
                except Undecodable:  # whoever asks for it by name is told
                    del self._aggregates[entry.stream_id]
        self._known = head
        return found.kept

    def _forget_everything(self) -> None:
        self._aggregates.clear()
        self._known = None


def _outcome_name(outcome: Outcome) -> str:
    if isinstance(outcome, DomainError):
        return outcome.rule()
    return "failed" if isinstance(outcome, Exception) else "ok"
