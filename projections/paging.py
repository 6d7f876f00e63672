"""Pages of a long list: each ends in a cursor, from where the next one goes on."""

import base64
from collections.abc import Callable, Sequence
from datetime import datetime
from types import GenericAlias
from typing import Annotated, Any, Literal
from zlib import crc32

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, literal, tuple_

from application.store.tables import UTCDateTime

Item = dict[str, Any]

# What a cursor may hold: anything else, the databases would refuse in words of their own.
_KINDS: dict[type, Any] = {
    str: Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*\Z")],
    int: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    datetime: Annotated[datetime, msgspec.Meta(tz=True)],
}


class BadCursor(ValueError):
    """The cursor is not one that this list gave."""


def page(
    connection: Connection,
    query: Select[Any],
    *,
    order: Sequence[ColumnElement[Any]],
    limit: int = 20,
    after: str | None = None,
    descending: bool = False,
    shape: Callable[[Item], Item] = dict,
) -> Item:
    """The next `limit` rows of `query`, as `{"items": […], "next": cursor or None}`.

    `order` ends in a unique column, and none of its columns is ever null; they need not be
    among those of `query`. Each item is a row as `shape` returns it. Raises `BadCursor`.
    """
    mark = _mark(order, descending)
    if after is not None:
        query = query.where(_beyond(order, _decode(after, order, mark), descending))
    ordered = query.order_by(*(column.desc() if descending else column for column in order))
    result = connection.execute(ordered.add_columns(*order).limit(limit + 1))
    names = list(result.keys())[: -len(order)]
    rows = result.all()
    items = [shape(dict(zip(names, row, strict=False))) for row in rows[:limit]]
    last = rows[limit - 1][-len(order) :] if len(rows) > limit else None
    return {"items": items, "next": None if last is None else _encode(mark, last)}


def _beyond(
    order: Sequence[ColumnElement[Any]], last: Sequence[Any], descending: bool
) -> ColumnElement[bool]:
    here = tuple_(*order)
    there = tuple_(
        *(literal(value, column.type) for value, column in zip(last, order, strict=True))
    )
    return here < there if descending else here > there


def _mark(order: Sequence[ColumnElement[Any]], descending: bool) -> int:
    """Tells a list, and its order, from others whose cursors look alike."""
    return crc32(f"{'-' if descending else ''}{order[0]},{order[-1]}".encode())


def _encode(mark: int, values: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((mark, *values))).rstrip(b"=").decode()


def _decode(cursor: str, order: Sequence[ColumnElement[Any]], mark: int) -> tuple[Any, ...]:
    shape = GenericAlias(tuple, (Literal[mark], *(_kind(column) for column in order)))
    padding = "=" * (-len(cursor) % 4)
    try:
        text = base64.b64decode(cursor + padding, altchars=b"-_", validate=True)
        return msgspec.json.decode(text, type=shape)[1:]  # type: ignore[no-any-return]
    except ValueError as error:
        raise BadCursor("The cursor is not one that this list gave.") from error


def _kind(column: ColumnElement[Any]) -> Any:
    python_type = datetime if isinstance(column.type, UTCDateTime) else column.type.python_type
    return _KINDS.get(python_type, python_type)
