"""What the rules mean that end the `type` of a problem document."""

from flask import Blueprint, Response

from web.problems import known_rules
from web.reading import found

blueprint = Blueprint("rules", __name__)


@blueprint.get("/problems/<rule>")
def explain_rule(rule: str) -> Response:
    """A short text about one rule, for people."""
    status, title = found(known_rules().get(rule), "rule", rule)
    return Response(f"{rule} ({status})\n\n{title}.\n", mimetype="text/plain")
