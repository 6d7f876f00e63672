"""How the read models follow the log, and building one again."""

from typing import Any

from flask import Response
from sqlalchemy import Connection

from application import jobs
from projections.engine.comparing import latest
from projections.engine.parking import waiting_streams
from projections.engine.status import status
from web.blueprint import Blueprint
from web.current import turnstile
from web.encoding import json_response
from web.idempotency import idempotency_key
from web.reading import found, reads_primary
from web.schemas.common import Nothing
from web.schemas.log import Job, ProjectionInFull, Projections, RebuildWish
from workers.jobs import COMPARE, OF_READ_MODELS, REBUILD, RETRY, request_for

MOST_STREAMS = 100

blueprint = Blueprint("projections", "/api/v1/projections", "How the read models follow the log")


@blueprint.get("")
@reads_primary()
@blueprint.shows(Projections)
def list_projections(connection: Connection) -> Any:
    """Show how far every read model is behind the log"""
    return {"items": status(connection)}


@blueprint.get("/<name>")
@reads_primary()
@blueprint.shows(ProjectionInFull)
def get_projection(connection: Connection, name: str) -> Any:
    """Show how far a read model is, what waits for it, and what its latest rebuild found"""
    by_name = {item["name"]: item for item in status(connection)}
    found_one = found(by_name.get(name), "read model", name)
    return {
        **found_one,
        **{kind: jobs.latest(connection, kind, name) for kind in OF_READ_MODELS},
        "comparison": latest(connection, name),
        "waiting": waiting_streams(connection, [name], MOST_STREAMS),
    }


@blueprint.asks_for_job("/<name>/rebuild")
@blueprint.takes(RebuildWish)
@blueprint.answers(202, Job)
def rebuild_projection(body: dict[str, Any], name: str) -> Response:
    """Build a read model again from the whole log, while the present one goes on"""
    kind = COMPARE if body["dry_run"] else REBUILD
    return json_response(request_for(turnstile(), kind, name, idempotency_key()), 202)


@blueprint.asks_for_job("/<name>/retry")
@blueprint.takes(Nothing)
@blueprint.answers(202, Job)
def retry_projection(body: dict[str, Any], name: str) -> Response:
    """Let a read model take what was parked for it, in order"""
    return json_response(request_for(turnstile(), RETRY, name, idempotency_key()), 202)
