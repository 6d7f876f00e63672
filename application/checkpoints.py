"""Checkpoints: what the log was at some moment, signed, so that nobody can make it another.

A checkpoint signs the hash of the last event, which follows from all before it, and the root of a
Merkle tree over all their hashes, from which proofs of single events are short.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import asdict, replace
from sqlalchemy import Connection, Engine, select

from application import keys
from application.merkle import Frontier, leaf
from application.store import log
from application.store.chain import Chain, LogAltered, Row, gone, scan
from application.store.database import snapshot, writing
from application.store.log import Head
from application.store.tables import checkpoints as table
from application.store.tree import StoredTree, keep_nodes
from application.store.writes import insert_missing
from domain.errors import NotFound

LONGEST_STRETCH = 1_000_000
"""Events between two checkpoints: about what is read again after a process was killed at it."""
PROGRESS_EVENTS = 10_000

TIME = "%Y-%m-%d %H:%M:%S"
Progress = Callable[[int, int], object]
"""Is told how many events are done, and how many there are."""

_encode = msgspec.json.Encoder().encode


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The log up to `position`; hashes, key and signature are hexadecimal digits."""

    position: int
    hash: str
    root: str
    taken_at: datetime
    public_key: str
    signature: str

    def signed_text(self) -> bytes:
        """What the signature is of."""
        return _encode(
            ("turnstile checkpoint 1", self.position, self.hash, self.root, self.taken_at)
        )

    def is_sound(self) -> bool:
        """Whether the owner of its key has signed just this."""
        return keys.is_signed(self.public_key, self.signed_text(), self.signature)


class Unsigned(Exception):
    """A checkpoint that nobody who counts has signed."""

    def __init__(self, checkpoint: Checkpoint, reason: str) -> None:
        super().__init__(f"The checkpoint at position {checkpoint.position} {reason}")
        self.checkpoint = checkpoint


class NoCheckpoint(NotFound):
    title = "There is no such checkpoint"


class Verified(msgspec.Struct, frozen=True):
    """A log that is what was recorded, from behind `start` up to `position`."""

    start: int
    position: int
    hash: str
    checkpoints: list[Checkpoint]
    """Those met, the oldest first; it agrees with them."""
    passed_over: int
    """How many of those known from elsewhere lie before `start`: with them it was not compared."""


def take_checkpoint(
    engine: Engine,
    private_key: str,
    progress: Progress = lambda done, total: None,
    stretch: int = LONGEST_STRETCH,
) -> Checkpoint | None:
    """Sign what the log is now; the latest checkpoint of this key, None while the log is empty.

    What was recorded since that key's last checkpoint is verified first: raises `LogAltered`
    rather than sign anything else. Where that is much, there are checkpoints on the way.
    """
    with snapshot(engine) as connection:
        head = log.current_head(connection)
        last = latest(connection, keys.public_key(private_key))
        walk = _Walk(connection, last, head, progress)
        while walk.position < head.position:
            walk.run(until=min(walk.position + stretch, head.position))
            last = _signed(private_key, walk)
            with writing(engine) as writer:
                keep_nodes(writer, walk.frontier.take_completed())
                _keep(writer, last)
    return last


def is_due(connection: Connection, public_key: str, every: timedelta, now: datetime) -> bool:
    """Whether the log has changed since a key's last checkpoint, and that is `every` old, or of a
    time that is still to come: the clock was wrong then."""
    last = latest(connection, public_key)
    if last is None:
        return log.read_head(connection) > 0
    is_recent = timedelta(0) <= now - last.taken_at < every
    return not is_recent and log.read_head(connection) != last.position


def verify(
    engine: Engine,
    *,
    trusted: Collection[str] = (),
    known: Iterable[Checkpoint] = (),
    since: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Verified:
    """Follow the log from its start, or from the checkpoint at position `since`.

    It has to agree with all checkpoints of the database, and with those `known` from elsewhere;
    these have to be signed by one of the `trusted` public keys or, when none is given, by the
    keys that they name. Raises `LogAltered` with the first position that does not fit, and
    `NoCheckpoint` when there is none at `since`, or not the tree that belongs to it.
    """
    with snapshot(engine) as connection:
        head, copies = log.current_head(connection), set(known)
        checkpoints = sorted(copies.union(listing(connection)), key=lambda one: one.position)
        for checkpoint in checkpoints:
            require_sound(checkpoint, trusted)
        if since is not None and not StoredTree(connection, since).is_stored:
            raise NoCheckpoint(
                "The tree of its checkpoints is not stored here, as in a log that was restored:"
                " verify it from its start."
            )
        walk = _Walk(connection, _checkpoint_at(since, checkpoints), head, progress)
        met = [checkpoint for checkpoint in checkpoints if checkpoint.position >= walk.position]
        walk.run(meeting=met)
    passed_over = len(copies.difference(met))
    return Verified(since or 0, walk.position, walk.chain.hash.hex(), met, passed_over)


def require_sound(checkpoint: Checkpoint, trusted: Collection[str]) -> None:
    """Raise `Unsigned` unless a trusted key has signed it; any key will do when none is trusted."""
    if trusted and checkpoint.public_key not in trusted:
        raise Unsigned(checkpoint, f"was signed by {checkpoint.public_key}, which is not trusted.")
    if not checkpoint.is_sound():
        raise Unsigned(checkpoint, f"is not what {checkpoint.public_key} has signed.")


def latest(connection: Connection, public_key: str | None = None) -> Checkpoint | None:
    """The last checkpoint of that key, or of any; raises `Unsigned` when it is a forged one."""
    query = _NEWEST_FIRST.limit(1)
    if public_key is not None:
        query = query.where(table.c.public_key == public_key)
    for row in connection.execute(query):
        checkpoint = Checkpoint(*row)
        require_sound(checkpoint, ())
        return checkpoint
    return None


def listing(connection: Connection, limit: int | None = None) -> list[Checkpoint]:
    """Checkpoints as they are stored, the newest first."""
    return [Checkpoint(*row) for row in connection.execute(_NEWEST_FIRST.limit(limit))]


class _Walk:
    """Along the log from behind a checkpoint, growing the tree."""

    def __init__(
        self, connection: Connection, start: Checkpoint | None, head: Head, progress: Progress
    ) -> None:
        self._connection = connection
        self._head = head
        self._progress = progress
        self._ahead: dict[int, list[Checkpoint]] = {}
        self._after: int | None = None
        self.chain, self.frontier = Chain(), Frontier()
        if start is not None:
            self._start_from(start)

    @property
    def position(self) -> int:
        return self.chain.position

    def run(self, *, until: int | None = None, meeting: Sequence[Checkpoint] = ()) -> None:
        """Go on up to `until`, or to the end of the log, and agree with checkpoints on the way.

        Raises `LogAltered`.
        """
        for checkpoint in meeting:
            self._ahead.setdefault(checkpoint.position, []).append(checkpoint)
        self._meet(self.position)
        scan(self._connection, self._take, after=self._after, until=until)
        self._after = self.position
        for checkpoint in meeting:
            if checkpoint.position > self.position:
                raise _cut_off(self.position, checkpoint)
        if until is None or until == self._head.position:
            self.chain.require_end(self._head)
        elif self.position < until:
            raise gone(self.position + 1)
        self._progress(self.position, self._head.position)

    def _start_from(self, start: Checkpoint) -> None:
        if start.position > self._head.position:
            raise _cut_off(self._head.position, start)
        self._after = start.position
        self._take_last_before(start.position)
        self.frontier = StoredTree(self._connection, start.position).frontier()
        self._compare(start)
        if start.position == self._head.position:
            self.chain.require_end(self._head)

    def _take_last_before(self, position: int) -> None:
        """The last event that a checkpoint speaks of is looked at itself: what a checkpoint says
        does not show that it is still there."""
        before = log.hash_at(self._connection, position - 1) if position > 1 else log.GENESIS
        if before is None:
            raise gone(position - 1)
        self.chain = Chain(Head(position - 1, before))
        scan(self._connection, self.chain.take, after=position - 1, until=position)
        if self.chain.position < position:
            raise gone(position)

    def _take(self, row: Row) -> None:
        self.chain.take(row)
        self.frontier.add(leaf(self.chain.hash))
        position = self.chain.position
        if position in self._ahead:
            self._meet(position)
        if position % PROGRESS_EVENTS == 0:
            self._progress(position, self._head.position)

    def _meet(self, position: int) -> None:
        for checkpoint in self._ahead.get(position, ()):
            self._compare(checkpoint)

    def _compare(self, checkpoint: Checkpoint) -> None:
        found = (self.chain.hash.hex(), self.frontier.root().hex())
        if found != (checkpoint.hash, checkpoint.root):
            raise LogAltered(
                checkpoint.position,
                f"up to here the log is not what was signed at {checkpoint.taken_at:{TIME}} UTC:"
                " it was altered at or before this position, and its hashes with it.",
            )


def _cut_off(end: int, checkpoint: Checkpoint) -> LogAltered:
    return LogAltered(
        end + 1,
        f"the log ends at {end:,}, but had come to {checkpoint.position:,}"
        f" when it was signed at {checkpoint.taken_at:{TIME}} UTC.",
    )


def _checkpoint_at(position: int | None, signed: Iterable[Checkpoint]) -> Checkpoint | None:
    if position is None:
        return None
    for checkpoint in signed:
        if checkpoint.position == position:
            return checkpoint
    raise NoCheckpoint(f"There is no checkpoint at position {position}.")


def _signed(private_key: str, walk: _Walk) -> Checkpoint:
    unsigned = Checkpoint(
        walk.position,
        walk.chain.hash.hex(),
        walk.frontier.root().hex(),
        datetime.now(UTC),
        keys.public_key(private_key),
        signature="",
    )
    return replace(unsigned, signature=keys.sign(private_key, unsigned.signed_text()))


def _keep(connection: Connection, checkpoint: Checkpoint) -> None:
    insert_missing(connection, table, [asdict(checkpoint)])


_NEWEST_FIRST = select(*(table.c[name] for name in Checkpoint.__struct_fields__)).order_by(
    table.c.position.desc(), table.c.public_key.desc()
)
