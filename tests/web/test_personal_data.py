"""Names, e-mail addresses and phone numbers: where they rest, and that they can be forgotten."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import MetaData, select, update
from structlog.testing import capture_logs

from application.backup import export_log
from application.checkpoints import verify
from application.composition import Turnstile, compose
from application.import_lines import Names
from application.importing import Importer
from application.settings import Settings
from application.store.database import is_postgres, truncate_wal, writing
from application.store.snapshots import load_stream
from application.store.tables import customer_keys
from application.store.vault import WrongMasterKey
from projections import held_data
from projections.engine import comparing
from projections.engine.rebuild import compare, rebuild
from projections.registry import READ_MODELS
from tests.web.conftest import BoxOffice, Json

NAME, EMAIL, PHONE = "Zenobia Quuxington", "zenobia@quuxington.example", "+44 7700 900461461"
NEW_NAME = "Xanthippe Quuxington"
PERSONAL = ("zenobia", "xanthippe", "quuxington", "900461461")
"""What nobody else is called, in small letters."""
OPEN = {
    "customers",
    "customer_words",
    "order_customers",
    "order_customer_words",
    "ticket_holders",
    "ticket_holder_words",
}
"""The read models' tables in which customers are looked up by name."""
IMPORTED = (
    '{"command":"register_customer","at":"2020-01-01T00:00:00Z","customer":"c1",'
    f'"name":"{NAME}","email":"{EMAIL}","phone":"{PHONE}"}}'
).encode()


@pytest.fixture
def own(migrated_url: str) -> Iterator[BoxOffice]:
    """A box office that no other test looks into."""
    turnstile = compose(Settings(database_url=migrated_url))
    yield BoxOffice(turnstile)
    turnstile.close()


def sold_to(office: BoxOffice) -> tuple[Json, Json]:
    """An event, and a customer of every kind of trace: changed, ordered, transferred, scanned."""
    event, other = office.event(), office.customer()
    body = {"name": NAME, "email": EMAIL, "phone": PHONE, "country": "GB"}
    sent = {"json": body, "headers": {"Idempotency-Key": "register"}}
    customer = office.send("POST", "/api/v1/customers", **sent).json
    path = f"/api/v1/customers/{customer['id']}"
    office.patch(
        path, {"name": NEW_NAME, "email": "xanthippe@quuxington.example"}, Idempotency_Key="change"
    )
    kept, given = office.ticket(event, customer), office.ticket(event, customer)
    office.ticket(event, other)
    transfer = {"to_customer_id": other["id"], "reason": "ill"}
    office.post(f"/api/v1/tickets/{given['id']}/transfer", transfer, 200)
    office.scan(event, secret=kept["secret"])
    office.order(event, customer)
    return event, customer


def holding(turnstile: Turnstile) -> set[str]:
    """The tables in which anything personal can be read."""
    found = set()
    metadata = MetaData()
    metadata.reflect(turnstile.engine)
    with turnstile.engine.connect() as connection:
        for table in metadata.tables.values():
            for row in connection.execute(select(table)):
                if is_personal(" ".join(map(str, row))):
                    found.add(table.name)
    return found


def is_personal(text: str) -> bool:
    return any(word in text.lower() for word in PERSONAL)


def erase(office: BoxOffice, customer: Json) -> Json:
    return office.post(f"/api/v1/customers/{customer['id']}/erase")


def test_names_rest_only_where_customers_are_looked_up(own: BoxOffice):
    sold_to(own)
    list(Importer(own.turnstile, "old", refused=print).run([IMPORTED]))
    own.catch_up()
    assert holding(own.turnstile) == OPEN


def test_an_erased_customer_is_nowhere(own: BoxOffice):
    _, customer = sold_to(own)
    own.catch_up()
    erased = erase(own, customer)
    assert (erased["name"], erased["email"], erased["phone"]) == ("erased", "", "")
    assert erased["erased"] is True
    own.catch_up()
    assert holding(own.turnstile) == set()
    assert is_personal(NAME)


def test_an_import_that_is_run_again_brings_nobody_back(own: BoxOffice):
    for turn in range(2):
        importer = Importer(own.turnstile, "old", refused=print)
        list(importer.run([IMPORTED]))
        assert (importer.summary.applied, importer.summary.already) == (1 - turn, turn)
        erase(own, {"id": Names("old").id("customer", "c1")})
        own.catch_up()
        assert holding(own.turnstile) == set()


def test_an_erased_customer_is_not_in_the_bytes_of_the_file(migrated_sqlite_url: str):
    file = Path(migrated_sqlite_url.removeprefix("sqlite:///"))
    turnstile = compose(Settings(database_url=migrated_sqlite_url))
    office = BoxOffice(turnstile)
    _, customer = sold_to(office)
    office.catch_up()
    with closing(sqlite3.connect(file)) as connection:
        ((wrapped,),) = connection.execute(
            "SELECT wrapped_key FROM customer_keys WHERE customer_id = ?",
            [UUID(customer["id"]).hex],
        )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert is_personal(file.read_bytes().decode("latin-1"))
    assert wrapped in file.read_bytes()
    erase(office, customer)
    office.catch_up()
    for model in READ_MODELS:
        rebuild(turnstile, model)
    truncate_wal(turnstile.engine)  # as the reactor does every hour
    left = b"".join(each.read_bytes() for each in file.parent.iterdir() if each.is_file())
    assert not is_personal(left.decode("latin-1"))
    assert wrapped not in left
    turnstile.close()


def test_every_answer_about_an_erased_customer_says_so(own: BoxOffice):
    event, customer = sold_to(own)
    erase(own, customer)
    about = f"/api/v1/customers/{customer['id']}"
    texts = {
        path: own.client.get(path).text
        for path in (
            about,
            f"{about}/history",
            f"{about}/as-of?version=2",
            f"{about}/diff?from=0&to=2",
            f"{about}/export",
            "/api/v1/log?limit=1000",
            "/api/v1/customers",
            "/api/v1/orders",
            f"/api/v1/events/{event['id']}/attendees",
        )
        if own.get(path)
    }
    assert [path for path, text in texts.items() if is_personal(text)] == []
    history = own.get(f"{about}/history")["items"]
    assert [item["data"].get("profile", {}).get("name") for item in history] == [
        "erased",
        "erased",
        None,
    ]
    assert history[0]["data"]["profile"] == {
        "name": "erased",
        "email": "",
        "phone": "",
        "country": "GB",
    }
    assert own.get(f"{about}/as-of?version=2")["name"] == "erased"


def test_figures_stay_and_the_log_is_what_was_recorded(own: BoxOffice):
    event, customer = sold_to(own)
    paths = (
        f"/api/v1/events/{event['id']}/figures",
        f"/api/v1/customers/{customer['id']}/statistics",
        f"/stats?event_id={event['id']}",
    )
    before = [own.get(path) for path in paths]
    erase(own, customer)
    assert [own.get(path) for path in paths] == before
    with own.turnstile.engine.connect() as connection:
        assert verify(own.turnstile.engine).position > 0
        assert load_stream(connection, UUID(customer["id"])) is not None


def test_a_rebuild_after_erasing_makes_the_rows_that_are_there(own: BoxOffice):
    _, customer = sold_to(own)
    own.catch_up()
    erase(own, customer)
    own.catch_up()
    found = {model.name: compare(own.turnstile, model).outcome for model in READ_MODELS}
    assert found == dict.fromkeys(found, comparing.EQUAL)


def test_a_kept_answer_shows_the_customer_until_they_are_erased(own: BoxOffice):
    _, customer = sold_to(own)
    body = {"name": NAME, "email": EMAIL, "phone": PHONE, "country": "GB"}
    again: Any = {"json": body, "headers": {"Idempotency-Key": "register"}}
    replayed = own.send("POST", "/api/v1/customers", **again)
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert replayed.json == customer
    erase(own, customer)
    replayed = own.send("POST", "/api/v1/customers", **again)
    assert replayed.json == customer | {"name": "erased", "email": "", "phone": ""}


def test_erasing_twice_changes_nothing(own: BoxOffice):
    _, customer = sold_to(own)
    assert erase(own, customer) == erase(own, customer)
    own.patch(f"/api/v1/customers/{customer['id']}", {"phone": PHONE}, 409)
    own.post(f"/api/v1/customers/{UUID(int=7)}/erase", status=404)


def test_another_process_forgets_as_well(own: BoxOffice):
    _, customer = sold_to(own)
    other = compose(Settings(database_url=own.turnstile.settings.database_url))
    elsewhere = BoxOffice(other)
    about = f"/api/v1/customers/{customer['id']}"
    assert is_personal(str(elsewhere.patch(about, {"country": "SE"})))
    erase(own, customer)
    assert not is_personal(str(elsewhere.get(f"{about}/history")))
    assert not is_personal(str(elsewhere.post(f"{about}/erase")))
    refused = elsewhere.send("PATCH", about, json={"country": "NO"})
    assert refused.status_code == 409
    other.close()


def test_paid_tickets_of_an_erased_customer_are_good_at_the_gate(own: BoxOffice):
    event, customer = own.event(), own.customer(NAME)
    ticket = own.ticket(event, customer)
    erase(own, customer)
    assert own.scan(event, secret=ticket["secret"])["status"] == "ok"


def test_an_exported_log_holds_no_name(own: BoxOffice):
    sold_to(own)
    lines: list[bytes] = []
    export_log(own.turnstile.engine, lines.append)
    assert len(lines) > 5
    assert not is_personal(b"".join(lines).decode())


def test_a_customer_gets_everything_that_is_held_about_them(own: BoxOffice):
    _, customer = sold_to(own)
    held = own.get(f"/api/v1/customers/{customer['id']}/export")
    assert held["customer"]["name"] == NEW_NAME
    assert held["statistics"]["total_orders_placed"] == 3
    assert [order["status"] for order in held["orders"]] == ["paid", "paid", "placed"]
    assert [len(order["payments"]) for order in held["orders"]] == [1, 1, 0]
    assert [[fact["what"] for fact in order["history"]] for order in held["orders"]] == [
        ["Order.Placed", "Order.Paid"],
        ["Order.Placed", "Order.Paid"],
        ["Order.Placed"],
    ]
    assert [item["data"]["profile"]["name"] for item in held["history"]] == [NAME, NEW_NAME]
    tickets = {ticket["is_holder"]: ticket for ticket in held["tickets"]}
    assert [fact["what"] for fact in tickets[True]["history"]] == [
        "Ticket.Issued",
        "Ticket.Admitted",
    ]
    assert [fact["what"] for fact in tickets[False]["history"]] == [
        "Ticket.Issued",
        "Ticket.Transferred",
    ]
    assert "secret" not in tickets[True]
    assert "Ada" not in str(held)
    own.get(f"/api/v1/customers/{UUID(int=7)}/export", 404)


def test_an_export_is_written_as_it_is_read_and_keeps_no_connection(
    own: BoxOffice, monkeypatch: pytest.MonkeyPatch
):
    _, customer = sold_to(own)
    path = f"/api/v1/customers/{customer['id']}/export"
    whole, pool = own.get(path), own.turnstile.engine.pool
    monkeypatch.setattr(held_data, "SLICE", 1)
    assert own.get(path) == whole
    response = own.client.get(path, headers=own.credentials)
    assert "Content-Length" not in response.headers
    pieces = response.iter_encoded()
    started = b"".join(islice(pieces, 10))
    assert b'"orders":[{' in started
    assert pool.checkedout() == 0  # type: ignore[attr-defined]
    assert json.loads(started + b"".join(pieces)) == whole


def test_an_export_that_breaks_off_is_no_json_and_is_logged_with_its_request(own: BoxOffice):
    _, customer = sold_to(own)
    own.catch_up()
    with writing(own.turnstile.engine) as connection:
        connection.execute(update(customer_keys).values(wrapped_key=bytes(60)))
    path, sent = f"/api/v1/customers/{customer['id']}/export", own.credentials
    response = own.client.get(path, headers=sent | {"X-Request-ID": "export-1"})
    pieces: list[bytes] = []
    with capture_logs() as logs, pytest.raises(WrongMasterKey):
        pieces.extend(response.iter_encoded())
    assert pieces[0].startswith(b'{"customer"')
    with pytest.raises(json.JSONDecodeError):
        json.loads(b"".join(pieces))
    assert [(line["event"], line["request_id"]) for line in logs] == [
        ("web.broken_off", "export-1")
    ]


def test_a_log_of_plain_names_can_be_read(own: BoxOffice):
    """As one is that was recorded before names were sealed."""
    customer = own.customer(NAME)
    engine = own.turnstile.engine
    profile = f'"name":"{NAME}","email":"{EMAIL}","phone":"","country":"GB"'
    with engine.begin() as connection:
        off, on = ("DISABLE", "ENABLE")
        if is_postgres(engine):
            connection.exec_driver_sql(f"ALTER TABLE events {off} TRIGGER USER")
        else:
            for name in connection.exec_driver_sql(
                "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'"
            ).scalars():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql(
            "UPDATE events SET payload = '"
            + f'{{"v":1,"profile":{{{profile}}},"role":"attendee"}}'
            + "' WHERE topic = 'Customer.Registered'"
        )
        connection.exec_driver_sql("DELETE FROM customer_keys")
        if is_postgres(engine):
            connection.exec_driver_sql(f"ALTER TABLE events {on} TRIGGER USER")
    about = f"/api/v1/customers/{customer['id']}"
    assert own.get(f"{about}/history")["items"][0]["data"]["profile"]["name"] == NAME
    assert own.get(about)["name"] == NAME
    own.patch(about, {"name": NEW_NAME})
    assert own.get(about)["name"] == NEW_NAME
