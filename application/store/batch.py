"""One batch of commands before it is durable: what it read, and what it decided."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection

from application.store import log, transactions
from application.store.log import Entry, NewEntry
from application.store.mapper import to_new_entry
from application.store.snapshots import EVERY, load_stream, load_streams
from application.store.work import Command, Work
from domain.aggregate import Aggregate, Fact

IdentityMap = OrderedDict[UUID, Aggregate]


@dataclass
class Batch:
    """Aggregates are shared with the batches before and after; the rest is this batch's own.

    `touched` holds the version that each stream had when the batch first looked at it, 0 for
    one that did not exist.
    """

    aggregates: IdentityMap
    connection: Connection
    touched: dict[UUID, int] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    entries: list[NewEntry] = field(default_factory=list)
    undone: set[UUID] = field(default_factory=set)
    committed: dict[int, list[Entry]] = field(default_factory=dict)

    def look_up(self, commands: Sequence[Command], since: int | None) -> transactions.Found:
        """What `commands` need, all at once: the streams that they name, unless they are in the map
        or new, what is kept under their keys, and the events after `since`."""
        for command in commands:
            if command.makes is not None and command.makes not in self.aggregates:
                # Should it exist, the append is refused.
                self.touched.setdefault(command.makes, 0)
        missing = self._missing(stream_id for command in commands for stream_id in command.ids())
        keys = [key for command in commands for key in command.keys]
        found = transactions.look_up(self.connection, missing, keys, since)
        self._note(missing, found.aggregates)
        return found

    def prefetch(self, stream_ids: Iterable[UUID]) -> None:
        """Load what is not in the map yet, all at once."""
        missing = self._missing(stream_ids)
        self._note(missing, load_streams(self.connection, missing))

    def _missing(self, stream_ids: Iterable[UUID]) -> list[UUID]:
        return [
            stream_id
            for stream_id in dict.fromkeys(stream_ids)
            if stream_id not in self.aggregates and stream_id not in self.touched
        ]

    def _note(self, looked_up: Iterable[UUID], loaded: dict[UUID, Aggregate]) -> None:
        """What does not exist is remembered, too."""
        self.aggregates.update(loaded)
        for stream_id in looked_up:
            self.touched[stream_id] = loaded[stream_id].version if stream_id in loaded else 0

    def fetch(self, stream_id: UUID) -> Aggregate | None:
        """The aggregate as this batch sees it; None when it does not exist."""
        if self.undone and stream_id in self.undone:
            self._undo_now(stream_id)
        aggregate = self.aggregates.get(stream_id)
        if aggregate is None and stream_id not in self.touched:
            self.prefetch([stream_id])
            aggregate = self.aggregates.get(stream_id)
        if aggregate is not None:
            self.touched.setdefault(stream_id, aggregate.version)
        return aggregate

    def since(self, position: int, most: int) -> Sequence[Entry | NewEntry]:
        """What was recorded after that position, last by earlier commands of this batch; of what
        is committed, no more than so many entries."""
        if position not in self.committed:
            self.committed[position] = log.read(self.connection, after=position, limit=most)
        return [*self.committed[position], *self.entries]

    def accept(self, work: Work, metadata: str) -> None:
        """Take over what a command decided; all of it or, when it cannot be written, nothing."""
        entries = [*work.entries, *(to_new_entry(fact, metadata) for fact in work.facts)]
        for stream_id, (aggregate, version) in work.seen.items():
            if aggregate.pending_events:
                kind = type(aggregate).__name__
                raise RuntimeError(f"{kind} {aggregate.id} was changed, but not saved.")
            if not version:  # else it was fetched
                self.touched.setdefault(stream_id, version)
                self.aggregates[stream_id] = aggregate
        self.facts.extend(work.facts)
        self.entries.extend(entries)

    def undo(self, work: Work) -> None:
        """Leave no trace of a command that raised."""
        for stream_id, (aggregate, version) in work.seen.items():
            if aggregate.version != version or aggregate.pending_events:
                self.aggregates.pop(stream_id, None)
                self.undone.add(stream_id)

    def due_for_snapshot(self) -> list[Aggregate]:
        """The aggregates that have passed another `EVERY` versions."""
        passed = {fact.originator_id for fact in self.facts if fact.originator_version % EVERY == 0}
        due = [self.fetch(stream_id) for stream_id in passed]
        return [aggregate for aggregate in due if aggregate is not None]

    def note_use(self) -> None:
        """Let what this batch looked at be the last to be forgotten."""
        for stream_id in self.touched:
            if stream_id in self.aggregates:
                self.aggregates.move_to_end(stream_id)

    def _undo_now(self, stream_id: UUID) -> None:
        """Load a stream again, and decide again what earlier commands of this batch decided."""
        self.undone.discard(stream_id)
        if stream_id not in self.touched:
            return
        aggregate = load_stream(self.connection, stream_id, until=self.touched[stream_id])
        for fact in self.facts:
            if fact.originator_id == stream_id:
                aggregate = fact.mutate(aggregate)
        if aggregate is not None:
            self.aggregates[stream_id] = aggregate
