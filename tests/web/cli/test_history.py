"""`turnstile history`: timelines, states as of a moment, and what changed between two."""

import json
from contextlib import closing

import pytest

from application.composition import compose
from application.customers import register_customer
from application.import_lines import Names
from application.presenting import show
from application.settings import Settings
from application.store.work import Command, Context
from domain.customer import Profile
from domain.ids import uuid7
from tests.later_version import from_a_later_version
from tests.web.cli.commands import Run
from tests.workers.tallies import change


def test_history_tells_what_happened_to_a_ticket(run: Run) -> None:
    said = run("history", "ticket", "t1", "--source", "shop").output
    told = [line.split()[3] for line in said.splitlines() if " by import:shop" in line]
    assert told == ["Ticket.Issued", "Ticket.Transferred", "Ticket.Admitted"]
    assert "2026-01-03 09:00:00" in said
    assert "redacted" in said


def test_history_shows_the_state_at_a_time_and_at_a_version(run: Run) -> None:
    ada, ben = (str(Names("shop").id("customer", name)) for name in ("ada", "ben"))
    at = run("history", "ticket", "t1", "--source", "shop", "--at", "2026-01-03T08:59", "--json")
    version = run("history", "ticket", "t1", "--source", "shop", "--version", "2", "--json")
    assert json.loads(at.output)["as_of"]["holder_id"] == ada
    assert json.loads(version.output)["as_of"]["holder_id"] == ben
    assert (
        "As of version 1"
        in run("history", "ticket", "t1", "--source", "shop", "--at", "2026-01-03T08:59").output
    )


def test_history_shows_what_changed_between_two_moments(run: Run) -> None:
    ada, ben = (str(Names("shop").id("customer", name)) for name in ("ada", "ben"))
    ticket = ("history", "ticket", "t1", "--source", "shop")
    said = run(*ticket, "--diff", "1", "2").output
    assert "from version 1 to 2" in said
    told = {line.split()[0]: line.split()[1:3] for line in said.splitlines() if line[:1] == "/"}
    assert told == {"/holder_id": [f"…{ada[-8:]}", f"…{ben[-8:]}"], "/transfers": ["0", "1"]}
    changed = json.loads(run(*ticket, "--diff", "2026-01-03T10:00", "2026-03-01", "--json").output)
    assert [change["path"] for change in changed["changes"]] == ["/inside", "/admissions"]
    assert run(*ticket, "--diff", "3", "3").output.endswith("Nothing changed.\n")


def test_history_leaves_out_what_would_make_a_terminal_do_something(
    run: Run, migrated_url: str
) -> None:
    hostile = "\x1b[2Jgift\x1b]0;title\x07\u202e"
    with closing(compose(Settings(database_url=migrated_url))) as turnstile:
        about = {"customer_id": uuid7(), "profile": Profile(hostile, "ada@example.org")}
        context = Context(actor=f"service:{hostile}")
        turnstile.executor.execute(Command(register_customer, about, context, show))
    said = run("history", "customer", str(about["customer_id"])).output
    assert "?[2Jgift?]0;title" in said
    assert all(one.isprintable() or one == "\n" for one in said)


def test_history_tells_of_what_nobody_is_known_to_have_done(run: Run, migrated_url: str) -> None:
    with closing(compose(Settings(database_url=migrated_url))) as turnstile:
        about = {"customer_id": uuid7(), "profile": Profile("Ada", "ada@example.org")}
        turnstile.executor.execute(Command(register_customer, about, Context(), show))
    told = run("history", "customer", str(about["customer_id"]))
    assert told.exit_code == 0
    assert "Customer.Registered  by nobody" in told.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ticket", "t1"), "'t1' is not an id. For another system's reference, add --source."),
        (("ticket", "t9", "--source", "shop"), "There is no ticket"),
        (("order", "t1", "--source", "shop"), "There is no order"),
        (("ticket", "t1", "--source", "shop", "--at", "yesterday"), "is not a time like"),
        (("ticket", "t1", "--source", "shop", "--version", "9"), "Its latest version is 3."),
        (("ticket", "t1", "--source", "shop", "--at", "2025-01-01"), "There was no ticket"),
        (("ticket", "t1", "--version", "1", "--at", "2026-01-01", "--source", "shop"), "not more"),
        (("ticket", "t1", "--version", "1", "--diff", "1", "2", "--source", "shop"), "not more"),
        (("ticket", "t1", "--source", "shop", "--diff", "1", "2026-01-01"), "Give two versions"),
        (("ticket", "t1", "--source", "shop", "--diff", "1", "soon"), "is not a time like"),
    ],
)
def test_history_explains_what_it_cannot_show(
    run: Run, arguments: tuple[str, ...], says: str
) -> None:
    result = run("history", *arguments)
    assert result.exit_code != 0
    assert says in result.output


def test_history_shows_what_a_later_version_recorded_but_does_not_replay_it(
    run: Run, migrated_url: str
) -> None:
    with closing(compose(Settings(database_url=migrated_url))) as turnstile:
        change(turnstile, Names("shop").id("customer", "ada"))
        later, _ = from_a_later_version(turnstile.engine, Names("shop").id("customer", "ada"))
    ada = ("history", "customer", "ada", "--source", "shop")
    assert run(*ada, "--version", "2").output.count("Customer.Changed") == 3
    replayed = run(*ada, "--version", "3")
    assert replayed.exit_code == 1
    assert replayed.output.startswith(
        f"Error: Customer.Changed at position {later} cannot be read: it is of version 2"
    )
