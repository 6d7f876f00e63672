"""Customers' keys as a file of JSON Lines, each still wrapped by the master key; and rewrapping.

A log that was restored without them shows everybody as erased.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Engine, select

from application.store import log
from application.store.database import snapshot, vault_of, writing
from application.store.sealing import erased_among
from application.store.tables import customer_keys
from application.store.vault import Vault, WrongMasterKey
from application.store.writes import insert_missing, writes_to

FORMAT = "turnstile keys 1"
BATCH = 500
"""Keys that are read or written at once."""


class CannotImportKeys(Exception):
    """A line of the file is not a key, or not one for this master key."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"Line {line}: {reason}")


class FirstLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str


class KeyLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A customer's key, wrapped, in hexadecimal digits."""

    customer_id: UUID
    wrapped_key: str


class ImportedKeys(msgspec.Struct, frozen=True):
    """How many keys were added; of how many customers there is a key, or were erased."""

    added: int
    present: int
    erased: int


def export_keys(engine: Engine, write: Callable[[bytes], object]) -> int:
    """Write all keys, a line at a time; how many there are."""
    with snapshot(engine) as connection:
        query = select(customer_keys).order_by(customer_keys.c.customer_id)
        stored = connection.execute(query).all()
    write(_encode(FirstLine(FORMAT)) + b"\n")
    for customer_id, wrapped in stored:
        write(_encode(KeyLine(customer_id, bytes(wrapped).hex())) + b"\n")
    return len(stored)


def import_keys(engine: Engine, lines: Iterable[bytes]) -> ImportedKeys:
    """Add the keys of the file that are missing here, save those of customers who were erased.

    Raises `CannotImportKeys`, and then nothing has been added.
    """
    numbered = enumerate(lines, 1)
    _require_format(numbered)
    added = present = erased = 0
    with writing(engine) as connection:
        log.lock_head(connection)  # nobody is erased meanwhile
        vault = vault_of(connection)
        while batch := [_unpacked(vault, *line) for line in islice(numbered, BATCH)]:
            gone = erased_among(connection, [key.customer_id for key in batch])
            kept = [key for key in batch if key.customer_id not in gone]
            new = _add(connection, vault, kept)
            added, present, erased = added + new, present + len(kept) - new, erased + len(gone)
    return ImportedKeys(added, present, erased)


def rewrap_keys(engine: Engine, old: Vault) -> int:
    """Wrap by the engine's own master key what `old` has wrapped; how many keys that were.

    All or nothing. Raises `WrongMasterKey` for a key that opens with neither.
    """
    with writing(engine) as connection, writes_to(connection) as writes:
        log.lock_head(connection)
        vault = vault_of(connection)
        rewrapped = [
            (customer_id, vault.wrap(customer_id, old.unwrap(customer_id, bytes(wrapped))))
            for customer_id, wrapped in connection.execute(select(customer_keys)).all()
            if not _opens(vault, customer_id, bytes(wrapped))
        ]
        for start in range(0, len(rewrapped), BATCH):
            writes.upsert(customer_keys, rewrapped[start : start + BATCH])
    return len(rewrapped)


def _require_format(lines: Iterator[tuple[int, bytes]]) -> None:
    number, text = next(lines, (1, b""))
    if _decoded(FirstLine, number, text).format != FORMAT:
        raise CannotImportKeys(number, f"the file is not of the form {FORMAT!r}.")


class _Key(NamedTuple):
    """A key of the file: the number of its line, whose it is, wrapped, and as it is."""

    line: int
    customer_id: UUID
    wrapped: bytes
    unwrapped: bytes


def _unpacked(vault: Vault, number: int, text: bytes) -> _Key:
    line = _decoded(KeyLine, number, text)
    try:
        wrapped = bytes.fromhex(line.wrapped_key)
        return _Key(number, line.customer_id, wrapped, vault.unwrap(line.customer_id, wrapped))
    except (ValueError, WrongMasterKey) as error:
        raise CannotImportKeys(number, str(error)) from None


def _decoded(kind: type[Any], number: int, text: bytes) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CannotImportKeys(number, f"this is not a line of keys: {error}") from None


def _add(connection: Connection, vault: Vault, keys: Sequence[_Key]) -> int:
    """How many of them were not there. Two keys of one customer would each open what the other
    does not."""
    query = select(customer_keys).where(
        customer_keys.c.customer_id.in_([key.customer_id for key in keys])
    )
    present = {row.customer_id: bytes(row.wrapped_key) for row in connection.execute(query)}
    for key in keys:
        mine = present.get(key.customer_id)
        if mine is not None and vault.unwrap(key.customer_id, mine) != key.unwrapped:
            reason = f"customer {key.customer_id} has another key here."
            raise CannotImportKeys(key.line, reason)
    rows = [{"customer_id": key.customer_id, "wrapped_key": key.wrapped} for key in keys]
    insert_missing(connection, customer_keys, rows)
    return len({key.customer_id for key in keys}) - len(present)


def _opens(vault: Vault, customer_id: UUID, wrapped: bytes) -> bool:
    try:
        vault.unwrap(customer_id, wrapped)
    except WrongMasterKey:
        return False
    return True


_encode = msgspec.json.Encoder().encode
