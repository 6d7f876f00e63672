"""A process that takes commands, and what the tests ask of the log afterwards."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, select

from application.orders import Wish, place_order
from application.presenting import show
from application.store import log
from application.store.database import for_batches, is_postgres, writing
from application.store.group_commit import Executor
from application.store.mapper import to_new_entry
from application.store.signals import Signals
from application.store.snapshots import load_stream
from application.store.tables import events
from application.store.work import Answer, Command, Context, Key, Outcome
from domain.aggregate import Aggregate
from domain.ids import uuid7
from tests import appending
from tests.domain.given import ADULT, ANNA, FESTIVAL, NOW


class Desk:
    """An executor with an engine of its own, as each process has."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.signals = Signals(engine)
        self.executor = Executor(engine, self.signals)

    @property
    def batching(self) -> Engine:
        """What batches run on."""
        return for_batches(self.engine) if is_postgres(self.engine) else self.engine

    def do(self, decide: Callable[..., Any], *keys: Key, **arguments: Any) -> Answer:
        return self.executor.execute(command(decide, *keys, **arguments))

    def do_all(self, *commands: Command) -> list[Outcome]:
        """The outcomes of commands that make one batch."""
        return self.executor.execute_all(commands)

    def place(self, *keys: Key, **changes: Any) -> Answer:
        return self.executor.execute(placing(*keys, **changes))

    def given(self, *aggregates: Aggregate) -> None:
        """Append what happened before, past the executor."""
        facts = [fact for aggregate in aggregates for fact in aggregate.collect_events()]
        entries = [to_new_entry(fact, "{}") for fact in facts]  # type: ignore[arg-type]
        with writing(self.engine) as connection:
            appending.append(connection, log.lock_head(connection), entries, datetime.now(UTC))

    def stored(self, stream_id: UUID) -> Any:
        """The aggregate as the log has it, whatever anybody has cached."""
        with self.engine.connect() as connection:
            return load_stream(connection, stream_id)

    def cached(self, stream_id: UUID) -> Any:
        """The aggregate as the executor has it; None when it has none."""
        return self.executor._aggregates.get(stream_id)

    def position(self) -> int:
        with self.engine.connect() as connection:
            return log.read_head(connection)

    def topics(self) -> Counter[str]:
        """How many events of each topic the log has."""
        with self.engine.connect() as connection:
            return Counter(connection.scalars(select(events.c.topic)))

    def streams(self, topic: str) -> list[UUID]:
        """The streams of the events with that topic, in order."""
        query = select(events.c.stream_id).where(events.c.topic == topic)
        with self.engine.connect() as connection:
            return list(connection.scalars(query.order_by(events.c.position)))


def command(decide: Callable[..., Any], *keys: Key, **arguments: Any) -> Command:
    return Command(decide, arguments, Context(actor="ada", at=NOW), show, keys)


def placing(*keys: Key, **changes: Any) -> Command:
    """An order of Anna's for one adult, unless something else is said."""
    usual: dict[str, Any] = {
        "order_id": uuid7(),
        "event_id": FESTIVAL,
        "customer_id": ANNA,
        "wishes": [Wish(ADULT, 1)],
        "payment_method": "card",
        "hold": timedelta(minutes=30),
    }
    return command(place_order, *keys, **usual | changes)


def counted(counter: Any) -> float:
    return float(counter._value.get())
