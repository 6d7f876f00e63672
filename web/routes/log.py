"""The log itself: histories, states as of some moment, and the feed."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from application import history, proofs
from application.difference import difference
from application.store.tables import checkpoints
from projections.paging import page
from web.blueprint import Blueprint
from web.current import turnstile
from web.reading import reads
from web.schemas.common import PageQuery
from web.schemas.log import (
    AS_OF,
    AsOfQuery,
    CheckpointPage,
    Diff,
    DiffQuery,
    Feed,
    FeedQuery,
    History,
    HistoryQuery,
    Proof,
)

blueprint = Blueprint("log", "/api/v1", "Every recorded event, and what it made of things")

LONGEST_PROOF = 1_000
"""Events of a proof over HTTP."""


def _history_of(kind: str) -> Callable[..., Any]:
    @reads()
    @blueprint.asks(HistoryQuery)
    @blueprint.shows(History)
    def view(connection: Connection, query: dict[str, Any], **ids: UUID) -> Any:
        return history.history(connection, kind, ids[f"{kind}_id"], **query)

    view.__name__ = f"get_{kind}_history"
    view.__doc__ = f"Show everything recorded of one {kind}"
    return view


def _as_of(kind: str) -> Callable[..., Any]:
    @reads()
    @blueprint.asks(AsOfQuery)
    @blueprint.shows(AS_OF[kind])
    def view(connection: Connection, query: dict[str, Any], **ids: UUID) -> Any:
        return history.as_of(connection, kind, ids[f"{kind}_id"], **query)

    view.__name__ = f"get_{kind}_as_of"
    view.__doc__ = f"Show one {kind} as it was at a time, or at a version"
    return view


def _diff_of(kind: str) -> Callable[..., Any]:
    @reads()
    @blueprint.asks(DiffQuery)
    @blueprint.shows(Diff)
    def view(connection: Connection, query: dict[str, Any], **ids: UUID) -> Any:
        return difference(connection, kind, ids[f"{kind}_id"], **query)

    view.__name__ = f"get_{kind}_diff"
    view.__doc__ = f"Show what changed of one {kind} between two versions or two times"
    return view


def _proof_of(kind: str) -> Callable[..., Any]:
    @reads()
    @blueprint.shows(Proof)
    def view(connection: Connection, **ids: UUID) -> Any:
        key = turnstile().settings.checkpoint_public_key
        aggregate_id = ids[f"{kind}_id"]
        return proofs.prove(connection, kind, aggregate_id, public_key=key, at_most=LONGEST_PROOF)

    view.__name__ = f"get_{kind}_proof"
    view.__doc__ = f"Prove what was recorded of one {kind}, up to the latest checkpoint"
    return view


for _kind in history.KINDS:
    blueprint.get(f"/{_kind}s/<uuid:{_kind}_id>/history")(_history_of(_kind))
    blueprint.get(f"/{_kind}s/<uuid:{_kind}_id>/as-of")(_as_of(_kind))
    blueprint.get(f"/{_kind}s/<uuid:{_kind}_id>/diff")(_diff_of(_kind))
    blueprint.get(f"/{_kind}s/<uuid:{_kind}_id>/proof")(_proof_of(_kind))


@blueprint.get("/log")
@reads()
@blueprint.asks(FeedQuery)
@blueprint.shows(Feed)
def get_log(connection: Connection, query: dict[str, Any]) -> Any:
    """Follow every recorded event in order of position"""
    return history.feed(connection, **query)


@blueprint.get("/log/checkpoints")
@reads()
@blueprint.asks(PageQuery)
@blueprint.shows(CheckpointPage)
def list_checkpoints(connection: Connection, query: dict[str, Any]) -> Any:
    """List the signed checkpoints of the log, the newest first"""
    order = (checkpoints.c.position, checkpoints.c.public_key)
    return page(connection, select(checkpoints), order=order, descending=True, **query)
