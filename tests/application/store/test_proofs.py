"""Proofs: what they show holds without the database, and nothing else can be shown with them."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec.structs import replace

from application import keys
from application.checkpoints import NoCheckpoint, Unsigned, take_checkpoint
from application.gate import transfer_ticket
from application.history import KINDS
from application.merkle import subtrees_without
from application.orders import pay_order
from application.proofs import (
    NotProven,
    Proof,
    ProvenEvent,
    TooLong,
    check,
    prove,
    read_proof,
)
from application.store import log
from application.store.tree import StoredTree
from domain.customer import Customer, Profile
from domain.errors import NotFound
from tests.application.store.desk import Desk
from tests.application.store.tampering import alter, tampering
from tests.domain.given import ANNA, BORIS, FESTIVAL, NOW

ED25519_IN_DER = bytes.fromhex("302a300506032b6570032100")
"""What stands before a raw public key where other programs read it (RFC 8410)."""
KEY = keys.new_key()


def sell(desk: Desk) -> UUID:
    """The ticket that Anna buys."""
    order_id = UUID(str(desk.place().body["id"]))
    desk.do(pay_order, order_id=order_id, method="card")
    return desk.streams("Ticket.Issued")[-1]


def proof_of(desk: Desk, kind: str, aggregate_id: UUID, **options: Any) -> Proof:
    with desk.engine.connect() as connection:
        return prove(connection, kind, aggregate_id, **options)


@pytest.fixture
def ticket(desk: Desk) -> UUID:
    """A ticket with three versions, others sold before, between and after them."""
    desk.given(Customer.register(BORIS, Profile("Boris", "boris@example.org"), NOW))
    sell(desk)
    ticket_id = sell(desk)
    for holder in (BORIS, ANNA):
        sell(desk)
        desk.do(transfer_ticket, ticket_id=ticket_id, to_customer_id=holder, reason="a gift")
    sell(desk)
    take_checkpoint(desk.engine, KEY.private)
    return ticket_id


def test_a_proof_shows_a_whole_history_without_the_database(desk: Desk, ticket: UUID):
    proof = read_proof(msgspec.json.encode(proof_of(desk, "ticket", ticket)))
    shown = check(proof, [KEY.public])
    with desk.engine.connect() as connection:
        recorded = log.read_stream(connection, ticket)
    assert [entry.topic for entry in shown] == [
        "Ticket.Issued",
        "Ticket.Transferred",
        "Ticket.Transferred",
    ]
    for entry, original in zip(shown, recorded, strict=True):
        assert entry._replace(payload="") == original._replace(payload="")
        theirs, ours = (msgspec.json.decode(one.payload) for one in (entry, original))
        assert theirs.pop("secret") == sha256(ours.pop("secret").encode()).hexdigest()
        assert theirs == ours


def plain_root(leaves: dict[int, bytes], start: int, end: int, others: list[str]) -> bytes:
    """As docs/trust.md words it; takes what it needs of `others`."""
    if not any(start <= number < end for number in leaves):
        return bytes.fromhex(others.pop(0))
    if end - start == 1:
        return leaves[start]
    half = 1
    while half * 2 < end - start:
        half *= 2
    left = plain_root(leaves, start, start + half, others)
    return sha256(b"\x01" + left + plain_root(leaves, start + half, end, others)).digest()


def test_a_proof_can_be_checked_without_our_code(desk: Desk, ticket: UUID):
    proof = json.loads(msgspec.json.encode(proof_of(desk, "ticket", ticket)))
    leaves = {}
    for event in proof["events"]:
        digest = sha256(bytes.fromhex(event["previous"]) + event["event"].encode()).digest()
        leaves[json.loads(event["event"])[0] - 1] = sha256(b"\x00" + digest).digest()
    checkpoint = proof["checkpoint"]
    root = plain_root(leaves, 0, checkpoint["position"], proof["hashes"])
    assert root.hex() == checkpoint["root"]
    assert proof["hashes"] == []
    names = ("position", "hash", "root", "taken_at")
    signed = ["turnstile checkpoint 1", *(checkpoint[name] for name in names)]
    key = load_der_public_key(ED25519_IN_DER + bytes.fromhex(checkpoint["public_key"]))
    assert isinstance(key, Ed25519PublicKey)
    text = json.dumps(signed, separators=(",", ":")).encode()
    key.verify(bytes.fromhex(checkpoint["signature"]), text)


def test_no_secret_is_in_a_proof(desk: Desk, ticket: UUID):
    text = msgspec.json.encode(proof_of(desk, "ticket", ticket)).decode()
    secrets = {desk.stored(ticket).secret, *desk.stored(ticket).old_secrets}
    assert len(secrets) == 3
    assert not any(secret in text for secret in secrets)


def test_every_kind_is_proven(desk: Desk, ticket: UUID):
    ids = {
        "event": FESTIVAL,
        "customer": ANNA,
        "ticket": ticket,
        "order": desk.streams("Order.Paid")[1],
    }
    assert set(ids) == set(KINDS)
    for kind, aggregate_id in ids.items():
        with desk.engine.connect() as connection:
            versions = len(log.read_stream(connection, aggregate_id))
        assert len(check(proof_of(desk, kind, aggregate_id))) == versions
        for other in set(ids) - {kind}:
            with pytest.raises(NotFound):
                proof_of(desk, other, aggregate_id)


def test_what_no_checkpoint_covers_is_not_in_a_proof(desk: Desk, ticket: UUID):
    before = proof_of(desk, "ticket", ticket)
    desk.do(transfer_ticket, ticket_id=ticket, to_customer_id=BORIS, reason="")
    assert proof_of(desk, "ticket", ticket) == before
    with pytest.raises(NoCheckpoint, match="after the latest checkpoint"):
        proof_of(desk, "ticket", sell(desk))
    take_checkpoint(desk.engine, KEY.private)
    assert len(check(proof_of(desk, "ticket", ticket))) == 4
    assert len(check(before)) == 3, "A proof shows what was, and not that this is all."


def test_without_a_checkpoint_nothing_is_proven(desk: Desk):
    with pytest.raises(NoCheckpoint):
        proof_of(desk, "event", FESTIVAL)
    take_checkpoint(desk.engine, keys.new_key().private)
    assert len(proof_of(desk, "event", FESTIVAL).events) > 0
    with pytest.raises(NoCheckpoint):
        proof_of(desk, "event", FESTIVAL, public_key=KEY.public)


def test_a_history_may_be_too_long_for_one_answer(desk: Desk, ticket: UUID):
    assert len(proof_of(desk, "ticket", ticket, at_most=3).events) == 3
    with pytest.raises(TooLong):
        proof_of(desk, "ticket", ticket, at_most=2)


def with_event(proof: Proof, number: int, old: str, new: str) -> Proof:
    event = proof.events[number].event
    assert old in event
    events = list(proof.events)
    events[number] = replace(events[number], event=event.replace(old, new, 1))
    return replace(proof, events=events)


def with_previous(proof: Proof, previous: str) -> Proof:
    return replace(proof, events=[replace(proof.events[0], previous=previous), *proof.events[1:]])


def signed_anew(proof: Proof, **altered: Any) -> Proof:
    """With another checkpoint, signed by somebody else."""
    other = keys.new_key()
    checkpoint = replace(proof.checkpoint, public_key=other.public, **altered)
    signature = keys.sign(other.private, checkpoint.signed_text())
    return replace(proof, checkpoint=replace(checkpoint, signature=signature))


Forge = Callable[[Proof], Proof]
FORGERIES: dict[str, Forge] = {
    "another reason": lambda proof: with_event(proof, 1, "a gift", "a sale"),
    "another person": lambda proof: with_event(proof, 2, str(ANNA), str(BORIS)),
    "another actor": lambda proof: with_event(proof, 1, "ada", "eve"),
    "another time": lambda proof: with_event(proof, 1, "2026", "2025"),
    "another text of the same": lambda proof: with_event(proof, 0, ",1,", ", 1,"),
    "no event": lambda proof: with_event(proof, 0, "[", ""),
    "the first left out": lambda proof: replace(proof, events=proof.events[1:]),
    "one left out": lambda proof: replace(proof, events=[*proof.events[:1], *proof.events[2:]]),
    "the last left out": lambda proof: replace(proof, events=proof.events[:-1]),
    "nothing at all": lambda proof: replace(proof, events=[]),
    "one twice": lambda proof: replace(proof, events=[*proof.events, proof.events[-1]]),
    "another order": lambda proof: replace(proof, events=proof.events[::-1]),
    "another id": lambda proof: replace(proof, id=uuid4()),
    "another kind": lambda proof: replace(proof, kind="order"),
    "an unknown kind": lambda proof: replace(proof, kind="ship"),
    "another event before": lambda proof: with_previous(proof, "00" * 32),
    "no hash before": lambda proof: with_previous(proof, "xyz"),
    "a hash too few": lambda proof: replace(proof, hashes=proof.hashes[:-1]),
    "a hash too many": lambda proof: replace(proof, hashes=[*proof.hashes, "00" * 32]),
    "another hash": lambda proof: replace(proof, hashes=["00" * 32, *proof.hashes[1:]]),
    "no hashes": lambda proof: replace(proof, hashes=[]),
    "another root": lambda proof: signed_anew(proof, root="00" * 32),
    "a shorter log": lambda proof: signed_anew(proof, position=proof.checkpoint.position - 1),
    "an empty log": lambda proof: signed_anew(proof, position=0),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_proof_proves_nothing(desk: Desk, ticket: UUID, forge: Forge):
    with pytest.raises(NotProven):
        check(forge(proof_of(desk, "ticket", ticket)))


def proof_with_only(desk: Desk, whole: Proof, *numbers: int) -> Proof:
    """What a dishonest owner of the log can make: a proof that holds, of some of the events."""
    events = [whole.events[number] for number in numbers]
    leaves = [event.entry().position - 1 for event in events]
    size = whole.checkpoint.position
    with desk.engine.connect() as connection:
        tree = StoredTree(connection, size)
        hashes = [digest.hex() for digest in subtrees_without(leaves, 0, size, tree.root)]
    return replace(whole, events=events, hashes=hashes)


def test_nobody_can_leave_out_an_event_before_the_last(desk: Desk, ticket: UUID):
    whole = proof_of(desk, "ticket", ticket)
    for numbers in ((1, 2), (0, 2), (1,), (2,)):
        with pytest.raises(NotProven, match="is missing"):
            check(proof_with_only(desk, whole, *numbers))
    assert len(check(proof_with_only(desk, whole, 0, 1))) == 2, "The last one can be withheld."


def invented(event: ProvenEvent, position: int, version: int) -> ProvenEvent:
    columns = msgspec.json.decode(event.event)
    columns[0], columns[2] = position, version
    return replace(event, event=msgspec.json.encode(columns).decode())


def test_nobody_can_invent_an_event_behind_the_checkpoint(desk: Desk, ticket: UUID):
    whole = proof_of(desk, "ticket", ticket)
    for position in (whole.checkpoint.position + 1, 0, -1):
        more = invented(whole.events[2], position, version=4)
        with pytest.raises(NotProven, match="wrong place"):
            check(replace(whole, events=[*whole.events, more]))


def test_nobody_can_invent_an_event_where_another_stands(desk: Desk, ticket: UUID):
    whole = proof_of(desk, "ticket", ticket)
    forged = proof_with_only(desk, whole, 0, 2)
    first, third = forged.events
    instead = invented(whole.events[1], third.entry().position, version=2)
    with pytest.raises(NotProven, match="wrong place"):
        check(replace(forged, events=[first, instead, third]))


def test_a_checkpoint_that_was_not_signed_proves_nothing(desk: Desk, ticket: UUID):
    proof = proof_of(desk, "ticket", ticket)
    altered = replace(proof.checkpoint, root="00" * 32)
    with pytest.raises(Unsigned):
        check(replace(proof, checkpoint=altered))


def test_what_somebody_else_has_signed_counts_only_where_nobody_is_trusted(
    desk: Desk, ticket: UUID
):
    forged = signed_anew(proof_of(desk, "ticket", ticket))
    assert check(forged)
    with pytest.raises(Unsigned):
        check(forged, [KEY.public])


def test_an_altered_log_proves_nothing(desk: Desk, ticket: UUID):
    with desk.engine.connect() as connection:
        position = log.read_stream(connection, ticket)[1].position
    with tampering(desk.engine) as connection:
        alter(connection, position, metadata='{"actor":"eve"}')
    with pytest.raises(NotProven):
        proof_of(desk, "ticket", ticket)
    assert check(proof_of(desk, "event", FESTIVAL))


@pytest.mark.parametrize("text", [b"", b"[]", b'{"format": 1}', b"\xff", b"\x1f\x8b"])
def test_what_is_no_proof_is_said_so(text: bytes):
    with pytest.raises(NotProven, match="not a proof"):
        read_proof(text)


def test_a_proof_of_another_form_is_said_so(desk: Desk, ticket: UUID):
    later = replace(proof_of(desk, "ticket", ticket), format="turnstile proof 2")
    with pytest.raises(NotProven, match="turnstile proof 1"):
        read_proof(msgspec.json.encode(later))
