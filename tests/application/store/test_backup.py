"""Backups: the log as a file and back, on either database; nothing gets in that does not fit."""

import gzip
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import Engine

from application import backup
from application.access import accounts
from application.access.identity import ORGANIZER
from application.backup import CannotImport, export_log, import_log, opened
from application.checkpoints import verify
from application.composition import Turnstile, compose
from application.settings import Settings
from application.store.chain import LogAltered
from application.store.log import current_head
from tests.application.store.conftest import OpenEngine
from tests.application.store.entries import (
    LATER,
    NOON,
    ODD,
    OTHER_STREAM,
    SECRET,
    STREAM,
    append,
    new,
    read_all,
)
from tests.application.store.tampering import alter, tampering

LENGTH = 9
PASSWORD = "correct horse battery"  # nosec B105


def record(engine: Engine) -> None:
    """Nine events of all kinds of texts and times."""
    moments = (NOON, NOON.replace(microsecond=0), NOON.replace(microsecond=120_000))
    for version, moment in enumerate(moments, 1):
        append(
            engine,
            new(STREAM, version, payload=ODD, occurred_at=moment),
            new(OTHER_STREAM, version, payload=SECRET, metadata=ODD),
            new(UUID(int=version), 1, topic="Ticket.Issued"),
            recorded_at=LATER.replace(microsecond=version),
        )


def exported(engine: Engine) -> list[bytes]:
    lines: list[bytes] = []
    export_log(engine, lines.append)
    return lines


@pytest.fixture
def original(migrated_sqlite_file: Path, tmp_path: Path, open_database: OpenEngine) -> Engine:
    """Such a log on SQLite, beside the database of the test."""
    file = shutil.copyfile(migrated_sqlite_file, tmp_path / "original.db")
    engine = open_database(f"sqlite:///{file}")
    record(engine)
    return engine


@pytest.fixture
def lines(original: Engine) -> list[bytes]:
    """Its export."""
    return exported(original)


@pytest.fixture
def empty(migrated_url: str) -> Iterator[Turnstile]:
    """A box office on an empty log."""
    turnstile = compose(Settings(database_url=migrated_url))
    yield turnstile
    turnstile.close()


def refused(turnstile: Turnstile, lines: Iterable[bytes]) -> CannotImport:
    with pytest.raises(CannotImport) as refusal:
        import_log(turnstile, lines)
    return refusal.value


def test_both_databases_export_the_same(engine: Engine, lines: list[bytes]):
    record(engine)
    assert exported(engine) == lines
    assert len(lines) == 1 + LENGTH


def test_an_imported_log_is_the_same_to_the_last_byte(empty: Turnstile, lines: list[bytes]):
    head = import_log(empty, lines)
    first = msgspec.json.decode(lines[0])
    assert (head.position, head.hash.hex()) == (LENGTH, first["hash"])
    assert first["position"] == LENGTH
    with empty.engine.connect() as connection:
        assert current_head(connection) == head
    assert verify(empty.engine).position == LENGTH
    assert exported(empty.engine) == lines
    entries = read_all(empty.engine)
    assert (entries[0].payload, entries[1].metadata) == (ODD, ODD)
    assert [entry.occurred_at for entry in entries[::3]] == [
        NOON,
        NOON.replace(microsecond=0),
        NOON.replace(microsecond=120_000),
    ]
    assert entries[8].recorded_at == LATER.replace(microsecond=3)


def test_an_imported_log_goes_on(empty: Turnstile, lines: list[bytes]):
    import_log(empty, lines)
    append(empty.engine, new(STREAM, 4))
    assert verify(empty.engine).position == LENGTH + 1


def test_an_empty_log_is_a_backup_too(empty: Turnstile):
    lines = exported(empty.engine)
    assert len(lines) == 1
    assert import_log(empty, lines).position == 0


def test_importing_again_changes_nothing(empty: Turnstile, lines: list[bytes]):
    assert import_log(empty, lines) == import_log(empty, lines)
    assert exported(empty.engine) == lines


@pytest.mark.parametrize("until", range(1, LENGTH + 1))
def test_an_interrupted_import_goes_on_where_it_stopped(
    empty: Turnstile, lines: list[bytes], monkeypatch: pytest.MonkeyPatch, until: int
):
    def killed() -> Iterator[bytes]:
        yield from islice(lines, until)
        raise KeyboardInterrupt

    monkeypatch.setattr(backup, "BATCH", 2)
    with pytest.raises(KeyboardInterrupt):
        import_log(empty, killed())
    kept = len(read_all(empty.engine))
    assert kept == (until - 1) // 2 * 2
    assert verify(empty.engine).position == kept
    steps: list[int] = []
    import_log(empty, lines, lambda done, total: steps.append(done))
    assert steps[-1] == LENGTH
    assert exported(empty.engine) == lines


def test_an_erasure_that_is_imported_ends_the_accounts_too(original: Engine, empty: Turnstile):
    gone, stays = UUID(int=1001), UUID(int=1002)
    append(original, new(gone, 1, topic="Customer.Erased"), recorded_at=LATER)
    for customer_id in (gone, stays):
        accounts.create(
            empty.access, f"{customer_id}@example.org", PASSWORD, ORGANIZER, customer_id
        )
    import_log(empty, exported(original))
    with empty.engine.connect() as connection:
        assert not accounts.of_subject(connection, gone)
        assert accounts.of_subject(connection, stays)


def test_a_longer_export_brings_what_is_new(original: Engine, empty: Turnstile):
    import_log(empty, exported(original))
    append(original, new(STREAM, 4))
    assert import_log(empty, exported(original)).position == LENGTH + 1
    assert exported(empty.engine) == exported(original)


# What does not fit


@pytest.mark.parametrize("number", range(1, LENGTH + 1))
def test_a_file_that_was_cut_off_between_lines_is_noticed(
    empty: Turnstile, lines: list[bytes], number: int
):
    refusal = refused(empty, lines[:number])
    assert refusal.line == number + 1
    assert f"ends at position {number - 1} instead of {LENGTH}" in refusal.reason


def test_a_file_that_was_cut_off_within_a_line_is_noticed(empty: Turnstile, lines: list[bytes]):
    assert refused(empty, [*lines[:4], lines[4][:50]]).line == 5
    assert refused(empty, [lines[0][:20]]).line == 1
    assert refused(empty, []).line == 1


def test_lines_too_many_are_noticed(empty: Turnstile, lines: list[bytes]):
    assert refused(empty, [*lines, lines[-1]]).line == LENGTH + 2
    assert refused(empty, [*lines, b"\n"]).line == LENGTH + 2


def test_events_beyond_the_first_line_are_not_imported(original: Engine, empty: Turnstile):
    first = exported(original)[0]
    append(original, new(STREAM, 4))
    refusal = refused(empty, [first, *exported(original)[1:]])
    assert (refusal.line, read_all(empty.engine)) == (LENGTH + 2, [])


ALTERED: dict[str, Any] = {
    "position": 7,
    "stream_id": str(UUID(int=77)),
    "version": 7,
    "topic": "Event.Cancelled",
    "payload": "{}",
    "metadata": "{}",
    "occurred_at": "2026-05-01T12:00:00.123457Z",
    "recorded_at": "2026-05-01T12:00:00.123457Z",
    "hash": "00" * 32,
}


@pytest.mark.parametrize("column", ALTERED)
def test_an_altered_line_is_named(empty: Turnstile, lines: list[bytes], column: str):
    original = msgspec.json.decode(lines[5])
    assert set(original) == set(ALTERED)
    lines[5] = msgspec.json.encode(original | {column: ALTERED[column]})
    refusal = refused(empty, lines)
    assert refusal.line == 6
    assert str(refusal).startswith("Line 6, position 5: ")


Change = Callable[[list[bytes]], list[bytes]]
MOVED: dict[str, tuple[Change, int]] = {
    "left out": (lambda lines: [*lines[:3], *lines[4:]], 4),
    "twice": (lambda lines: [*lines[:4], *lines[3:]], 5),
    "swapped": (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], 4),
    "without the first line": (lambda lines: lines[1:], 1),
    "another form": (lambda lines: [lines[0].replace(b"log 1", b"log 2"), *lines[1:]], 1),
    "an empty line": (lambda lines: [*lines[:3], b"\n", *lines[3:]], 4),
    "no text": (lambda lines: [*lines[:3], b'{"topic":"\xff"}\n', *lines[3:]], 4),
    "no numbers": (lambda lines: [*lines[:3], b'{"position":"one"}\n', *lines[3:]], 4),
}


@pytest.mark.parametrize(("change", "line"), MOVED.values(), ids=MOVED)
def test_lines_that_went_or_came_are_named(
    empty: Turnstile, lines: list[bytes], change: Change, line: int
):
    assert refused(empty, change(lines)).line == line


def test_a_first_line_that_tells_of_another_log_is_noticed(empty: Turnstile, lines: list[bytes]):
    lines[0] = msgspec.json.encode(msgspec.json.decode(lines[0]) | {"hash": "00" * 32})
    assert refused(empty, lines).line == 1 + LENGTH


def test_another_log_is_not_imported_into(empty: Turnstile, lines: list[bytes]):
    append(empty.engine, new(UUID(int=5), 1))
    before = read_all(empty.engine)
    refusal = refused(empty, lines)
    assert (refusal.line, "another one" in refusal.reason) == (2, True)
    assert read_all(empty.engine) == before


def test_a_log_that_goes_on_beyond_the_file_is_left_alone(empty: Turnstile, lines: list[bytes]):
    import_log(empty, lines)
    append(empty.engine, new(STREAM, 4))
    refusal = refused(empty, lines)
    assert f"at {LENGTH + 1} already" in refusal.reason


def test_whoever_records_meanwhile_is_not_run_over(
    empty: Turnstile, lines: list[bytes], monkeypatch: pytest.MonkeyPatch
):
    def slowly() -> Iterator[bytes]:
        yield from lines[:5]
        append(empty.engine, new(STREAM, 3))
        yield from lines[5:]

    monkeypatch.setattr(backup, "BATCH", 2)
    assert "somebody else" in refused(empty, slowly()).reason
    assert verify(empty.engine).position == 5


def test_an_altered_log_is_not_exported(engine: Engine):
    record(engine)
    with tampering(engine) as connection:
        alter(connection, 5, payload="{}")
    with pytest.raises(LogAltered) as altered:
        exported(engine)
    assert altered.value.position == 5


# Files


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz"])
def test_files_are_zipped_by_their_names(
    empty: Turnstile, lines: list[bytes], tmp_path: Path, name: str
):
    path = tmp_path / name
    with opened(str(path), "wb") as file:
        file.writelines(lines)
    assert path.read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")
    with opened(str(path), "rb") as read:
        assert import_log(empty, read).position == LENGTH


def test_what_is_no_file_is_written_to_as_it_is(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with opened(str(pipe), "wb") as file:
        file.write(b"log")
    assert pipe.is_fifo()
    assert os.read(reader, 9) == b"log"
    os.close(reader)
    with pytest.raises(IsADirectoryError), opened(str(tmp_path), "wb"):
        pass
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_file_is_replaced_where_a_link_leads_to(tmp_path: Path):
    kept, link = tmp_path / "of-today.jsonl", tmp_path / "latest.jsonl"
    kept.write_bytes(b"of yesterday")
    link.symlink_to(kept)
    with opened(str(link), "wb") as file:
        file.write(b"of today")
    assert link.is_symlink()
    assert kept.read_bytes() == b"of today"


def test_a_file_has_its_name_once_it_is_complete(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    path.write_text("the backup of yesterday")

    def be_killed() -> None:
        with opened(str(path), "wb") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_killed()
    assert path.read_text() == "the backup of yesterday"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_before_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, synced, sync = tmp_path / "log.jsonl", list[tuple[int, bool]](), os.fsync

    def note_and_sync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, path.exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note_and_sync)
    with opened(str(path), "wb") as file:
        file.write(b"log")
    assert synced == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_two_who_write_the_same_file_do_not_mix(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    with opened(str(path), "wb") as first:
        with opened(str(path), "wb") as second:
            second.write(b"second")
        first.write(b"first")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"


@pytest.mark.parametrize("kept", [5, 40, -1])
def test_a_zipped_file_that_was_cut_off_is_noticed(
    empty: Turnstile, lines: list[bytes], tmp_path: Path, kept: int
):
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(lines))[:kept])
    with opened(str(path), "rb") as file:
        refusal = refused(empty, file)
    assert "unzipped" in refusal.reason


def test_what_was_never_zipped_is_said_so(empty: Turnstile, lines: list[bytes], tmp_path: Path):
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(b"".join(lines))
    with opened(str(path), "rb") as file:
        assert refused(empty, file).line == 1
