"""How the read models follow the log, and building one again."""

from typing import Any

from flask import Response
from sqlalchemy import Connection

from application import jobs
from projections.engine.status import status
from web.blueprint import Blueprint
from web.current import turnstile
from web.encoding import json_response
from web.reading import found, reads_primary
from web.schemas.common import Nothing
from web.schemas.log import Job, Projections, ProjectionWithJob
from workers.jobs import REBUILD, request_rebuild

blueprint = Blueprint("projections", "/api/v1/projections", "How the read models follow the log")


@blueprint.get("")
@reads_primary()
@blueprint.shows(Projections)
def list_projections(connection: Connection) -> Any:
    """Show how far every read model is behind the log"""
    return {"items": status(connection)}


@blueprint.get("/<name>")
@reads_primary()
@blueprint.shows(ProjectionWithJob)
def get_projection(connection: Connection, name: str) -> Any:
    """Show how far a read model is, and the progress of its latest rebuild"""
    by_name = {item["name"]: item for item in status(connection)}
    found_one = found(by_name.get(name), "read model", name)
    return {**found_one, "rebuild": jobs.latest(connection, REBUILD, name)}


@blueprint.plain("/<name>/rebuild", "POST", 400, 404, 415, 422)
@blueprint.takes(Nothing)
@blueprint.answers(202, Job)
def rebuild_projection(body: dict[str, Any], name: str) -> Response:
    """Build a read model again from the whole log, while the present one goes on"""
    return json_response(request_rebuild(turnstile(), name), 202)
