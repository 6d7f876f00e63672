"""A log of any length to measure on: the sample festival again and again, a day apart.

Each copy has ids, secrets, titles and addresses of its own; streams, versions and everything that
handlers rely on are those of the original. The last copy is going on now.
"""

import base64
import random
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, create_engine, select, text, update

import migrations
from application.importing import Importer
from application.store import log
from application.store.database import open_engine, writing
from application.store.log import Entry, NewEntry
from application.store.postgres_text import Row
from application.store.sealing import Keys, seal_entries
from application.store.tables import events, log_head, snapshots
from application.store.work import Context
from application.store.writes import writes_to
from benchmarks.servers import box_office, fresh_database
from domain.ids import ticket_id_in
from projections.engine.projector import Projector
from web.cli.sample_festival import SOURCE, sample_festival

DAY = timedelta(days=1)
TOKENS = re.compile(
    r"(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r'|(?<="secret":")(?P<secret>[\w-]{43})'
    r"|(?P<date>\d{4}-\d\d-\d\d)(?=T\d\d:)"
    r'|(?<="title":")(?P<title>[^"]+)'
    r"|(?P<mail>(?<=@)example\.org)"
)
"""What differs between copies."""


class _Template(NamedTuple):
    """A text of the original, with `%s` for each of its tokens."""

    form: str
    tokens: tuple[int, ...]

    def filled(self, words: list[str]) -> str:
        return self.form % tuple([words[token] for token in self.tokens])


class _Row(NamedTuple):
    """An event of the original; `stream` is a token, the times are the original's."""

    stream: int
    version: int
    topic: str
    payload: _Template
    metadata: _Template
    occurred_at: datetime


class _Snapshot(NamedTuple):
    """A snapshot of the original, taken right behind the event at `offset` (from 0)."""

    offset: int
    stream: int
    version: int
    topic: str
    payload: _Template


@dataclass
class _Original:
    """The sample festival, cut into what its copies share and what differs between them."""

    tokens: dict[tuple[str, str], int] = field(default_factory=dict)
    since: list[datetime] = field(default_factory=list)
    rows: list[_Row] = field(default_factory=list)
    snapshots: list[_Snapshot] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        at = entry.occurred_at
        request = self._template(_metadata(self._derived(f"request {at}")), at)
        stream = self._token("id", str(entry.stream_id), at)
        payload = self._template(entry.payload, at)
        self.rows.append(_Row(stream, entry.version, entry.topic, payload, request, at))

    def add_snapshot(self, stream_id: UUID, version: int, topic: str, payload: str) -> None:
        stream = self._token("id", str(stream_id), self.rows[0].occurred_at)
        offset = next(
            offset
            for offset, row in enumerate(self.rows)
            if (row.stream, row.version) == (stream, version)
        )
        template = self._template(payload, self.rows[offset].occurred_at)
        self.snapshots.append(_Snapshot(offset, stream, version, topic, template))

    def words(self, copy: int, shift: timedelta) -> list[str]:
        """What stands for each token in that copy, whose days are `shift` later."""
        chance = random.Random(copy)
        words: list[str] = []
        for (kind, original), since in zip(self.tokens, self.since, strict=True):
            if kind == "id":
                word = str(_new_id(since + shift, chance))
            elif kind == "secret":
                word = self._secret(original, words)
            elif kind == "date":
                word = str(date.fromisoformat(original) + shift)
            else:
                word = f"{original} {copy + 1}" if kind == "title" else f"{copy + 1}.{original}"
            words.append(word)
        return words

    def _secret(self, original: str, words: list[str]) -> str:
        """The same random half behind the ticket's new id."""
        ticket_id = words[self.tokens["id", str(ticket_id_in(original))]]
        kept = base64.urlsafe_b64decode(original + "=")[16:]
        return base64.urlsafe_b64encode(UUID(ticket_id).bytes + kept)[:-1].decode()

    def _template(self, content: str, at: datetime) -> _Template:
        tokens: list[int] = []

        def cut(match: re.Match[str]) -> str:
            tokens.append(self._token(str(match.lastgroup), match[0], at))
            return "%s"

        return _Template(TOKENS.sub(cut, content.replace("%", "%%")), tuple(tokens))

    def _token(self, kind: str, original: str, at: datetime) -> int:
        token = self.tokens.setdefault((kind, original), len(self.tokens))
        if token == len(self.since):
            self.since.append(at)
        return token

    def _derived(self, name: str) -> str:
        return str(UUID(int=random.Random(name).getrandbits(128)))


class Histories:
    """Databases with a log of so many events, filled when first asked for, dropped at the end."""

    def __init__(self) -> None:
        self._databases = ExitStack()
        self._urls: dict[int, str] = {}
        self._projected: set[int] = set()

    def __enter__(self) -> "Histories":
        return self

    def __exit__(self, *_: object) -> None:
        self._databases.close()

    def url(self, number: int) -> str:
        """The database with that many events."""
        if number not in self._urls:
            self._urls[number] = self._databases.enter_context(fresh_database())
            fill(self._urls[number], number)
        return self._urls[number]

    def projected(self, number: int) -> str:
        """The same with every read model at the log's end, and the database at rest."""
        url = self.url(number)
        if number not in self._projected:
            with box_office(url) as turnstile:
                Projector(turnstile).catch_up()
            vacuum(url)
            self._projected.add(number)
        return url


def fill(url: str, number: int) -> None:
    """Write that many events into the empty log of a PostgreSQL database."""
    original = _original(datetime.now(UTC).replace(minute=0, second=0, microsecond=0))
    copies = -(-number // len(original.rows))
    with box_office(url) as turnstile, writing(turnstile.engine) as connection:
        head = log.lock_head(connection)
        for copy in range(copies):
            left = number - head.position
            words = original.words(copy, (copy + 1 - copies) * DAY)
            kept = [row for row in original.snapshots if row.offset < left]
            head = _write(connection, head, _entries(original, words, copy + 1 - copies, left))
            _keep_snapshots(connection, kept, words)
        connection.execute(update(log_head).values(position=head.position, hash=head.hash))
    vacuum(url)


def vacuum(url: str) -> None:
    """What autovacuum does within minutes, so that no benchmark meets it half way."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


@cache
def _original(now: datetime) -> _Original:
    """The sample festival up to `now`, brought in through the domain's own rules."""
    original = _Original()
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'original.db'}"
        engine = open_engine(url)
        migrations.upgrade(engine)
        engine.dispose()
        with box_office(url) as turnstile:
            importer = Importer(turnstile, SOURCE, lambda refusal: None)
            for _ in importer.run(sample_festival(now)):
                pass
            with turnstile.engine.connect() as connection:
                for entry in log.read(connection, limit=1_000_000):
                    original.add(entry)
                for row in connection.execute(select(snapshots)):
                    original.add_snapshot(row.stream_id, row.version, row.topic, row.payload)
    return original


def _metadata(request_id: str) -> str:
    """As a request over HTTP leaves it, not as an import does."""
    return Context(actor="anonymous", request_id=request_id, ip="127.0.0.1").metadata()


def _new_id(at: datetime, chance: random.Random) -> UUID:
    """An id as `uuid7` would have made it then."""
    noise = chance.getrandbits(74)
    milliseconds = int(at.timestamp() * 1000)
    return UUID(
        int=milliseconds << 80
        | 0x7 << 76
        | (noise >> 62) << 64
        | 0b10 << 62
        | noise & (1 << 62) - 1
    )


def _entries(original: _Original, words: list[str], days: int, at_most: int) -> Iterator[NewEntry]:
    shift = days * DAY
    for row in islice(original.rows, at_most):
        yield NewEntry(
            UUID(words[row.stream]),
            row.version,
            row.topic,
            row.payload.filled(words),
            row.metadata.filled(words),
            row.occurred_at + shift,
        )


def _write(connection: Connection, head: log.Head, new: Iterator[NewEntry]) -> log.Head:
    """What `log.write` does, but each event is recorded when it happened."""
    position, chain = head
    rows: list[Row] = []
    with writes_to(connection) as writes:
        sealed = seal_entries(Keys(connection), writes, list(new))
        for position, item in enumerate(sealed, head.position + 1):
            entry = Entry(position, *item, recorded_at=item.occurred_at)
            chain = log.chained_hash(chain, entry)
            rows.append((*entry[:-1], chain))
        writes.insert(events, rows)
    return log.Head(position, chain)


def _keep_snapshots(connection: Connection, kept: list[_Snapshot], words: list[str]) -> None:
    if kept:
        rows = [
            {
                "stream_id": UUID(words[row.stream]),
                "version": row.version,
                "topic": row.topic,
                "payload": row.payload.filled(words),
            }
            for row in kept
        ]
        connection.execute(snapshots.insert(), rows)
