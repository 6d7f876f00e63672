"""A real festival's record, imported by the command, gives the figures that it published."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from application.composition import compose
from application.settings import Settings
from projections.engine.projector import Projector
from projections.event_summaries import upcoming
from tests.e2e.festival import EVENT, RECORD, SOURCE, expected, type_reference
from tests.keys import service_key
from web.app import create_app
from web.current import EXTENSION

EVENTS_URL = f"/api/v1/events/{EVENT}"


def turnstile(*arguments: str, database_url: str) -> str:
    """What the `turnstile` command prints."""
    ended = subprocess.run(
        [sys.executable, "-m", "web", *arguments],
        env=os.environ | {"DATABASE_URL": database_url},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def import_record(database_url: str) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(
        turnstile("import", str(RECORD), "--source", SOURCE, "--json", database_url=database_url)
    )
    return summary


@pytest.fixture
def festival(database_url: str) -> Iterator[FlaskClient]:
    """The record, imported into an empty database, with every read model caught up."""
    import_record(database_url)
    box_office = compose(Settings(database_url=database_url))
    Projector(box_office).catch_up()
    client = create_app(box_office).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {service_key(box_office)}"
    yield client
    box_office.close()


def test_the_queries_give_every_published_figure(festival: FlaskClient) -> None:
    published = expected()
    assert orders(festival) == published["orders"]
    assert tickets_sold(festival) == published["tickets_sold_by_type"]
    assert sum(tickets_sold(festival).values()) == published["tickets_sold"]
    assert tickets_not_sold(festival) == published["tickets_not_sold_by_type"]
    assert transfers_by_week(festival) == published["transfers_by_week"]
    assert admissions_by_hour(festival) == published["admissions_by_hour"]
    totals = get(festival, "/stats", event_id=EVENT)
    assert totals["successful_transfer_count"] == published["transfers"]
    assert totals["valid_scan_count"] == published["admissions"]


def test_its_figures_without_a_moment_are_those_of_the_read_models(festival: FlaskClient) -> None:
    figures = get(festival, f"{EVENTS_URL}/figures")
    sold = {type_reference(kind["id"]): kind["units_sold"] for kind in figures["ticket_types"]}
    assert get(festival, "/stats", event_id=EVENT).items() <= figures.items()
    assert summary(festival).items() <= figures.items()
    assert sold == expected()["tickets_sold_by_type"]
    by_type = get(festival, "/api/v1/ticket-types/top")["items"]
    assert {type_reference(kind["id"]): kind["units_sold"] for kind in by_type} == sold


def test_its_figures_at_the_end_of_a_day_are_what_was_recorded_until_then(
    festival: FlaskClient,
) -> None:
    days = get(festival, "/stats/daily", event_id=EVENT)
    sales = get(festival, f"{EVENTS_URL}/sales", group_by="day")["tickets"]
    for day in (sales[9]["day"], sales[-1]["day"], days[-2]["stat_date"]):
        then = get(festival, f"{EVENTS_URL}/figures", at=f"{day}T23:59:59.999999Z")
        assert then["total_tickets_sold"] == sum(
            row["net_units"] for row in sales if row["day"] <= day
        )
        for name in ("valid_scan_count", "successful_transfer_count"):
            assert then[name] == sum(row[name] for row in days if row["stat_date"] <= day)


def test_every_admission_is_a_source_of_the_count_of_admissions(festival: FlaskClient) -> None:
    url = f"{EVENTS_URL}/figures/valid_scan_count/sources"
    page = get(festival, url, limit=200)
    items = page["items"]
    while page["next"] is not None:
        page = get(festival, url, limit=200, after=page["next"])
        items += page["items"]
    assert {item["what"] for item in items} == {"Ticket.Admitted"}
    assert sum(item["contribution"] for item in items) == expected()["admissions"] == len(items)


def test_importing_it_again_changes_nothing_and_says_so(database_url: str) -> None:
    commands = expected()["commands"]
    first = import_record(database_url)
    second = import_record(database_url)
    said = turnstile("import", str(RECORD), "--source", SOURCE, database_url=database_url)
    assert first == {
        "lines": commands,
        "applied": commands,
        "already": 0,
        "refused": 0,
        "position": first["position"],
    }
    assert (second["applied"], second["already"]) == (0, commands)
    assert said.startswith("Nothing new: all 7,247 lines")


def get(client: FlaskClient, url: str, **query: Any) -> Any:
    response = client.get(url, query_string=query)
    assert response.status_code == 200, response.text
    return response.json


def summary(client: FlaskClient) -> dict[str, Any]:
    """What the summary said of it before it was over."""
    with client.application.extensions[EXTENSION].engine.connect() as connection:
        (item,) = upcoming(connection, datetime(2016, 1, 1, tzinfo=UTC))["items"]
    return {**item, "event_id": str(item["event_id"])}


def orders(client: FlaskClient) -> dict[str, Any]:
    by_method = get(client, f"{EVENTS_URL}/sales", group_by="payment_method")
    by_week = get(client, f"{EVENTS_URL}/sales", group_by="week")
    totals = by_week["totals"]["orders"]
    return {
        "total": totals["placed"],
        "by_method": {row["payment_method"]: row["placed"] for row in by_method["orders"]},
        "by_week": {row["week"]: row["placed"] for row in by_week["orders"] if row["placed"]},
        "paid": totals["standing"],
        **{outcome: totals[outcome] for outcome in ("refunded", "cancelled", "expired")},
    }


def tickets_sold(client: FlaskClient) -> dict[str, int]:
    sales = get(client, f"{EVENTS_URL}/sales", group_by="ticket_type")
    return {type_reference(row["ticket_type_id"]): row["net_units"] for row in sales["tickets"]}


def tickets_not_sold(client: FlaskClient) -> Counter[str]:
    """Tickets of the orders that came to nothing, from the look-up of each such order."""
    counts: Counter[str] = Counter()
    for status in ("refunded", "cancelled", "expired"):
        page = get(client, "/api/v1/orders", event_id=EVENT, status=status, limit=200)
        assert page["next"] is None
        for item in page["items"]:
            for line in get(client, f"/api/v1/orders/{item['id']}")["lines"]:
                counts[type_reference(line["ticket_type_id"])] += line["quantity"]
    return counts


def transfers_by_week(client: FlaskClient) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in get(client, "/stats/daily", event_id=EVENT):
        day = date.fromisoformat(row["stat_date"])
        monday = day - timedelta(days=day.weekday())
        counts[monday.isoformat()] += row["successful_transfer_count"]
    return +counts


def admissions_by_hour(client: FlaskClient) -> dict[str, dict[str, int]]:
    by_type: dict[str, dict[str, int]] = {}
    for row in get(client, "/stats/hourly", event_id=EVENT):
        hour = row["hour"].replace("T", " ")[:16]
        by_type.setdefault(type_reference(row["ticket_type_id"]), {})[hour] = row["admissions"]
    return by_type
