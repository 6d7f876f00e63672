"""The OpenAPI document, held against the application: whatever it allows is sent, and whatever it
forbids, as every role; each answer must be one that it documents, and none a failure of ours.

`make fuzz` sends more: FUZZ_EXAMPLES for every operation, at random.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.generation import GenerationMode
from schemathesis.generation.case import Case
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from application.access.identity import ATTENDEE
from application.checkpoints import take_checkpoint
from application.keys import new_key
from tests.keys import bearer
from tests.web.conftest import BoxOffice
from tests.web.world import PASSWORD, World, account
from web.permissions import RULES

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
DATABASES = ["sqlite", "postgres"] if EXAMPLES else ["postgres"]
ROLES = ["nobody", "ada", "olga", "auditor", "gate", "shop", "admin"]
TAKES_ANYTHING = {"get_own_account", "live", "metrics", "ready"}
"""Nothing can be sent there that the document forbids."""
OUT_OF_REACH = {"log_in", "change_password", "refresh_tokens"}
"""Taken only from who knows a secret; all else must be taken at least once."""
UNKNOWN_HEADER = "x-schemathesis-unknown-property"
"""Unlike the library, HTTP lets headers be ignored that nobody knows (RFC 9110, section 5.1)."""

NOT_IN_IT = {
    "openapi": "is the document",
    "pages.docs": "a page for people",
    "pages.redoc": "a page for people",
    "pages.script": "a file of these pages",
    "rules.explain_rule": "a text for people",
}
OPERATIONS = sorted(endpoint.split(".")[1] for endpoint in RULES if endpoint not in NOT_IN_IT)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    allow_header_conformance,
]
CONFIG = {
    "analysis": {"constants": {"enabled": bool(EXAMPLES)}},  # which takes seconds to find
    "generation": {"with-security-parameters": False},
    "checks": {
        "negative_data_rejection": {
            "expected-statuses": [400, 401, 403, 404, 405, 412, 413, 415, 422, 503]
        }
    },
}

CHECKPOINT_KEY = new_key().private

KNOWN_IDS = {
    "event_id": ("event", "draft", "ongoing"),
    "ticket_type_id": ("type",),
    "customer_id": ("ada", "bob"),
    "to_customer_id": ("bob", "ada"),
    "order_id": ("order", "unpaid"),
    "ticket_id": ("ticket",),
    "organizer_id": ("olga", "otto"),
    "subject_id": ("ada", "olga"),
    "account_id": ("bobs_account",),
    "key_id": ("other_gates_key",),
    "ticket_ids": ("ticket",),
    "event_ids": ("event", "draft", "ongoing"),
}
"""What in the world a parameter or a field of that name may name."""
KNOWN_NAMES = {
    "get_projection": "orders",
    "rebuild_projection": "orders",
    "retry_projection": "orders",
    "list_figure_sources": "scan_count",
}

bounded = settings(
    max_examples=EXAMPLES or 4,
    derandomize=not EXAMPLES,
    database=None,
    phases=[Phase.explicit, Phase.generate] + ([Phase.shrink] if EXAMPLES else []),
    suppress_health_check=list(HealthCheck),
)


pytestmark = pytest.mark.parametrize("office", DATABASES, indirect=True, scope="session")


@pytest.fixture(scope="module")
def document(office: BoxOffice) -> OpenApiSchema:
    config = SchemathesisConfig.from_dict(CONFIG)
    raw = office.send("GET", "/openapi.json").json
    for operation in _operations(raw):
        del operation["responses"]["default"]  # which would document whatever comes
    for schema in raw["components"]["schemas"].values():
        if schema["type"] == "object":  # left open to clients, but nothing is to be undocumented
            schema.setdefault("additionalProperties", False)
    loaded = schemathesis.openapi.from_dict(raw, config=config)
    loaded.app = office.app
    return loaded


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions are made up here, and waiting for them is tried elsewhere."""
    monkeypatch.setattr("web.reading.WAIT_SECONDS", 0.001)


def test_every_operation_is_tried(document: OpenApiSchema):
    documented = [operation["operationId"] for operation in _operations(document.raw_schema)]
    assert sorted(documented) == OPERATIONS


def test_every_operation_says_that_there_are_limits(document: OpenApiSchema):
    # They are off here, where more is asked than people ask.
    for operation in _operations(document.raw_schema):
        assert "429" in operation["responses"], operation["operationId"]


def _operations(raw: Mapping[str, Any]) -> Iterator[Any]:
    for path in raw["paths"].values():
        yield from (part for name, part in path.items() if name != "parameters")


@pytest.mark.parametrize("name", OPERATIONS)
def test_answers_are_as_documented(document: OpenApiSchema, world: World, name: str):
    world.credentials["impostor"] = bearer("no token of ours")
    operation, taken = document.find_operation_by_id(name), 0
    if name.endswith("_proof"):
        take_checkpoint(world.office.turnstile.engine, CHECKPOINT_KEY)
    for mode in GenerationMode:
        if mode.is_positive or name not in TAKES_ANYTHING:
            taken += _try_made_up(operation.as_strategy(mode), world)
    for number, case in enumerate(_cases_at_bounds(document, operation)):
        _name_what_exists(case, world, number)
        taken += _send_as(ROLES if EXAMPLES else ["admin"], case, world)
    assert taken or name in OUT_OF_REACH, "Nothing was taken, so nothing behind it was tried."


def _try_made_up(cases: st.SearchStrategy[Case[Any]], world: World) -> int:
    """How many of them were taken."""
    taken = 0

    @bounded
    @given(cases, st.integers(0, 3))
    def tried(case: Case[Any], choice: int) -> None:
        nonlocal taken
        if choice:
            _name_what_exists(case, world, choice)
        taken += _send_as(ROLES, case, world)

    tried()
    return taken


def _cases_at_bounds(
    document: OpenApiSchema, operation: APIOperation[Any, Any, Any, Any]
) -> Iterator[Case[Any]]:
    """The shortest, the longest, what is just beyond, what is left out, every choice of a few."""
    return document.iter_coverage_cases(
        operation,
        generation_modes=list(GenerationMode),
        generation_config=document.config.generation,
    )


def _send_as(roles: list[str], case: Case[Any], world: World) -> int:
    """How many of them it was taken from."""
    taken = 0
    for role in roles:
        response = case.call(headers=world.credentials[role])
        case.validate_response(response, CHECKS, excluded_checks=_excluded(case, response))
        if response.status_code < 300 and case.method == case.operation.method.upper():
            taken += 1
            if _name(case) == "log_out":
                world.log_in(role)
            if _name(case) == "delete_account":
                again = account(world.office, ATTENDEE, UUID(world.ids["bob"]))
                world.ids["bobs_account"] = str(again.id)
    return taken


def _excluded(case: Case[Any], response: Response) -> list[CheckFunction]:
    """Checks that are not sound of this answer."""
    excluded: list[CheckFunction] = []
    if _waits_for_more(response):
        excluded.append(not_a_server_error)
    if UNKNOWN_HEADER in case.headers:
        excluded.append(negative_data_rejection)
    return excluded


def _waits_for_more(response: Response) -> bool:
    """Whether it is the documented answer about a position of the log that is not there yet."""
    return response.status_code == 503 and response.json()["type"] == "/problems/not-caught-up"


def _is_allowed(case: Case[Any]) -> bool:
    """Whether the document allows what was made up."""
    return case.meta is not None and case.meta.generation.mode.is_positive


def _name(case: Case[Any]) -> str:
    return str(case.operation.definition.raw["operationId"])


def _name_what_exists(case: Case[Any], world: World, choice: int) -> None:
    """Put ids from the world where the case has made ids up, so that it gets beyond a 404;
    and an address and a password that an account may have."""
    ids = {name: world.ids[known[choice % len(known)]] for name, known in KNOWN_IDS.items()}
    case.path_parameters = _swapped(case.path_parameters, ids)
    case.query = _swapped(case.query, ids)
    if isinstance(case.body, dict):
        new = {"email": f"{uuid4()}@example.org", "password": PASSWORD}
        fitting = {name: new[name] for name in new if _is_allowed(case) and name in case.body}
        case.body = _swapped(case.body, ids) | fitting
    case.headers.pop("If-Match", None)
    if "Turnstile-Position" in case.headers and _is_allowed(case):
        case.headers["Turnstile-Position"] = "1"
    known_name = KNOWN_NAMES.get(_name(case))
    if known_name and isinstance(case.path_parameters.get("name"), str):
        case.path_parameters["name"] = known_name


def _swapped(value: Any, ids: dict[str, str], name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _swapped(inner, ids, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_swapped(inner, ids, name) for inner in value]
    return ids[name] if name in ids and _is_id(value) else value


def _is_id(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False
