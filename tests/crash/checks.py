"""What must hold of a box office whatever happened to its processes: each check names its faults.

A check is a plain function over a database; it gives one sentence for each fault, none if all
is well. The log must be at rest, unless the check says otherwise.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, func, select, true

from application.composition import Turnstile
from application.jobs import DONE, jobs
from application.store import log
from application.store.log import GENESIS, Entry, chained_hash
from application.store.mapper import to_fact
from application.store.tables import events, log_head
from domain.aggregate import Fact
from domain.event import Event
from domain.order import Order
from projections.engine.read_model import ReadModel
from projections.engine.rebuild import rebuild
from projections.engine.shadow import RebuildRuns
from projections.engine.tables import parked
from projections.registry import READ_MODELS
from tests.crash.load import OUTCOMES, Answered
from tests.workers.festival import Rows, rows_of
from tests.workers.processes import eventually

Faults = list[str]

SHOWN = 5
WHOLE_LOG = 10_000_000
EVIDENCE = ("Order.PaymentRefused", "Ticket.TransferRefused")
"""What a refused command may leave behind."""


# The log


def positions_have_no_gap(connection: Connection) -> Faults:
    """Positions run from 1 to the head; this holds at any moment."""
    # In one statement: PostgreSQL may still be committing what a killed process asked for.
    query = select(log_head.c.position.label("head"), events.c.position.label("found"))
    rows = connection.execute(query.select_from(log_head.outerjoin(events, true()))).all()
    head = rows[0].head
    found, expected = {row.found for row in rows} - {None}, set(range(1, head + 1))
    return [
        *_listed(expected - found, f"The log ends at {head}, but has no position"),
        *_listed(found - expected, f"The log ends at {head}, but has position"),
    ]


def streams_have_no_gap(connection: Connection) -> Faults:
    """The versions of each stream run from 1 to its last."""
    version, count = events.c.version, func.count()
    query = (
        select(events.c.stream_id, count.label("count"), func.max(version).label("last"))
        .group_by(events.c.stream_id)
        .having((count != func.max(version)) | (func.min(version) != 1))
    )
    return [
        f"Stream {row.stream_id} has {row.count} events, but ends at version {row.last}."
        for row in connection.execute(query)
    ]


def chain_is_closed(connection: Connection) -> Faults:
    """Each event's hash follows from the one before, and the head's is that of the last."""
    chain = GENESIS
    for row in connection.execute(select(*events.c).order_by(events.c.position)):
        chain = chained_hash(chain, Entry(*row))
        if bytes(row.hash) != chain:
            return [f"The hash chain is broken at position {row.position}."]
    at_head = bytes(connection.execute(select(log_head.c.hash)).scalar_one())
    return [] if at_head == chain else ["The head's hash is not that of the last event."]


# What clients were told


def every_answer_is_recorded(connection: Connection, answers: Sequence[Answered]) -> Faults:
    """What was accepted is in the log, where the answer says; what was refused is not."""
    recorded = _by_request(connection)
    return [
        f"{answer}, but {fault}"
        for answer in answers
        for fault in _contradictions(answer, recorded.get(answer.key, []))
    ]


def no_command_took_effect_twice(connection: Connection) -> Faults:
    """However often a command was sent, it had one outcome."""
    return [
        f"Command {key} had {len(outcomes)} outcomes: {_some(map(str, outcomes))}."
        for key, recorded in _by_request(connection).items()
        for outcomes in (_outcomes(kind, recorded) for kind in OUTCOMES)
        if len(outcomes) > 1
    ]


class _Recorded(NamedTuple):
    position: int
    topic: str

    def __str__(self) -> str:
        return f"{self.topic} at {self.position}"


def _by_request(connection: Connection) -> Mapping[str, list[_Recorded]]:
    """What each request left in the log, in order."""
    recorded: dict[str, list[_Recorded]] = defaultdict(list)
    query = select(events.c.position, events.c.topic, events.c.metadata)
    for row in connection.execute(query.order_by(events.c.position)):
        if request_id := json.loads(row.metadata).get("request_id"):
            recorded[request_id].append(_Recorded(row.position, row.topic))
    return recorded


def _outcomes(kind: str, recorded: Sequence[_Recorded]) -> list[_Recorded]:
    return [one for one in recorded if one.topic in OUTCOMES[kind]]


def _contradictions(answer: Answered, recorded: Sequence[_Recorded]) -> Iterator[str]:
    outcomes = _outcomes(answer.kind, recorded)
    if answer.accepted:
        if not outcomes:
            yield "nothing of it is recorded."
        elif recorded[-1].position != answer.position:
            yield f"its last event is {recorded[-1]}."
    elif wrong := [one for one in outcomes if one.topic not in EVIDENCE]:
        yield f"it left {_some(map(str, wrong))}."


def every_job_is_done(connection: Connection, job_ids: Collection[UUID]) -> Faults:
    """What workers were asked for, and the asking answered, was done."""
    query = select(jobs).where(jobs.c.id.in_(job_ids), jobs.c.state != DONE)
    return [
        f"The {row.kind} of {row.subject} is {row.state}: {row.outcome}."
        for row in connection.execute(query)
    ]


# What was sold


def nothing_oversold(connection: Connection) -> Faults:
    """Never were more tickets held and sold than there were, of an event or of one type.

    Counted from the orders, not from the counters that the event keeps itself.
    """
    limits: dict[UUID, int | None] = {}
    taken: Counter[UUID] = Counter()
    faults = []
    for fact in map(to_fact, log.read(connection, limit=WHOLE_LOG)):
        limits.update(_limits(fact))
        for what, quantity in _taken(fact).items():
            taken[what] += quantity
            limit = limits.get(what)
            if limit is not None and not 0 <= taken[what] <= limit:
                faults.append(f"At position {fact.position}, {taken[what]} of {limit} are taken.")
    return faults


def _limits(fact: Fact) -> dict[UUID, int | None]:
    """The limits that the fact sets, by event or ticket type."""
    match fact:
        case Event.Drafted() | Event.Changed():
            return {fact.originator_id: fact.details.capacity}
        case Event.TicketTypeAdded() | Event.TicketTypeChanged():
            return {fact.ticket_type_id: fact.terms.quantity}
    return {}


def _taken(fact: Fact) -> dict[UUID, int]:
    """How many more tickets are held or sold, by ticket type, and of the event in all."""
    match fact:
        case Order.Placed():
            kinds = {line.ticket_type_id: len(line.ticket_ids) for line in fact.lines}
        case Order.Cancelled() | Order.Expired() | Order.Refunded():
            kinds = {kind: -quantity for kind, quantity in fact.quantities.items()}
        case _:
            return {}
    return {**kinds, fact.sale.event_id: sum(kinds.values())}


# Read models


def nothing_is_parked(connection: Connection) -> Faults:
    """Every read model could take every event."""
    return [
        f"{row.read_model} has parked position {row.position}: {row.error.splitlines()[0]}"
        for row in connection.execute(select(parked))
    ]


def read_models_equal_rebuilt(turnstile: Turnstile) -> Faults:
    """Each table has the rows that it has after a rebuild from nothing, which is done for this."""
    live = rows_of(turnstile)
    for model in READ_MODELS:
        eventually(partial(_rebuilt, turnstile, model), pause=0.5)
    return _differences(live, rows_of(turnstile))


def _rebuilt(turnstile: Turnstile, model: ReadModel) -> bool:
    """Whether it could be done: the lease of a rebuild that was killed runs out by itself."""
    try:
        rebuild(turnstile, model)
    except RebuildRuns:
        return False
    return True


def _differences(live: Rows, rebuilt: Rows) -> Faults:
    faults = []
    for table, rows in live.items():
        too_many, missing = Counter(rows), Counter(rebuilt[table])
        faults += _listed((too_many - missing).elements(), f"{table} has, unlike a rebuild,")
        faults += _listed((missing - too_many).elements(), f"{table} lacks, unlike a rebuild,")
    return faults


# Words


def _listed(found: Any, sentence: str) -> Faults:
    """A fault that ends in what was found, if anything was."""
    values = sorted(found)
    return [f"{sentence} {_some(map(str, values))}."] if values else []


def _some(values: Any) -> str:
    listed = list(values)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
