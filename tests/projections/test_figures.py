"""Figures as of some moment: the read models' own, and traced to what moved them."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import pytest

from application.store import log
from application.store.database import writing
from application.store.mapper import to_new_entry
from domain.aggregate import Aggregate, Fact
from domain.event import Event
from domain.gate import Unmatched
from domain.ticket import Ticket
from projections.engine.projector import Projector
from projections.event_summaries import low_capacity, upcoming
from projections.figures import NAMES, figures, sources
from projections.gate_statistics import totals_of
from projections.ticket_type_sales import top
from tests import appending
from tests.domain.given import (
    ADULT,
    BORIS,
    CLARA,
    DOORS,
    FESTIVAL,
    KID,
    NOW,
    OTHER_FESTIVAL,
    details,
    terms,
)
from tests.projections.conftest import Given
from tests.projections.making import HOUR, UNKNOWN, asked, elsewhere, forged, scanned, ticket
from tests.projections.sales import ids, let_go, on_sale, paid, placed, refund

MINUTE = timedelta(minutes=1)
SUMMED = [name for name in NAMES if name not in {"last_updated", "percentage_tickets_remaining"}]


class Told(NamedTuple):
    """A fact, and when the box office learned of it."""

    fact: Fact
    recorded_at: datetime


def live(given: Given, event_id=FESTIVAL) -> dict[str, Any]:
    """What the read models say of an event that is on sale."""
    with given.connection() as connection:
        summaries = upcoming(connection, NOW, limit=200)["items"]
        low = {item["id"]: item for item in low_capacity(connection, 100, limit=200)["items"]}
        types = top(connection, limit=200)["items"]
        gates = totals_of(connection, event_id)
    assert gates is not None
    summary = next(item for item in summaries if item["event_id"] == event_id)
    percentage = low.get(event_id, {}).get("percentage_tickets_remaining")
    sold = {item["id"]: item["units_sold"] for item in types if item["event_id"] == event_id}
    return {
        **gates,
        **summary,
        "percentage_tickets_remaining": percentage,
        "units_sold": sold,
    }


def stand(given: Given, event_id=FESTIVAL, **moment: Any) -> dict[str, Any]:
    """The figures, in the shape of `live`."""
    shown = asked(given, figures, event_id, **moment)
    sold = {kind["id"]: kind["units_sold"] for kind in shown.pop("ticket_types")}
    del shown["at"], shown["by"]
    return shown | {"units_sold": sold}


def moves(given: Given, name: str, event_id=FESTIVAL, **moment: Any) -> list[tuple[Any, Any, Any]]:
    """Before, after and contribution of every source of a figure."""
    items = asked(given, sources, event_id, name, limit=10_000, **moment)["items"]
    return [(item["before"], item["after"], item["contribution"]) for item in items]


def record(given: Given, told: list[Told]) -> None:
    """Append these facts, each as if at its own time, and let every read model take them."""
    with writing(given.turnstile.engine) as connection:
        head = log.lock_head(connection)
        for fact, recorded_at in told:
            head = appending.append(connection, head, [to_new_entry(fact, "{}")], recorded_at)
    Projector(given.turnstile).catch_up()


def random_life(seed: int) -> list[Told]:
    """Two festivals that sell, refund, admit and refuse; much of it is reported late."""
    chance, clock = Random(seed), NOW
    festivals = [
        Event.draft(FESTIVAL, details(capacity=chance.choice([None, 200])), NOW),
        Event.draft(OTHER_FESTIVAL, details(title="Harvest", capacity=300), NOW),
    ]
    kinds = {}
    for event in festivals:
        kinds[event.id] = {"Adult": next(ids), "Kid": next(ids)}
        for name, type_id in kinds[event.id].items():
            event.add_ticket_type(type_id, terms(name=name, price=1999, quantity=None), NOW)
        event.publish(NOW)
    orders: dict[Any, list[Any]] = {event.id: [] for event in festivals}
    tickets: list[Ticket] = []
    told = [Told(fact, NOW) for event in festivals for fact in collected(event)]
    for step in range(120):
        clock += MINUTE
        at = clock - chance.choice([0, 0, 1]) * MINUTE * chance.randrange(200)
        event = chance.choice(festivals)
        touched: list[Aggregate] = [event]
        match chance.randrange(8):
            case 0 | 1:
                orders[event.id].append(paid(event, chance.randrange(1, 4), "Adult", at=at))
            case 2:
                orders[event.id].append(paid(event, 1, "Kid", at=at))
            case 3:
                order = placed(event, 2, "Kid", at=at)
                if chance.random() < 0.5:
                    let_go(event, order, at)
            case 4 if orders[event.id]:
                refund(event, orders[event.id].pop(), count=1, at=at)
            case 5:
                kind = chance.choice(list(kinds[event.id].values()))
                tickets.append(ticket(next(ids), event_id=event.id, ticket_type_id=kind, at=clock))
                touched = [tickets[-1]]
            case 6 if tickets:
                shown = chance.choice(tickets)
                shown.transfer(chance.choice([BORIS, CLARA]), f"{step}", "", why_not=None, now=at)
                touched = [shown]
            case 7 if tickets:
                shown = scanned(chance.choice(tickets), at, event_id=event.id)
                touched = [shown, forged(event.id, at, shown=f"forged {step}")]
        told += [Told(fact, clock) for item in touched for fact in collected(item)]
    return told


def collected(aggregate: Aggregate) -> Iterator[Fact]:
    return aggregate.collect_events()  # type: ignore[return-value]


def counted(facts: list[Fact], event_id=FESTIVAL) -> dict[str, Any]:
    """The plain sums of what these facts say of the event."""
    sums: Counter[str] = Counter()
    pence = 0
    for fact in facts:
        match fact:
            case Event.TicketsHeld() if fact.originator_id == event_id:
                sums["tickets_held"] += sum(fact.quantities.values())
            case Event.HoldReleased() if fact.originator_id == event_id:
                sums["tickets_held"] -= sum(fact.quantities.values())
            case Event.TicketsSold() if fact.originator_id == event_id:
                sums["tickets_held"] -= sum(fact.quantities.values())
                sums["total_tickets_sold"] += sum(fact.quantities.values())
                pence += fact.amount
            case Event.TicketsReturned() if fact.originator_id == event_id:
                sums["total_tickets_sold"] -= sum(fact.quantities.values())
                pence -= fact.amount
            case Ticket.Admitted() | Ticket.LetOut() if fact.scan.event_id == event_id:
                sums["valid_scan_count"] += 1
            case Ticket.ScanRefused() | Unmatched.Presented() if fact.scan.event_id == event_id:
                sums["invalid_scan_count"] += 1
            case Ticket.Transferred() if fact.event_id == event_id:
                sums["successful_transfer_count"] += 1
            case Ticket.TransferRefused() if fact.event_id == event_id:
                sums["failed_transfer_count"] += 1
    names = (
        *("tickets_held", "total_tickets_sold", "valid_scan_count", "invalid_scan_count"),
        *("successful_transfer_count", "failed_transfer_count"),
    )
    return {name: sums[name] for name in names} | {"total_revenue": f"{pence / 100:.2f}"}


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_the_read_models_now_and_plain_sums_at_any_moment(given, seed):
    told = random_life(seed)
    record(given, told)
    for event_id in (FESTIVAL, OTHER_FESTIVAL):
        assert stand(given, event_id) == live(given, event_id)
        end = told[-1].recorded_at
        assert stand(given, event_id, at=end, by="recorded") == live(given, event_id)
        for minutes in (0, 17, 60, 119):
            at = NOW + minutes * MINUTE
            happened = counted([fact for fact, _ in told if fact.occurred_at <= at], event_id)
            known = counted([fact for fact, recorded in told if recorded <= at], event_id)
            assert happened.items() <= stand(given, event_id, at=at).items()
            assert known.items() <= stand(given, event_id, at=at, by="recorded").items()


@pytest.mark.parametrize("seed", [4, 5])
def test_what_the_sources_of_a_figure_add_up_to_is_the_figure(given, seed):
    record(given, random_life(seed))
    for moment in ({}, {"at": NOW + HOUR}, {"at": NOW + HOUR, "by": "recorded"}):
        shown = stand(given, **moment)
        values = {name: shown[name] for name in NAMES if name in shown}
        values |= {f"units_sold.{kind}": units for kind, units in shown["units_sold"].items()}
        for name, value in values.items():
            moved = moves(given, name, **moment)
            assert all(before != after for before, after, _ in moved)
            if moved:
                assert moved[-1][1] == value
            if name == "total_revenue":
                assert sum(round(float(added) * 100) for *_, added in moved) / 100 == float(value)
            elif name in SUMMED or name.startswith("units_sold."):
                assert sum(added for *_, added in moved) == (value or 0)
            else:
                assert {added for *_, added in moved} <= {None}


def test_a_scan_reported_late_counts_by_either_clock(given):
    shown = scanned(ticket(), DOORS)
    later = DOORS + 2 * HOUR
    draft = [Told(fact, NOW) for fact in collected(drafted())]
    record(given, [*draft, *(Told(fact, later) for fact in collected(shown))])
    happened = [stand(given, at=at)["scan_count"] for at in (DOORS - MINUTE, DOORS, later)]
    known = [
        stand(given, at=at, by="recorded")["scan_count"] for at in (DOORS, later - MINUTE, later)
    ]
    assert (happened, known) == ([0, 1, 1], [0, 0, 1])


def drafted() -> Event:
    return Event.draft(FESTIVAL, details(), NOW)


def test_what_was_sold_before_its_type_was_entered_is_counted(given):
    event = Event.draft(FESTIVAL, details(currency="JPY", capacity=10), NOW + HOUR)
    event.add_ticket_type(ADULT, terms(price=500), NOW + 2 * HOUR)
    event.publish(NOW + 2 * HOUR)
    event.hold(UNKNOWN, {ADULT: 3}, NOW)
    event.sell(UNKNOWN, {ADULT: 3}, 1500, NOW)
    event.add_ticket_type(KID, terms(), NOW + 3 * HOUR)
    given(event, on_sale("Other"))
    then = stand(given, at=NOW)
    assert (then["total_revenue"], then["currency"]) == ("1500", "JPY")
    assert (then["tickets_remaining"], then["units_sold"]) == (7, {ADULT: 3})
    assert moves(given, f"units_sold.{ADULT}", at=NOW) == [(0, 3, 3)]


def test_a_percentage_and_a_time_move_without_adding_up(given):
    event = on_sale("Concert", capacity=3)
    placed(event, 1)
    event.change(details(capacity=None), NOW)
    shown = ticket(event_id=event.id)
    scanned(scanned(shown, DOORS), DOORS - HOUR)
    given(event, shown, elsewhere(next(ids)))
    assert moves(given, "percentage_tickets_remaining", event.id) == [
        (None, 100.0, None),
        (100.0, 66.67, None),
        (66.67, None, None),
    ]
    assert moves(given, "tickets_remaining", event.id) == [(None, 3, 3), (3, 2, -1), (2, None, -2)]
    assert moves(given, "last_updated", event.id) == [(None, DOORS, None)]


def test_another_currency_for_nothing_is_no_source_of_revenue(given):
    event = Event.draft(FESTIVAL, details(currency="GBP"), NOW)
    event.change(details(currency="JPY"), NOW)
    given(event)
    assert moves(given, "total_revenue") == []
    assert stand(given)["total_revenue"] == "0"


def test_a_scan_at_another_gate_counts_there(given):
    stray = ticket()
    scanned(stray, event_id=OTHER_FESTIVAL)
    other = Event.draft(OTHER_FESTIVAL, details(title="Harvest"), NOW)
    given(drafted(), other, stray)
    assert stand(given)["scan_count"] == 0
    assert moves(given, "invalid_scan_count", OTHER_FESTIVAL) == [(0, 1, 1)]


def test_figures_go_as_far_as_the_gate_lists_know(given):
    event = on_sale("Concert")
    given(event)
    paid(event, 2)
    with writing(given.turnstile.engine) as connection:
        new = [to_new_entry(fact, "{}") for fact in collected(event)]
        appending.append(connection, log.lock_head(connection), new, NOW)
    assert stand(given, event.id)["total_tickets_sold"] == 0
    Projector(given.turnstile).catch_up()
    assert stand(given, event.id)["total_tickets_sold"] == 2
