"""The log itself: histories, states as of some moment, and the feed."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from application import history
from application.difference import difference
from web.blueprint import Blueprint
from web.reading import reads
from web.schemas.log import AsOf, AsOfQuery, Diff, DiffQuery, Feed, FeedQuery, History, HistoryQuery

blueprint = Blueprint("log", "/api/v1", "Every recorded event, and what it made of things")


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
    @blueprint.shows(AsOf)
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


for _kind in history.KINDS:
    blueprint.get(f"/{_kind}s/<uuid:{_kind}_id>/history")(_history_of(_kind))
    blueprint.get(f"/{_kind}s/<uuid:{_kind}_id>/as-of")(_as_of(_kind))
    blueprint.get(f"/{_kind}s/<uuid:{_kind}_id>/diff")(_diff_of(_kind))


@blueprint.get("/log")
@reads()
@blueprint.asks(FeedQuery)
@blueprint.shows(Feed)
def get_log(connection: Connection, query: dict[str, Any]) -> Any:
    """Follow every recorded event in order of position"""
    return history.feed(connection, **query)
