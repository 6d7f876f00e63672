"""What names a customer: sealed in the log, opened by whoever has the keys, told by no error."""

import traceback
from datetime import UTC, datetime
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given, strategies
from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import DBAPIError

from application.access import accounts
from application.access.access import Access
from application.customers import change_customer, erase_customer, register_customer
from application.store import log
from application.store.database import open_engine, vault_of, writing
from application.store.mapper import to_new_entry
from application.store.sealing import Keys, SealBroken, require_master_key, seal_entries
from application.store.tables import customer_keys, events
from application.store.vault import Vault, WrongMasterKey, decrypted, encrypted, new_key
from application.store.writes import MANY, writes_to
from domain.customer import ERASED, Customer, Profile
from domain.errors import CustomerErased
from projections.customers import customer_words, customers
from tests.application.store.conftest import OpenDesk
from tests.application.store.desk import Desk, command
from tests.application.store.tampering import alter, chain_anew, tampering
from tests.domain.given import ANNA, BORIS, NOW, registered
from tests.statements import hearing, statements

ADA = Profile("Ada Lovelace", "ada@example.org", "+44 20 7946", "GB")


def payloads(engine: Engine, customer_id: UUID) -> list[str]:
    query = select(events.c.payload).where(events.c.stream_id == customer_id)
    with engine.connect() as connection:
        return list(connection.execute(query.order_by(events.c.version)).scalars())


def read(engine: Engine, customer_id: UUID) -> list[str]:
    with engine.connect() as connection:
        return [entry.payload for entry in log.read_stream(connection, customer_id)]


def has_key(engine: Engine, customer_id: UUID) -> bool:
    with engine.connect() as connection:
        return Keys(connection).cipher(customer_id) is not None


def register(desk: Desk, profile: Profile = ADA, customer_id: UUID = BORIS) -> None:
    desk.do(register_customer, customer_id=customer_id, profile=profile)


@given(strategies.binary(), strategies.binary(max_size=40), strategies.uuids())
def test_what_is_wrapped_and_encrypted_opens_in_its_own_place_only(
    content: bytes, place: bytes, customer_id: UUID
) -> None:
    vault = Vault("ab" * 32)
    key = new_key()
    wrapped = vault.wrap(customer_id, key)
    assert vault.unwrap(customer_id, wrapped) == key
    assert key not in wrapped
    for other, owner in ((vault, UUID(int=customer_id.int ^ 1)), (Vault("cd" * 32), customer_id)):
        with pytest.raises(WrongMasterKey):
            other.unwrap(owner, wrapped)
    cipher = vault._master
    sealed = encrypted(cipher, content, place)
    assert decrypted(cipher, sealed, place) == content
    assert encrypted(cipher, content, place) != sealed
    with pytest.raises(InvalidTag):
        decrypted(cipher, sealed, place + b"x")


def test_the_log_keeps_the_country_and_seals_the_rest(desk: Desk) -> None:
    register(desk)
    (stored,) = payloads(desk.engine, BORIS)
    assert stored.startswith('{"v":1,"profile":{"country":"GB","sealed":"')
    assert stored.endswith('"},"role":"attendee"}')
    assert not any(word in stored for word in ("Ada", "ada@", "7946"))
    (opened,) = read(desk.engine, BORIS)
    assert all(word in opened for word in ("Ada Lovelace", "ada@example.org", "+44 20 7946"))
    assert desk.stored(BORIS).profile == ADA


@pytest.mark.parametrize(
    "name",
    ['"sealed":"', '\\"', "\\", "Zoë Ōkami 🎟", '","email":"x', "a\tb\nc", "a\u2028b", "x" * 200],
)
def test_any_name_comes_back_as_it_was(desk: Desk, name: str) -> None:
    profile = Profile(name, "a@example.org", '"sealed":"', "GB")
    register(desk, profile)
    assert desk.stored(BORIS).profile == profile
    desk.do(erase_customer, customer_id=BORIS)
    assert desk.stored(BORIS).profile == ERASED


def test_each_customer_has_a_key_that_is_kept_until_they_are_erased(desk: Desk) -> None:
    register(desk)
    desk.do(change_customer, customer_id=BORIS, changes={"name": "Ada King"})
    with desk.engine.connect() as connection:
        stored = connection.execute(select(customer_keys)).all()
        assert {row.customer_id for row in stored} == {ANNA, BORIS}
        vault = vault_of(connection)
        wrapped = {row.customer_id: bytes(row.wrapped_key) for row in stored}
    assert len({vault.unwrap(*item) for item in wrapped.items()}) == 2
    desk.do(erase_customer, customer_id=BORIS)
    assert not has_key(desk.engine, BORIS)
    assert has_key(desk.engine, ANNA)
    assert all(
        '"name":"erased","email":"","phone":""' in text for text in read(desk.engine, BORIS)[:2]
    )
    assert "Ada" not in str(read(desk.engine, BORIS))
    assert desk.stored(ANNA).profile.name == registered().profile.name


def test_who_comes_and_goes_in_one_batch_leaves_no_key(desk: Desk) -> None:
    desk.do_all(
        command(register_customer, customer_id=BORIS, profile=ADA),
        command(change_customer, customer_id=BORIS, changes={"name": "Ada King"}),
        command(erase_customer, customer_id=BORIS),
        command(register_customer, customer_id=UUID(int=77), profile=ADA),
    )
    assert not has_key(desk.engine, BORIS)
    assert has_key(desk.engine, UUID(int=77))
    assert len(payloads(desk.engine, BORIS)) == 3
    assert desk.stored(BORIS).profile == ERASED


def test_a_batch_that_fails_makes_and_destroys_no_key(desk: Desk, open_desk: OpenDesk) -> None:
    register(desk)
    other = open_desk()
    failures = []

    def fail(_: Connection, statement: str) -> None:
        if "customer_keys" in statement and "DELETE" in statement:
            failures.append(statement)
            raise RuntimeError("power cut")

    with hearing(other.batching, before=fail):
        outcome = other.do_all(command(erase_customer, customer_id=BORIS))[0]
    assert failures
    assert isinstance(outcome, Exception)
    assert has_key(desk.engine, BORIS)
    assert desk.stored(BORIS).profile == ADA


def test_another_process_that_knew_the_name_has_forgotten_it(
    desk: Desk, open_desk: OpenDesk
) -> None:
    register(desk)
    other = open_desk()
    other.do(change_customer, customer_id=BORIS, changes={"phone": ""})
    assert other.cached(BORIS).profile.name == "Ada Lovelace"
    desk.do(erase_customer, customer_id=BORIS)
    assert other.do(erase_customer, customer_id=BORIS).body["name"] == "erased"
    with pytest.raises(CustomerErased):
        other.do(change_customer, customer_id=BORIS, changes={"name": "Ada King"})


def test_who_is_erased_while_they_get_an_account_has_none_in_the_end(
    desk: Desk, open_desk: OpenDesk
) -> None:
    register(desk)
    access, other = Access(desk.engine, desk.engine), open_desk()
    new = accounts.prepare("ada@example.org", "correct horse battery", "attendee", BORIS)
    erasing = Thread(target=other.do, args=(erase_customer,), kwargs={"customer_id": BORIS})
    with access.changing() as connection:
        accounts.add(connection, new)
        erasing.start()
        erasing.join(0.5)
    erasing.join(10)
    assert not has_key(desk.engine, BORIS)
    with desk.engine.connect() as connection:
        assert accounts.of_subject(connection, BORIS) == []


def test_changes_and_an_erasure_at_once_end_erased(desk: Desk, open_desk: OpenDesk) -> None:
    register(desk)
    desks = [desk, open_desk(), open_desk()]

    def change(at: Desk, number: int) -> None:
        for turn in range(10):
            changes = {"name": f"Ada {number} {turn}"}
            at.do_all(command(change_customer, customer_id=BORIS, changes=changes))

    threads = [Thread(target=change, args=(at, number)) for number, at in enumerate(desks)]
    for thread in threads:
        thread.start()
    desks[1].do(erase_customer, customer_id=BORIS)
    for thread in threads:
        thread.join()
    assert not has_key(desk.engine, BORIS)
    assert desk.stored(BORIS).profile == ERASED
    assert "Ada" not in str(read(desk.engine, BORIS))


def test_a_sealed_text_in_another_place_is_refused(desk: Desk) -> None:
    register(desk)
    desk.do(change_customer, customer_id=BORIS, changes={"name": "Ada King"})
    first, second = (text.partition('"sealed":"') for text in payloads(desk.engine, BORIS))
    swapped = second[2].partition('"')[0] + '"' + first[2].partition('"')[2]
    for sealed in (swapped, "A" + first[2], f'?"{first[2]}'):
        with tampering(desk.engine) as connection:
            connection.execute(
                update(events)
                .where(events.c.stream_id == BORIS, events.c.version == 1)
                .values(payload=first[0] + first[1] + sealed)
            )
        with pytest.raises(SealBroken, match=f"{BORIS} was altered"):
            read(desk.engine, BORIS)


def test_a_customer_from_before_gets_a_key_with_the_next_change(desk: Desk) -> None:
    fact = registered().pending_events[0]
    plain = to_new_entry(fact, "{}").payload  # type: ignore[arg-type]
    with tampering(desk.engine) as connection:
        position = connection.execute(
            select(events.c.position).where(events.c.stream_id == ANNA)
        ).scalar_one()
        alter(connection, position, payload=plain)
        chain_anew(connection)
        connection.execute(customer_keys.delete())
    other = Desk(desk.engine)
    other.do(change_customer, customer_id=ANNA, changes={"name": "Anna Berg"})
    assert [text.count('"sealed"') for text in payloads(desk.engine, ANNA)] == [0, 1]
    assert other.stored(ANNA).profile.name == "Anna Berg"
    assert read(desk.engine, ANNA)[0] == plain
    other.do(erase_customer, customer_id=ANNA)
    assert payloads(desk.engine, ANNA)[0] == plain
    for text in read(desk.engine, ANNA)[:2]:
        assert '"name":"erased","email":"","phone":""' in text
        assert "Anna" not in text
        assert "sealed" not in text
    assert other.stored(ANNA).profile == ERASED


def test_an_order_makes_no_statement_more(desk: Desk, open_desk: OpenDesk) -> None:
    desk.place()
    other = open_desk()
    with statements(other.batching) as asked:
        other.place()  # by a customer whom it has to load
        other.place()
    with_keys = [statement for statement in asked if "customer_keys" in statement]
    assert with_keys
    assert all("events" in statement for statement in with_keys)


def test_entries_of_others_are_left_alone(desk: Desk) -> None:
    entries = [log.NewEntry(UUID(int=7), 1, "Another.Thing", "plain", "{}", NOW)]
    with desk.engine.connect() as connection, writes_to(connection) as writes:
        assert seal_entries(Keys(connection), writes, entries) is entries


def test_keys_of_another_master_key_are_an_error_and_nobody_is_erased(
    desk: Desk, migrated_url: str
) -> None:
    other = open_engine(migrated_url, Vault("ab" * 32))
    with pytest.raises(WrongMasterKey, match=str(ANNA)):
        read(other, ANNA)
    other.dispose()


@pytest.mark.parametrize("customer_id", [ANNA, BORIS])
def test_a_master_key_has_to_open_the_oldest_key_and_the_newest(
    desk: Desk, customer_id: UUID
) -> None:
    register(desk)
    with writing(desk.engine) as connection:
        require_master_key(connection)
        of_another = Vault("ab" * 32).wrap(customer_id, new_key())
        its_key = update(customer_keys).where(customer_keys.c.customer_id == customer_id)
        connection.execute(its_key.values(wrapped_key=of_another))
        with pytest.raises(WrongMasterKey, match=str(customer_id)):
            require_master_key(connection)


@pytest.mark.parametrize("rows", [1, MANY])
def test_no_error_of_the_database_shows_a_row(engine: Engine, rows: int) -> None:
    taken = [(BORIS, f"{ADA.name} {number}", ADA.name) for number in range(rows)]
    unfinished = {"id": BORIS, "name": ADA.name, "email": ADA.email}
    with writing(engine) as connection:
        _write(connection, taken)
    for attempt in (
        lambda: _write(connection, taken),
        lambda: connection.execute(insert(customer_words).values(taken[0])),
        lambda: connection.execute(insert(customers), [unfinished | {"registered_at": None}]),
    ):
        with pytest.raises(DBAPIError) as raised, writing(engine) as connection:
            attempt()
        said = "".join(traceback.format_exception(raised.value))
        assert "NULL" in said.upper() or "UNIQUE" in said.upper()
        assert "Ada" not in said


def _write(connection: Any, rows: list[Any]) -> None:
    with writes_to(connection) as writes:
        writes.insert(customer_words, rows)


def test_no_customer_is_in_a_line_that_is_logged(desk: Desk, logs: list[Any]) -> None:
    register(desk)
    assert isinstance(desk.do_all(command(_fail, customer_id=BORIS))[0], RuntimeError)
    assert [line["event"] for line in logs] == ["command.failed"]
    assert "Ada" not in str(logs)


def _fail(work: Any, customer_id: UUID) -> None:
    customer = work.load(Customer, customer_id)
    raise RuntimeError(f"{type(customer).__name__} at {datetime.now(UTC)}")
