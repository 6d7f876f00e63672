"""For those who run Turnstile: is it alive, is it ready, what is it doing."""

from typing import Any

from flask import Response

from web import readiness
from web.blueprint import Blueprint
from web.current import turnstile
from web.encoding import json_response
from web.exposition import exposition
from web.problems import UNAVAILABLE_RULES, problem
from web.schemas.health import Live, Ready

blueprint = Blueprint("health", "", "For those who run Turnstile")


@blueprint.plain("/health/live")
@blueprint.answers(200, Live)
def live() -> Response:
    """Say whether the process answers at all"""
    return json_response({"status": "ok"})


@blueprint.plain("/health/ready", "GET", 503)
@blueprint.answers(200, Ready)
def ready() -> Response:
    """Say whether the process can do its work"""
    checks: dict[str, Any] = readiness.check(turnstile())
    failed = [name for name, check in checks.items() if check["status"] == "error"]
    if failed:
        said = f"Not ready: {', '.join(failed)}."
        return problem(503, "not-ready", UNAVAILABLE_RULES["not-ready"], said, checks=checks)
    return json_response({"status": "ok", "checks": checks})


@blueprint.plain("/metrics", "GET", 403)
@blueprint.answers(200, {"type": "string"}, content_type="text/plain")
def metrics() -> Response:
    """Expose metrics for Prometheus"""
    content, content_type = exposition(turnstile())
    return Response(content, content_type=content_type)
