"""A real festival's record, imported by the command, gives the figures that it published."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from application.composition import compose
from application.settings import Settings
from projections.engine.projector import Projector
from tests.e2e.festival import EVENT, RECORD, SOURCE, expected, type_reference
from web.app import create_app

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
    yield create_app(box_office).test_client()
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
