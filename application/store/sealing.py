"""Personal data in the log: sealed with a key for each customer, so that it can be forgotten.

The log is never altered. What names a customer is encrypted in it; whoever destroys their key has
erased them from every replay, history, export and rebuild, and the hashes, which are those of the
sealed text, go on fitting. The keys stand in a table of their own, each wrapped by the master key,
which the database never sees. `log.write` seals and `log.read` opens, and nobody else need.
"""

from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import BindParameter, Connection, bindparam, select

from application.store.database import is_postgres, vault_of
from application.store.postgres_text import array_text
from application.store.tables import accounts, customer_keys, events
from application.store.vault import decrypted, encrypted, new_key
from application.store.writes import Writes
from domain.customer import ERASED, Customer

if TYPE_CHECKING:
    from application.store.log import Entry, NewEntry

PERSONAL = ("name", "email", "phone")
"""What is sealed of a profile; the rest of it stays legible."""
TOPICS = frozenset({Customer.Registered.TOPIC, Customer.Changed.TOPIC})
"""The events that hold a profile."""
SLICE = 500

Content = dict[str, Any]

_SEALED = '"sealed":"'
"""What begins a sealed text in JSON. No value can contain it, where quotes are escaped."""
_encode = msgspec.json.Encoder().encode
_topic_of = attrgetter("topic")


class SealBroken(Exception):
    """A sealed text is not what was sealed in its place."""


class Keys:
    """Keys of customers, for one transaction: whoever is erased meanwhile is so in the next."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._vault = vault_of(connection)
        self._ciphers: dict[UUID, AESGCM | None] = {}
        self._made: dict[UUID, bytes] = {}
        self._destroyed: set[UUID] = set()

    def load(self, customer_ids: Iterable[UUID]) -> None:
        """Look up, at once, those that are not known yet."""
        wanted = list(dict.fromkeys(customer_ids).keys() - self._ciphers.keys())
        self._ciphers.update(dict.fromkeys(wanted))
        for customer_id, wrapped in _wrapped(self._connection, wanted):
            self.know(customer_id, wrapped)

    def know(self, customer_id: UUID, wrapped: bytes | None) -> None:
        """Remember the customer's key, which was read already; None when there is none."""
        key = None if wrapped is None else self._vault.unwrap(customer_id, bytes(wrapped))
        self._ciphers[customer_id] = None if key is None else AESGCM(key)

    def cipher(self, customer_id: UUID) -> AESGCM | None:
        """What seals and opens the customer's data; None without a key."""
        if customer_id not in self._ciphers:
            self.load([customer_id])
        return self._ciphers[customer_id]

    def require(self, customer_ids: Collection[UUID]) -> None:
        """Raise `SealBroken` where a key is missing that has sealed something: with another one, no
        key would open all of it. Who was recorded before there were keys has none yet."""
        missing = [customer_id for customer_id in customer_ids if self.cipher(customer_id) is None]
        if not missing:
            return
        sealed = select(events.c.stream_id).where(
            events.c.stream_id.in_(missing), events.c.payload.contains(_SEALED, autoescape=True)
        )
        lost = self._connection.execute(sealed.limit(1)).scalar()
        if lost is not None:
            raise SealBroken(
                f"The key of customer {lost} is missing: 'turnstile import-keys' brings it back."
            )

    def make(self, customer_id: UUID) -> None:
        """Give the customer a new key."""
        key = new_key()
        self._made[customer_id] = self._vault.wrap(customer_id, key)
        self._ciphers[customer_id] = AESGCM(key)

    def destroy(self, customer_id: UUID) -> None:
        """From now on nobody can open what the customer's key has sealed."""
        self._made.pop(customer_id, None)
        self._destroyed.add(customer_id)
        self._ciphers[customer_id] = None

    def write(self, writes: Writes) -> None:
        """Store the keys that were made, and forget who was erased."""
        forget(writes, self._destroyed)
        writes.upsert(customer_keys, list(self._made.items()))

    def seal(self, customer_id: UUID, content: Content, place: bytes) -> Content:
        """`content` with its personal fields in one sealed text, which opens in that place only.

        Without a key they are those of an erased customer.
        """
        personal = {name: content[name] for name in PERSONAL}
        legible = {name: value for name, value in content.items() if name not in PERSONAL}
        cipher = self.cipher(customer_id)
        if cipher is None:
            return legible | _ERASED
        sealed = encrypted(cipher, _encode(personal)[1:-1], place)
        return legible | {"sealed": b64encode(sealed).decode()}

    def open(self, customer_id: UUID, text: str, place: bytes) -> str:
        """The JSON text with what is sealed in it as it was, or as of an erased customer.

        Raises `SealBroken`.
        """
        before, mark, rest = text.partition(_SEALED)
        if not mark:
            return text
        sealed, _, after = rest.partition('"')
        cipher = self.cipher(customer_id)
        if cipher is None:
            return before + _ERASED_TEXT + after
        try:
            personal = decrypted(cipher, b64decode(sealed), place)
        except (InvalidTag, ValueError):
            raise SealBroken(
                f"What is sealed of customer {customer_id} was altered: see 'turnstile verify'."
            ) from None
        return before + personal.decode() + after


def forget(writes: Writes, customer_ids: Collection[UUID]) -> None:
    """Delete the keys of who was erased, and their accounts. The key goes first: who adds an
    account holds it."""
    writes.delete(customer_keys, [(customer_id,) for customer_id in customer_ids])
    for customer_id in customer_ids:
        writes.run(f"DELETE FROM {accounts.name} WHERE subject_id = %s", customer_id)  # nosec B608


def require_master_key(connection: Connection) -> None:
    """Raise `WrongMasterKey` unless the oldest and the newest key there open with ours."""
    for age in (customer_keys.c.customer_id, customer_keys.c.customer_id.desc()):
        for customer_id, wrapped in connection.execute(select(*_COLUMNS).order_by(age).limit(1)):
            vault_of(connection).unwrap(customer_id, bytes(wrapped))


def seal_entries(keys: Keys, writes: Writes, new: Sequence["NewEntry"]) -> Sequence["NewEntry"]:
    """The entries as the log keeps them; makes the keys that are needed and destroys those of
    customers who are erased, with the same transaction. Raises `SealBroken` for the change of who
    has no key here, and had one."""
    if _CONCERNED.isdisjoint(map(_topic_of, new)):
        return new
    changed = [entry.stream_id for entry in new if entry.topic == Customer.Changed.TOPIC]
    keys.load(changed)
    keys.require(changed)
    sealed = [_sealed(keys, entry) for entry in new]
    keys.write(writes)
    return sealed


def open_entries(
    connection: Connection, entries: list["Entry"], *, leave_broken: bool = False
) -> list["Entry"]:
    """The entries with the names in them, "erased" where the customer's key is gone.

    Raises `SealBroken`, unless what does not open is to be left sealed, so that it holds up
    nobody else; as a fact it cannot be read then.
    """
    if TOPICS.isdisjoint(map(_topic_of, entries)):
        return entries
    personal = [entry for entry in entries if entry.topic in TOPICS]
    keys = Keys(connection)
    keys.load(entry.stream_id for entry in personal if is_sealed(entry.payload))
    gone = erased_among(connection, {e.stream_id for e in personal if not is_sealed(e.payload)})
    opened = _opened_or_left if leave_broken else _opened
    return [opened(keys, gone, entry) for entry in entries]


def open_streams(
    connection: Connection, entries: list["Entry"], wrapped: Sequence[bytes | None]
) -> list["Entry"]:
    """The same of whole streams, each entry's wrapped key having been read with it.

    Names that were recorded in plain are left: replayed, such a stream ends erased if it is.
    """
    if TOPICS.isdisjoint(map(_topic_of, entries)):
        return entries
    keys = Keys(connection)
    for entry, key in zip(entries, wrapped, strict=True):
        if entry.topic in TOPICS:
            keys.know(entry.stream_id, key)
    return [_opened(keys, (), entry) for entry in entries]


def erased_among(connection: Connection, customer_ids: Collection[UUID]) -> set[UUID]:
    """Who of them was erased, as the log has it: no key tells of whom was recorded in plain."""
    wanted = list(customer_ids)
    erased: set[UUID] = set()
    for start in range(0, len(wanted), SLICE):
        erased.update(
            connection.execute(_ERASURES, {"ids": wanted[start : start + SLICE]}).scalars()
        )
    return erased


def is_sealed(text: str) -> bool:
    """Whether a part of this JSON text is sealed."""
    return _SEALED in text


def is_personal(content: Content) -> bool:
    """Whether these are fields of a customer's profile."""
    return all(name in content for name in PERSONAL)


def _sealed(keys: Keys, entry: "NewEntry") -> "NewEntry":
    if entry.topic == Customer.Erased.TOPIC:
        keys.destroy(entry.stream_id)
    if entry.topic not in TOPICS:
        return entry
    is_new = entry.topic == Customer.Registered.TOPIC
    if is_new or keys.cipher(entry.stream_id) is None:
        keys.make(entry.stream_id)
    content = msgspec.json.decode(entry.payload)
    content["profile"] = keys.seal(entry.stream_id, content["profile"], _place(entry))
    return entry._replace(payload=_encode(content).decode())


def _opened(keys: Keys, gone: Collection[UUID], entry: "Entry") -> "Entry":
    if entry.topic not in TOPICS:
        return entry
    if entry.stream_id not in gone or is_sealed(entry.payload):
        return entry._replace(payload=keys.open(entry.stream_id, entry.payload, _place(entry)))
    content = msgspec.json.decode(entry.payload)
    content["profile"] |= _ERASED
    return entry._replace(payload=_encode(content).decode())


def _opened_or_left(keys: Keys, gone: Collection[UUID], entry: "Entry") -> "Entry":
    try:
        return _opened(keys, gone, entry)
    except SealBroken:
        return entry


def _place(entry: "Entry | NewEntry") -> bytes:
    return entry.stream_id.bytes + entry.version.to_bytes(4)


def _wrapped(connection: Connection, customer_ids: Sequence[UUID]) -> Iterator[Any]:
    """The wrapped keys that there are, each with its customer."""
    if not customer_ids:
        return
    if is_postgres(connection):
        rows = connection.exec_driver_sql(_ON_POSTGRES, (array_text(customer_ids),)).all()
        yield from ((customer_ids[number - 1], wrapped) for number, wrapped in rows)
        return
    for start in range(0, len(customer_ids), SLICE):
        yield from connection.execute(_KEYS, {"ids": customer_ids[start : start + SLICE]}).all()


_CONCERNED = TOPICS | {Customer.Erased.TOPIC}
_ERASED = {name: getattr(ERASED, name) for name in PERSONAL}
_ERASED_TEXT = _encode(_ERASED)[1:-1].decode()
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_COLUMNS = (customer_keys.c.customer_id, customer_keys.c.wrapped_key)
_KEYS = select(*_COLUMNS).where(customer_keys.c.customer_id.in_(_IDS))
_ERASURES = select(events.c.stream_id).where(
    events.c.stream_id.in_(_IDS), events.c.topic == Customer.Erased.TOPIC
)
_NAMES = ", ".join(f"'{topic}'" for topic in sorted(TOPICS))
WRAPPED_KEY = f"""
CASE WHEN events.topic IN ({_NAMES}) THEN (
     SELECT wrapped_key FROM customer_keys WHERE customer_id = events.stream_id) END
"""  # nosec B608 # names only
"""Of an event that holds a profile: its customer's key, looked up for no other event."""
# Numbers, since the driver takes as long to make an id as it takes to unwrap a key.
_ON_POSTGRES = """
SELECT number, wrapped_key FROM unnest(%s::uuid[]) WITH ORDINALITY AS wanted (id, number)
  JOIN customer_keys ON customer_id = id
"""
