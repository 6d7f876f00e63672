"""What the tests of commands share: a festival of a few lines, and how commands are run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result

from web.cli import main

REPOSITORY = Path(__file__).parents[3]
TICKET = ("ticket", "t1", "--source", "shop")
RECORD = [
    {
        "command": "create_event",
        "at": "2026-01-01T10:00:00Z",
        "event": "gig",
        "title": "Gig",
        "organizer": {"ref": "o", "name": "Organizer"},
        "starts_at": "2026-02-01T20:00:00Z",
        "ends_at": "2026-02-01T23:00:00Z",
        "currency": "GBP",
        "ticket_types": [{"ref": "all", "name": "Standing", "price": "10.00", "quantity": 10}],
    },
    {"command": "publish_event", "at": "2026-01-01T10:00:01Z", "event": "gig"},
    *(
        {
            "command": "register_customer",
            "at": "2026-01-02T10:00:00Z",
            "customer": name,
            "name": name,
            "email": f"{name}@example.org",
        }
        for name in ("ada", "ben")
    ),
    {
        "command": "place_order",
        "at": "2026-01-02T11:00:00Z",
        "order": "first",
        "event": "gig",
        "customer": "ada",
        "payment_method": "card",
        "tickets": [{"ref": "t1", "ticket_type": "all"}],
    },
    {"command": "pay_order", "at": "2026-01-02T11:01:00Z", "order": "first", "method": "card"},
    {
        "command": "transfer_ticket",
        "at": "2026-01-03T09:00:00Z",
        "ticket": "t1",
        "to_customer": "ben",
        "reason": "gift",
    },
    {"command": "scan_ticket", "at": "2026-02-01T20:05:00Z", "ticket": "t1", "event": "gig"},
]

Run = Callable[..., Result]


def command(*arguments: str, fed: str | None = None) -> Result:
    """`command("status")` is what `turnstile status` comes to, with `fed` on standard input."""
    return CliRunner().invoke(main, list(arguments), input=fed)


def shell(url: str, *arguments: str, fed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "web", *arguments],
        input=fed,
        capture_output=True,
        check=False,
        env={**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(REPOSITORY)},
    )


def head(run: Run) -> int:
    return int(json.loads(run("status", "--json").output)[0]["head"])
