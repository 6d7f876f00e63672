"""Answers that are kept for as long as what they show has not moved."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from application.access import accounts
from application.store.database import for_queries, writing
from application.store.writes import writes_to
from projections.engine.positions import lock_positions, move
from projections.gate_statistics import GATE_STATISTICS, gate_totals
from tests.keys import bearer
from tests.statements import statements
from tests.web.conftest import BoxOffice, Json
from web import kept

PASSWORD = "correct horse battery"


@pytest.fixture
def event(office: BoxOffice) -> Iterator[Json]:
    """With one refused scan."""
    event = office.event()
    office.scan(event, secret="nothing that we issued")
    office.catch_up()
    yield event
    set_refused(office, event, 1, moved=True)


def refused(office: BoxOffice, event: Json) -> int:
    counts: Json = office.get("/stats", caught_up=False)[event["id"]]
    return int(counts["invalid_scan_count"])


def read_from_the_table(office: BoxOffice) -> bool:
    with statements(for_queries(office.turnstile.engine)) as asked:
        office.get("/stats", caught_up=False)
    return any("FROM gate_totals" in sql for sql in asked)


def set_refused(office: BoxOffice, event: Json, number: int, moved: bool) -> None:
    """As a rebuild corrects a row, or somebody does by hand: nothing is appended to the log."""
    name, of_event = GATE_STATISTICS.name, gate_totals.c.event_id == UUID(event["id"])
    with writing(office.turnstile.engine) as connection:
        connection.execute(update(gate_totals).where(of_event).values(invalid_scan_count=number))
        if moved:
            at = lock_positions(connection, [name])[name].position
            with writes_to(connection) as writes:
                move(writes, [name], at)


def test_an_answer_is_made_once_while_nothing_moves(office: BoxOffice, event: Json):
    assert read_from_the_table(office)
    first = office.send("GET", "/stats")
    assert not read_from_the_table(office)
    again = office.send("GET", "/stats")
    assert (again.data, again.headers["Turnstile-Position"]) == (
        first.data,
        first.headers["Turnstile-Position"],
    )
    set_refused(office, event, 7, moved=False)
    assert refused(office, event) == 1


def test_what_has_moved_is_read_anew(office: BoxOffice, event: Json):
    assert refused(office, event) == 1
    office.scan(event, secret="nothing that we issued, either")
    assert refused(office, event) == 1
    office.catch_up()
    assert refused(office, event) == 2


def test_rows_that_were_corrected_where_they_stand_are_read_anew(office: BoxOffice, event: Json):
    assert refused(office, event) == 1
    set_refused(office, event, 7, moved=True)
    assert refused(office, event) == 7


def test_each_organizer_has_an_answer_of_its_own(office: BoxOffice):
    for organizer in (organizer_of(office), organizer_of(office)):
        own = organizer.event()
        office.catch_up()
        assert own["id"] in office.get("/stats", caught_up=False)
        for _ in range(2):
            assert set(organizer.get("/stats", caught_up=False)) == {own["id"]}


def organizer_of(office: BoxOffice) -> BoxOffice:
    """The box office as a new organizer sees it."""
    account = {"email": f"organizer-{uuid4()}@example.org", "password": PASSWORD}
    accounts.create(office.turnstile.access, account["email"], PASSWORD, "organizer")
    tokens = BoxOffice(office.turnstile, {}).post("/api/v1/auth/login", account)
    return BoxOffice(office.turnstile, bearer(tokens["access_token"]))


def test_only_the_last_asked_for_are_kept(
    office: BoxOffice, event: Json, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(kept, "MOST", 1)
    organizer = organizer_of(office)
    assert read_from_the_table(office)
    assert not read_from_the_table(office)
    assert read_from_the_table(organizer)
    assert not read_from_the_table(organizer)
    assert read_from_the_table(office)
