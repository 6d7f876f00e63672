"""Moving in: what is imported, what is refused, and what a second run leaves alone."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from application.composition import Turnstile, compose
from application.history import history
from application.import_lines import Names
from application.importing import Importer, Refusal, Summary
from application.settings import Settings
from application.store import log
from application.store.log import Head
from domain.errors import NotFound
from projections.engine.projector import Projector
from projections.open_holds import OPEN_HOLDS, open_holds
from tests.domain.given import NOW
from web.cli.sample_festival import SOURCE, sample_festival

GUIDE = Path(__file__).parents[2] / "docs" / "import.md"
Run = Callable[..., tuple[Summary, list[Refusal]]]


@pytest.fixture
def turnstile(migrated_url: str) -> Iterator[Turnstile]:
    turnstile = compose(Settings(database_url=migrated_url))
    yield turnstile
    turnstile.close()


@pytest.fixture
def run(turnstile: Turnstile) -> Run:
    """`run(*lines, source=…)` imports a file of these lines: its summary, and the refusals."""

    def run(*lines: bytes, source: str = "shop") -> tuple[Summary, list[Refusal]]:
        refused: list[Refusal] = []
        importer = Importer(turnstile, source, refused.append)
        for _ in importer.run(lines):
            pass
        return importer.summary, refused

    return run


def line(command: str, *, at: str = "2025-05-01T10:00:00Z", **fields: Any) -> bytes:
    return json.dumps({"command": command, "at": at, **fields}).encode()


def event(**changed: Any) -> bytes:
    usual: dict[str, Any] = {
        "event": "e1",
        "title": "Midsummer",
        "organizer": {"ref": "o1", "name": "The Collective"},
        "starts_at": "2025-06-21T10:00:00Z",
        "ends_at": "2025-06-23T10:00:00Z",
        "currency": "GBP",
        "ticket_types": [{"ref": "full", "name": "Full", "price": "50.00", "quantity": 4}],
    }
    return line("create_event", **usual | changed)


def customer(ref: str = "c1", **more: str) -> bytes:
    person = {"name": "Anna Lind", "email": "anna@example.org"}
    return line("register_customer", customer=ref, **person | more)


def order(ref: str = "a", *tickets: str, **changed: Any) -> bytes:
    usual = {
        "order": ref,
        "event": "e1",
        "customer": "c1",
        "payment_method": "card",
        "tickets": [{"ref": name, "ticket_type": "full"} for name in tickets or (f"{ref}1",)],
    }
    return line("place_order", **usual | changed)


def pay(ref: str = "a") -> bytes:
    return line("pay_order", order=ref, method="card", reference=f"ch_{ref}")


OPENED = (event(), line("publish_event", event="e1"), customer())
SOLD = (*OPENED, order(), pay())


def head(turnstile: Turnstile) -> Head:
    with turnstile.engine.connect() as connection:
        position = log.read_head(connection)
        return Head(position, log.lock_head(connection).hash)


def what_happened(turnstile: Turnstile, kind: str, ref: str, source: str = "shop") -> list[str]:
    aggregate_id = Names(source).id(kind, ref)
    with turnstile.engine.connect() as connection:
        return [item["what"] for item in history(connection, kind, aggregate_id)["items"]]


def test_a_ticket_is_sold_handed_over_and_admitted_at_the_original_times(
    turnstile: Turnstile, run: Run
):
    summary, refused = run(
        *SOLD,
        customer("c2"),
        line("transfer_ticket", ticket="a1", to_customer="c2", reason="a present"),
        line("start_event", event="e1", at="2025-06-21T10:00:00Z"),
        line("scan_ticket", ticket="a1", event="e1", at="2025-06-21T12:00:00+02:00"),
    )

    assert (summary.lines, summary.applied, refused) == (9, 9, [])
    with turnstile.engine.connect() as connection:
        items = history(connection, "ticket", Names("shop").id("ticket", "a1"))["items"]
    assert [(item["what"], item["occurred_at"].isoformat()) for item in items] == [
        ("Ticket.Issued", "2025-05-01T10:00:00+00:00"),
        ("Ticket.Transferred", "2025-05-01T10:00:00+00:00"),
        ("Ticket.Admitted", "2025-06-21T10:00:00+00:00"),
    ]
    assert {item["who"] for item in items} == {"import:shop"}


def test_an_event_is_completed_or_cancelled(turnstile: Turnstile, run: Run):
    summary, _ = run(
        *OPENED,
        event(event="e2"),
        line("publish_event", event="e2"),
        line("start_event", event="e1"),
        line("complete_event", event="e1"),
        line("cancel_event", event="e2", reason="storm"),
    )

    assert summary.refused == 0
    assert what_happened(turnstile, "event", "e1")[-1] == "Event.Completed"
    assert what_happened(turnstile, "event", "e2")[-1] == "Event.Cancelled"


UNREADABLE = {
    "no JSON": (b"publish e1", "JSON is malformed"),
    "half a line": (b'{"command": "publish_event",', "truncated"),
    "an array": (b"[]", "Expected `object`"),
    "not UTF-8": (b'{"command": "publish_event", "event": "\xff"}', "decode"),
    "nested without end": (b'{"a":' + b"[" * 100_000, "recursion"),
    "no command": (b'{"at": "2025-05-01T10:00:00Z"}', "missing required field `command`"),
    "an unknown command": (line("fly"), "'fly'"),
    "a missing field": (line("publish_event"), "missing required field `event`"),
    "an extra field": (line("publish_event", event="e1", why="so"), "unknown field `why`"),
    "an extra field inside": (
        event(organizer={"ref": "o1", "name": "The Collective", "phone": "1"}),
        "unknown field `phone` - at `$.organizer`",
    ),
    "a time without an offset": (
        line("publish_event", event="e1", at="2025-05-01T10:00:00"),
        "timezone component - at `$.at`",
    ),
    "a time that is none": (line("publish_event", event="e1", at="May"), "RFC3339"),
    "a time out of range": (
        line("publish_event", event="e1", at="0001-01-01T00:00:00+10:00"),
        "`at` is not between 1900 and 9998",
    ),
    "a number for a reference": (line("publish_event", event=7), "`$.event`"),
    "an empty reference": (line("publish_event", event=""), "`$.event`"),
    "a NUL": (
        line("register_customer", customer="c9", name="a\0b", email="a@example.org"),
        "`$.name`",
    ),
    "a price that is a number": (
        event(ticket_types=[{"ref": "full", "name": "Full", "price": 50.0}]),
        "Expected `str`, got `float` - at `$.ticket_types[0].price`",
    ),
    "a huge capacity": (event(capacity=10**12), "`$.capacity`"),
    "an unknown kind of scan": (
        line("scan_ticket", ticket="a1", event="e1", type="jump"),
        "'jump' - at `$.type`",
    ),
}


def test_what_cannot_be_read_is_reported_by_number_and_reason_and_the_rest_goes_on(
    turnstile: Turnstile, run: Run
):
    bad = [text for text, _ in UNREADABLE.values()]

    summary, refused = run(*OPENED, *bad, order(), b"", pay())

    assert [refusal.line for refusal in refused] == list(range(4, 4 + len(bad)))
    assert {refusal.rule for refusal in refused} == {"unreadable"}
    for refusal, (name, (_, reason)) in zip(refused, UNREADABLE.items(), strict=True):
        assert reason in refusal.reason, name
    assert (summary.applied, summary.refused) == (5, len(bad))
    assert what_happened(turnstile, "ticket", "a1") == ["Ticket.Issued"]


REFUSED = {
    "a price with a comma": (
        event(
            event="e2", ticket_types=[_dear := {"ref": "full", "name": "Full", "price": "50,00"}]
        ),
        "invalid-money",
    ),
    "a price that is negative": (
        event(event="e2", ticket_types=[_dear | {"price": "-1.00"}]),
        "invalid-ticket-type",
    ),
    "a currency that is none": (event(event="e2", currency="GPB"), "invalid-money"),
    "an event that ends first": (
        event(event="e2", ends_at="2025-06-01T10:00:00Z"),
        "invalid-event",
    ),
    "an event there is": (event(title="Again"), "already-exists"),
    "a country in words": (customer("c3", country="Deutschland"), "invalid-customer"),
    "an unknown event": (line("publish_event", event="e9"), "not-found"),
    "an unknown customer": (order("b", customer="c9"), "not-found"),
    "an unknown ticket type": (
        order("b", tickets=[{"ref": "b1", "ticket_type": "half"}]),
        "not-found",
    ),
    "an unknown order": (line("cancel_order", order="z"), "not-found"),
    "an unknown ticket": (line("transfer_ticket", ticket="z", to_customer="c1"), "not-found"),
    "too many tickets": (order("b", "b1", "b2", "b3", "b5"), "sold-out"),
    "a ticket of another order": (order("b", "a1"), "already-exists"),
    "a ticket twice": (order("b", "b4", "b4"), "invalid-order"),
    "an order without tickets": (order("b", tickets=[]), "invalid-order"),
    "a hold that runs": (line("expire_order", order="c"), "hold-still-runs"),
    "a refund before payment": (line("refund_order", order="c"), "wrong-order-status"),
}


def test_what_the_rules_refuse_is_reported_by_number_and_rule_and_the_rest_goes_on(
    turnstile: Turnstile, run: Run
):
    bad = [text for text, _ in REFUSED.values()]

    summary, refused = run(*SOLD, order("c"), *bad, pay("c"))

    assert [refusal.line for refusal in refused] == list(range(7, 7 + len(bad)))
    assert [refusal.rule for refusal in refused] == [rule for _, rule in REFUSED.values()]
    assert all(refusal.reason for refusal in refused)
    assert (summary.applied, summary.refused) == (7, len(bad))
    assert what_happened(turnstile, "order", "c") == ["Order.Placed", "Order.Paid"]
    with pytest.raises(NotFound):
        what_happened(turnstile, "order", "b")


def test_a_refused_transfer_and_the_scan_of_an_unknown_ticket_stay_on_record(
    turnstile: Turnstile, run: Run
):
    before, _ = run(*SOLD)

    summary, refused = run(
        line("transfer_ticket", ticket="a1", to_customer="nobody"),
        line("scan_ticket", ticket="home-made", event="e1"),
    )

    assert [(refusal.line, refusal.rule) for refusal in refused] == [(1, "not-found")]
    assert what_happened(turnstile, "ticket", "a1")[-1] == "Ticket.TransferRefused"
    assert summary.position == before.position + 2


def test_the_same_line_twice_in_a_file_is_two_commands(turnstile: Turnstile, run: Run):
    scan = line("scan_ticket", ticket="a1", event="e1")

    first, _ = run(*SOLD, scan, scan)
    again, _ = run(*SOLD, scan, scan)

    assert (first.applied, again.applied, again.already) == (7, 0, 7)
    assert what_happened(turnstile, "ticket", "a1")[1:] == ["Ticket.Admitted", "Ticket.ScanRefused"]


def test_a_second_run_changes_nothing_and_says_so(turnstile: Turnstile, run: Run):
    record = sample_festival(NOW)
    first, refused = run(*record, source=SOURCE)
    before = head(turnstile)

    second, refused_again = run(*record, source=SOURCE)

    assert head(turnstile) == before
    assert (second.applied, second.already) == (0, first.lines)
    assert (second.position, refused_again) == (first.position, refused)


def test_of_a_file_that_has_grown_the_new_lines_are_imported(turnstile: Turnstile, run: Run):
    run(*OPENED)
    before = head(turnstile)

    grown, _ = run(*SOLD)

    assert (grown.lines, grown.applied, grown.already) == (5, 2, 3)
    assert grown.position > before.position
    assert what_happened(turnstile, "order", "a") == ["Order.Placed", "Order.Paid"]


def test_an_import_that_was_stopped_goes_on_where_it_was(turnstile: Turnstile, run: Run):
    record = sample_festival(NOW)
    stopped = Importer(turnstile, SOURCE, lambda refusal: None)
    halfway = next(stopped.run(record)).lines

    finished, _ = run(*record, source=SOURCE)

    assert 0 < halfway < len(record)
    assert (finished.already, finished.lines) == (halfway, len(record))


def test_two_systems_may_use_the_same_references(turnstile: Turnstile, run: Run):
    ours, _ = run(*SOLD)
    theirs, refused = run(*SOLD, line("cancel_event", event="e1"), source="kiosk")

    assert (ours.applied, theirs.applied, theirs.already, refused) == (5, 6, 0, [])
    assert what_happened(turnstile, "event", "e1", "kiosk")[-1] == "Event.Cancelled"
    assert what_happened(turnstile, "event", "e1")[-1] == "Event.TicketsSold"


def test_a_ticket_of_an_earlier_file_is_not_issued_again(turnstile: Turnstile, run: Run):
    run(*SOLD)

    summary, refused = run(order("b", "a1"), pay("b"), order("c"), pay("c"))

    assert [(refusal.line, refusal.rule) for refusal in refused] == [
        (1, "already-exists"),
        (2, "not-found"),
    ]
    assert summary.applied == 2
    assert what_happened(turnstile, "ticket", "a1") == ["Ticket.Issued"]


def test_an_order_that_is_refused_keeps_no_ticket_from_the_right_one(run: Run):
    summary, refused = run(*OPENED, order("b", "a1", event="e9"), order(), pay())

    assert [(refusal.line, refusal.rule) for refusal in refused] == [(4, "not-found")]
    assert summary.applied == len(SOLD)


def test_after_an_order_with_its_ticket_an_earlier_line_was_imported_all_the_same(run: Run):
    run(*SOLD)

    summary, refused = run(order("b", "a1"), order())

    assert [(refusal.line, refusal.rule) for refusal in refused] == [(1, "already-exists")]
    assert (summary.applied, summary.already) == (0, 1)


def test_the_position_is_the_end_of_the_log_whatever_came_of_the_lines(
    turnstile: Turnstile, run: Run
):
    run(*SOLD)
    for again in (SOLD[:1], (b"nothing",), ()):
        summary, _ = run(*again)
        assert summary.position == head(turnstile).position


def test_a_ticket_of_an_order_that_was_not_paid_stays_in_that_order(turnstile: Turnstile, run: Run):
    run(*SOLD, order("b", "b1"), line("cancel_order", order="b"))

    summary, refused = run(order("c", "b1"), order("d", "d1"), order("c2", "a1"))

    assert [(refusal.line, refusal.rule) for refusal in refused] == [
        (1, "already-exists"),
        (3, "already-exists"),
    ]
    assert summary.applied == 1
    again, refused = run(*SOLD, order("b", "b1"), line("cancel_order", order="b"))
    assert (again.applied, refused) == (0, [])
    other, refused = run(*SOLD, order("c", "b1"), source="kiosk")
    assert (other.applied, refused) == (len(SOLD) + 1, [])


def test_what_was_refused_stays_refused_and_is_reported_again(run: Run):
    too_many = order("b", "b1", "b2", "b3", "b5")
    _, refused = run(*SOLD, too_many)
    run(line("refund_order", order="a"))

    again, refused_again = run(*SOLD, too_many)
    corrected, _ = run(*SOLD, order("b", "b1", "b2", "b3", "b5", payment_method="cash"))

    assert [(refusal.line, refusal.rule) for refusal in refused] == [(6, "sold-out")]
    assert refused_again == refused
    assert (again.applied, again.already) == (0, 6)
    assert corrected.applied == 1


def test_imported_history_causes_no_reactions(turnstile: Turnstile, run: Run):
    run(*OPENED, order("a"), order("b"), pay("b"))

    Projector(turnstile, [OPEN_HOLDS]).catch_up()

    with turnstile.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(open_holds)).scalar() == 0


def test_the_example_of_the_guide_is_imported_whole(run: Run):
    blocks = re.findall(r"```json\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    example, shown = blocks[0].encode().splitlines(), json.loads(blocks[1])

    summary, refused = run(*example)

    assert refused == []
    assert asdict(summary) == shown


@pytest.mark.parametrize("expires_at", ["2025-05-01T10:00:00Z", "2025-05-01T09:59:59Z"])
@pytest.mark.parametrize("price", ["0.00", "50.00"])
def test_an_order_whose_hold_was_over_when_it_was_placed_is_refused(
    turnstile: Turnstile, run: Run, price: str, expires_at: str
):
    kind = {"ref": "full", "name": "Full", "price": price}
    opened = (event(ticket_types=[kind]), *OPENED[1:])
    summary, (refusal,) = run(*opened, order("a", expires_at=expires_at), order("b"))
    assert (refusal.line, refusal.rule) == (4, "invalid-order")
    assert refusal.reason == "An order's hold ends after the order is placed."
    assert (summary.applied, summary.refused) == (4, 1)
    with pytest.raises(NotFound):
        what_happened(turnstile, "order", "a")
