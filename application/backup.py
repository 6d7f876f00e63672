"""The whole log as a file of JSON Lines: written, and read back into an empty log.

The first line is the head of the log, each one after it an event with its hash, in the order of
the log. So a file that was cut off, or altered anywhere, is noticed at the line where it happened.
"""

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import astuple
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from application.composition import Turnstile
from application.store import log
from application.store.chain import Chain, LogAltered, Row, scan
from application.store.database import snapshot, writing
from application.store.log import Entry, Head
from application.store.sealing import forget
from application.store.signals import LOG
from application.store.tables import events
from application.store.writes import writes_to
from domain.customer import Customer
from domain.ids import uuid7

FORMAT = "turnstile log 1"
STANDARD = "-"
"""Instead of a file: standard output or input."""
ZIP_LEVEL = 6
"""Measured: 1.8 times as fast as the highest, for files 3 % larger."""
BATCH = 2_000
"""Lines that are imported in one transaction."""
PROGRESS_EVENTS = 10_000

T = TypeVar("T")
Progress = Callable[[int, int], object]
"""Is told how many events are done, and how many there are."""


class CannotImport(Exception):
    """A line of the file does not fit; what stands before it may have been imported."""

    def __init__(self, line: int, reason: str) -> None:
        where = f"Line {line}, position {line - 1}" if line > 1 else f"Line {line}"
        super().__init__(f"{where}: {reason}")
        self.line = line
        self.reason = reason


class FirstLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds: the log up to this position, whose hash is in hexadecimal digits."""

    format: str
    position: int
    hash: str


class EventLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event with the columns of its row; `payload` and `metadata` are the exact texts."""

    position: int
    stream_id: UUID
    version: int
    topic: str
    payload: str
    metadata: str
    occurred_at: datetime
    recorded_at: datetime
    hash: str


def export_log(
    engine: Engine, write: Callable[[bytes], object], progress: Progress = lambda done, total: None
) -> Head:
    """Write the log as it is now, a line at a time; its head.

    Raises `LogAltered` at the first position that does not fit: that would be no backup.
    """
    with snapshot(engine) as connection:
        head = log.current_head(connection)
        chain = Chain()

        def take(row: Row) -> None:
            chain.take(row)
            write(_encode(EventLine(*row)) + b"\n")
            if chain.position % PROGRESS_EVENTS == 0:
                progress(chain.position, head.position)

        write(_encode(FirstLine(FORMAT, head.position, head.hash.hex())) + b"\n")
        scan(connection, take)
        chain.require_end(head)
    progress(head.position, head.position)
    return head


def import_log(
    turnstile: Turnstile,
    lines: Iterable[bytes],
    progress: Progress = lambda done, total: None,
) -> Head:
    """Bring the log up to that of the file, whose beginning it must be; the log's new head.

    Running it again goes on where it stopped. Raises `CannotImport` at the first line that does
    not fit; the lines before it have been imported, except for the last few thousand.
    """
    return _Import(turnstile, lines, progress).run()


@contextmanager
def opened(path: str, mode: str) -> Iterator[IO[bytes]]:
    """The file at `path` for reading ("rb") or writing ("wb"), gzipped if its name ends in .gz.

    What is written has a name of its own until it is complete; a device or a pipe is written to.
    """
    if path == STANDARD:
        yield sys.stdin.buffer if mode == "rb" else sys.stdout.buffer
        return
    zipped = partial(gzip.open, compresslevel=ZIP_LEVEL)
    opener: Any = zipped if path.endswith(".gz") else open
    if mode == "rb" or (os.path.exists(path) and not os.path.isfile(path)):
        with opener(path, mode) as file:
            yield file
        return
    target = Path(path).resolve()  # where a link leads to
    part = target.with_name(f"{target.name}.{uuid7().hex[-8:]}.part")
    try:
        with opener(part, mode) as file:
            yield file
        _make_durable(part)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _make_durable(target.parent)


def _make_durable(path: str | Path) -> None:
    """Return once the file, or what a folder says, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Import:
    """One run of an import; `_head` is that of the log, `_chain` that of the lines read."""

    def __init__(self, turnstile: Turnstile, lines: Iterable[bytes], progress: Progress) -> None:
        self._turnstile = turnstile
        self._lines = _legible(lines)
        self._progress = progress
        self._chain = Chain()
        with turnstile.engine.connect() as connection:
            self._head = log.current_head(connection)

    def run(self) -> Head:
        number, text = next(self._lines, (1, b""))
        first = _decoded(_decode_first, number, text)
        if first.format != FORMAT:
            raise CannotImport(number, f"the file is not of the form {FORMAT!r}.")
        if first.position < self._head.position:
            raise CannotImport(
                number,
                f"the file ends at position {first.position:,}, and the log here is at"
                f" {self._head.position:,} already.",
            )
        while batch := list(islice(self._lines, BATCH)):
            self._take(batch, first)
            self._progress(self._chain.position, first.position)
            number = batch[-1][0]
        if self._chain.position < first.position:
            raise CannotImport(
                number + 1,
                f"the file was cut off: it ends at position {self._chain.position:,}"
                f" instead of {first.position:,}.",
            )
        if self._chain.hash.hex() != first.hash:
            raise CannotImport(number, "the last event is not the one that line 1 tells of.")
        return self._head

    def _take(self, batch: list[tuple[int, bytes]], first: FirstLine) -> None:
        """Verify some lines, and record those events that the log does not have."""
        rows = [row for number, text in batch if (row := self._verified(number, text, first))]
        if rows:
            self._record(rows, batch[-1][0])

    def _verified(self, number: int, text: bytes, first: FirstLine) -> Row | None:
        """The event of that line as a row of the table; None when the log has it."""
        line = _decoded(_decode_event, number, text)
        if line.position > first.position:
            raise CannotImport(number, f"the file should end at position {first.position:,}.")
        try:
            self._chain.take(astuple(line))
        except LogAltered as error:
            raise CannotImport(number, error.reason) from None
        if line.position == self._head.position and self._chain.hash != self._head.hash:
            raise CannotImport(
                number,
                "the log here is another one; it has to be empty, or to be what an import of"
                " this file has left.",
            )
        if line.position <= self._head.position:
            return None
        return (*astuple(line)[:-1], self._chain.hash)

    def _record(self, rows: list[Row], number: int) -> None:
        head = Head(self._chain.position, self._chain.hash)
        try:
            with writing(self._turnstile.engine) as connection, writes_to(connection) as writes:
                if log.lock_head(connection) != self._head:
                    raise CannotImport(number, "somebody else is recording in this log.")
                writes.insert(events, rows)
                forget(writes, _erased(rows))
                log.move_head(writes, head)
                self._turnstile.signals.announce(writes, LOG)
        except IntegrityError:
            raise CannotImport(
                number, "at or before it, a version of something comes up a second time."
            ) from None
        self._turnstile.signals.ring(LOG)
        self._head = head


def _erased(rows: list[Row]) -> list[UUID]:
    """The customers, whose keys and accounts may have been there before."""
    entries = (Entry(*row) for row in rows)
    return [entry.stream_id for entry in entries if entry.topic == Customer.Erased.TOPIC]


def _legible(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, from 1; a gzipped file may turn out to be cut off or damaged."""
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CannotImport(number + 1, f"the file cannot be unzipped: {error}") from None


def _decoded(decode: Callable[[bytes], T], number: int, text: bytes) -> T:
    try:
        return decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CannotImport(number, f"this is not a line of a log: {error}") from None


_encode = msgspec.json.Encoder().encode
_decode_first = msgspec.json.Decoder(FirstLine).decode
_decode_event = msgspec.json.Decoder(EventLine).decode
