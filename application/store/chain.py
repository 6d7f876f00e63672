"""The chain of hashes, followed through the stored rows as fast as the database hands them out."""

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from application.store.database import is_postgres, raw_cursor
from application.store.log import COLUMNS, START, Head, chained_hash

Row = tuple[Any, ...]
"""A stored event, every column as JSON has it; the hash, which comes last, in hexadecimal digits.

What somebody has altered into another type is handed out as some other text.
"""
Take = Callable[[Row], None]


class LogAltered(Exception):
    """The log is not what was recorded: `position` is the first that does not fit."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"Position {position}: {reason}")
        self.position = position
        self.reason = reason


class Chain:
    """A walk along the log; it has come to `position`, and `hash` is that of the event there."""

    def __init__(self, start: Head = START) -> None:
        self.position, self.hash = start

    def take(self, row: Row) -> None:
        """Go on to the next event; raises `LogAltered` unless it fits."""
        position = self.position + 1
        if row[0] != position:
            raise _misplaced(position, row[0])
        digest = chained_hash(self.hash, row)
        if digest.hex() != row[8]:
            raise LogAltered(position, "what is recorded here does not fit its hash.")
        self.position, self.hash = position, digest

    def require_end(self, head: Head) -> None:
        """Raise `LogAltered` unless the log ends here."""
        if head.position != self.position:
            raise LogAltered(
                min(self.position, head.position) + 1,
                f"the events end at {self.position:,}, the log's head says {head.position:,}.",
            )
        if head.hash != self.hash:
            raise LogAltered(self.position, "the log's head has another hash than its last event.")


def scan(
    connection: Connection, take: Take, *, after: int | None = None, until: int | None = None
) -> None:
    """Hand the rows with `after < position <= until` to `take`, in order; None: all there are.

    Raises what `take` raises; the connection is not to be used after that.
    """
    lowest = "TRUE" if after is None else f"position > {after}"
    highest = "TRUE" if until is None else f"position <= {until}"
    bounds = f"{lowest} AND {highest}"
    read = _scan_postgres if is_postgres(connection) else _scan_sqlite
    read(connection, take, bounds)


def _scan_postgres(connection: Connection, take: Take, bounds: str) -> None:
    """By COPY, which the server goes on writing while we compute.

    Measured: 239,000 events a second with the hashing, against 106,000 to 154,000 that a
    cursor reads without it.
    """
    columns = f"{_COLUMNS}, encode(hash, 'hex')"
    query = f"SELECT {columns} FROM events WHERE {bounds} ORDER BY position"  # nosec B608 # ours
    with raw_cursor(connection) as cursor:
        try:
            cursor.copy_expert(f"COPY ({query}) TO STDOUT (ENCODING 'UTF8')", _Copied(take))
        except BaseException:
            connection.invalidate()
            raise


class _Copied:
    """Takes what COPY writes, a row at a time (PostgreSQL manual, COPY, "Text Format")."""

    def __init__(self, take: Take) -> None:
        self._take = take

    def write(self, line: bytes) -> None:
        values = line[:-1].decode().split("\t")
        if b"\\" in line:
            values = [_escape.sub(_unescaped, value) for value in values]
        position, stream_id, version, topic, payload, metadata, occurred, recorded, digest = values
        self._take(
            (
                _whole(position),
                stream_id,
                _whole(version),
                topic,
                payload,
                metadata,
                _postgres_time(occurred),
                _postgres_time(recorded),
                digest,
            )
        )


def _scan_sqlite(connection: Connection, take: Take, bounds: str) -> None:
    columns = f"{_COLUMNS}, lower(hex(hash))"
    query = f"SELECT {columns} FROM events WHERE {bounds} ORDER BY position"  # nosec B608 # ours
    for row in connection.exec_driver_sql(query):
        position, stream_id, version, topic, payload, metadata, occurred, recorded, digest = row
        take(
            (
                position,
                _dashed(str(stream_id)),
                version,
                topic,
                str(payload),
                metadata,
                _sqlite_time(str(occurred)),
                _sqlite_time(str(recorded)),
                digest,
            )
        )


def gone(position: int) -> LogAltered:
    """The event at `position` is missing."""
    return LogAltered(position, "the event recorded here is gone.")


def _misplaced(expected: int, found: Any) -> LogAltered:
    if isinstance(found, int) and found > expected:
        return gone(expected)
    return LogAltered(expected, f"an event stands before it at {found}, where none belongs.")


def _whole(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _postgres_time(text: str) -> str:
    """`2026-05-01 12:00:00.12+00` as JSON has it, where the session's time zone is UTC; any other
    form, as of a column that was made text, is left as it is."""
    if text[10:11] != " " or text[-3:] != "+00":
        return text
    if len(text) == 22:
        return f"{text[:10]}T{text[11:19]}Z"
    return f"{text[:10]}T{text[11:-3]:0<15}Z"


def _sqlite_time(text: str) -> str:
    """`2026-05-01T12:00:00.120000+00:00` as JSON has it; any other form is left as it is."""
    if len(text) != 32 or text[26:] != "+00:00":
        return text
    return f"{text[:19]}Z" if text[19:26] == ".000000" else f"{text[:26]}Z"


def _dashed(stream_id: str) -> str:
    """32 digits as JSON has an id."""
    parts = (stream_id[:8], stream_id[8:12], stream_id[12:16], stream_id[16:20], stream_id[20:])
    return "-".join(parts)


def _unescaped(escape: re.Match[str]) -> str:
    return _ESCAPED.get(escape[1], escape[1])


_COLUMNS = ", ".join(COLUMNS)
_escape = re.compile(r"\\(.)")
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
