"""Attempts at a gate."""

from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from flask import Response
from sqlalchemy import Engine

from application import gate
from application.presenting import show_check_in
from application.store.work import Key
from domain.errors import InvalidTime
from domain.ids import derived_id, ticket_id_in
from domain.limits import CLOCKS_DIFFER
from domain.ticket import Scan
from projections.engine.positions import positions
from projections.orders import ORDERS, order_of_ticket
from web.blueprint import Blueprint
from web.commands import record
from web.current import turnstile
from web.schemas.tickets import NewCheckIn, RecordedCheckIn

blueprint = Blueprint("check-ins", "/api/v1/checkins", "Attempts at a gate")

EXAMPLE = {
    "secret": "AZfzoAAAcACAAAAAAAAAAZ4tJm1k0v5yQe8Yw3xkq2o",  # nosec B105 # no ticket's
    "event_id": "0197f3a0-0000-7000-8000-000000000001",
    "scanner_id": "gate-2",
    "nonce": "5c1f",
}


@blueprint.makes("")
@blueprint.takes(NewCheckIn, example=EXAMPLE)
@blueprint.records(RecordedCheckIn, 201)
def check_in(body: dict[str, Any]) -> Response:
    """Try to pass a gate; every attempt is recorded, whatever comes of it"""
    nonce = body.pop("nonce", None)
    keys = () if nonce is None else (Key(_attempt(body), nonce, is_shared=True),)
    event_id, told_at, shown = body["event_id"], _not_later(body.pop("at")), _shown(body)
    scan = Scan(forced=body.pop("force"), **body)
    return record(
        gate.check_in, show_check_in, None, keys, told_at, scan=scan, event_id=event_id, **shown
    )


def _attempt(body: dict[str, Any]) -> str:
    """The scope of a nonce: scanners that count come to the same ones, for different guests, and
    for one who shows their ticket at two gates."""
    by = "secret" if "secret" in body else "ticket_id"
    scanned = (str(body["event_id"]), body["type"], body.get("scanner_id", ""), by, str(body[by]))
    return f"checkin:{derived_id(*scanned)}"


def _shown(body: dict[str, Any]) -> dict[str, Any]:
    """What was shown; where a ticket not issued yet was ordered matters for an id only."""
    secret = body.pop("secret", None)
    if secret is not None:
        return {"secret": secret, "ticket_id": ticket_id_in(secret)}
    return {"ticket_id": body.pop("ticket_id"), "order_of": partial(_order_of, turnstile().engine)}


def _order_of(engine: Engine, ticket_id: UUID) -> tuple[UUID | None, int]:
    """In whichever thread leads the batch, which may belong to no request. The position is asked
    first, so that what is found may be newer, but never older."""
    with engine.connect() as connection:
        seen = positions(connection, [ORDERS.name]).get(ORDERS.name, 0)
        return order_of_ticket(connection, ticket_id), seen


def _not_later(at: datetime | None) -> datetime | None:
    """By a clock that is a little fast it happened now: it would outdo what follows, such as the
    way out. Raises `InvalidTime` for one that is more than a little fast."""
    now = datetime.now(UTC)
    if at is None or at <= now:
        return at
    if at > now + CLOCKS_DIFFER:
        raise InvalidTime(f"{at.isoformat()} is in the future.", "at")
    return now
