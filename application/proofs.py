"""Proofs: the history of one aggregate, with what is needed to check it without the database.

A proof shows that these events were recorded, in this order and with these very contents, before
its checkpoint was signed, and that none before the last of them is left out. It cannot show that
nothing came after the last: whoever makes it could have stopped earlier.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from application.checkpoints import Checkpoint, NoCheckpoint, latest, require_sound
from application.history import KINDS, is_of, require_kind
from application.merkle import leaf, root_from, subtrees_without
from application.store.log import ENTRIES, GENESIS, Entry, hash_of, hashed_text
from application.store.tables import events
from application.store.tree import StoredTree
from domain.errors import Invalid

FORMAT = "turnstile proof 1"


class ProvenEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event's text, exactly as it is hashed, and the hash of the event before it in the log."""

    previous: str
    event: str

    def leaf(self) -> bytes:
        """Its leaf in the tree."""
        return leaf(hash_of(bytes.fromhex(self.previous), self.event.encode()))

    def entry(self) -> Entry:
        """What the text says."""
        return Entry(*_decode(self.event))


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All versions of one aggregate up to a checkpoint.

    `hashes` are those of the subtrees without any of the events, from left to right.
    """

    format: str
    kind: str
    id: UUID
    checkpoint: Checkpoint
    events: list[ProvenEvent]
    hashes: list[str]


class NotProven(Exception):
    """The proof does not show what it claims to."""


class TooLong(Invalid):
    title = "The history is too long for one answer"


def prove(
    connection: Connection,
    kind: str,
    aggregate_id: UUID,
    *,
    public_key: str | None = None,
    at_most: int | None = None,
) -> Proof:
    """The proof of what was recorded of it up to the latest checkpoint (of that key).

    Raises `NotFound`, `NoCheckpoint` while there is none that covers anything of it, and
    `TooLong` for more than `at_most` events.
    """
    require_kind(connection, kind, aggregate_id)
    checkpoint = latest(connection, public_key)
    if checkpoint is None:
        raise NoCheckpoint("There is no checkpoint of the log yet.")
    found = list(_events(connection, aggregate_id, checkpoint.position, at_most))
    if not found:
        raise NoCheckpoint(
            f"This {kind} was recorded after the latest checkpoint, at {checkpoint.position}."
        )
    if at_most is not None and len(found) > at_most:
        raise TooLong(f"It has more than {at_most:,} events; 'turnstile prove' takes any number.")
    tree = StoredTree(connection, checkpoint.position)
    leaves = [position - 1 for position, _ in found]
    others = subtrees_without(leaves, 0, checkpoint.position, tree.root)
    hashes, proven = [digest.hex() for digest in others], [event for _, event in found]
    proof = Proof(FORMAT, kind, aggregate_id, checkpoint, proven, hashes)
    check(proof)
    return proof


def read_proof(text: bytes) -> Proof:
    """The proof in a file; raises `NotProven` when it holds none."""
    try:
        proof = msgspec.json.decode(text, type=Proof)
    except ValueError as error:
        raise NotProven(f"This is not a proof: {error}.") from None
    if proof.format != FORMAT:
        raise NotProven(f"This is not a proof of the form {FORMAT!r}.")
    return proof


def check(proof: Proof, trusted: Collection[str] = ()) -> list[Entry]:
    """What the proof shows: the events, by version; their secrets are hashes.

    Raises `Unsigned` unless its checkpoint is signed, by a `trusted` public key if any is given,
    and `NotProven` when it does not show what it claims to.
    """
    require_sound(proof.checkpoint, trusted)
    try:
        entries = [event.entry() for event in proof.events]
        _require_history(proof, entries)
        _require_recorded(proof, entries)
    except ValueError as error:
        raise NotProven(str(error)) from None
    return entries


def _require_history(proof: Proof, entries: list[Entry]) -> None:
    """The entries are one aggregate's, each version once, in the order of the log."""
    if proof.kind not in KINDS or not entries:
        raise NotProven("It does not tell what was recorded of what.")
    before = 0
    for version, entry in enumerate(entries, 1):
        if entry.stream_id != proof.id or not is_of(proof.kind, entry):
            raise NotProven(f"The event at position {entry.position} is of something else.")
        if entry.version != version:
            raise NotProven(f"Version {version} is missing.")
        if not before < entry.position <= proof.checkpoint.position:
            raise NotProven(f"Version {version} stands at the wrong place of the log.")
        before = entry.position


def _require_recorded(proof: Proof, entries: list[Entry]) -> None:
    """The events are leaves of the tree that the checkpoint signs."""
    leaves = {
        entry.position - 1: event.leaf() for entry, event in zip(entries, proof.events, strict=True)
    }
    others = map(bytes.fromhex, proof.hashes)
    root = root_from(leaves, 0, proof.checkpoint.position, others)
    if root.hex() != proof.checkpoint.root or any(True for _ in others):
        raise NotProven("What it shows is not what was recorded when its checkpoint was signed.")


def _events(
    connection: Connection, stream_id: UUID, until: int, at_most: int | None
) -> Iterator[tuple[int, ProvenEvent]]:
    """The stream's events by version with their positions, at most one too many."""
    query = _STREAM.where(events.c.stream_id == stream_id, events.c.position <= until)
    for *columns, previous in connection.execute(
        query.limit(None if at_most is None else at_most + 1)
    ):
        entry = Entry(*columns)
        before = bytes(previous or GENESIS).hex()
        yield entry.position, ProvenEvent(before, hashed_text(entry).decode())


_before = events.alias("before")
_STREAM = (
    ENTRIES.add_columns(_before.c.hash)
    .select_from(events.outerjoin(_before, _before.c.position == events.c.position - 1))
    .order_by(events.c.version)
)
_decode = msgspec.json.Decoder(tuple[int, UUID, int, str, str, str, datetime, datetime]).decode
