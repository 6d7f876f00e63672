"""Hearing what is asked of a database: by SQLAlchemy, and by the prepared statements beside it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from application.store import prepared

Hear = Callable[[Connection, str], None]


def nothing(_: Connection, __: str) -> None:
    """For who does not want to hear."""


@contextmanager
def hearing(
    target: Engine | Connection, before: Hear = nothing, after: Hear = nothing
) -> Iterator[None]:
    """Call `before` and `after` with each statement on that engine or connection."""
    execute = prepared.execute

    def heard(connection: Connection, statements: Sequence[str], values: Sequence[Any]) -> Any:
        if target not in (connection, connection.engine):
            return execute(connection, statements, values)
        sql = ";\n".join(statements)
        before(connection, sql)
        rows = execute(connection, statements, values)
        after(connection, sql)
        return rows

    def hear_before(connection: Connection, _: Any, sql: str, *__: Any) -> None:
        before(connection, sql)

    def hear_after(connection: Connection, _: Any, sql: str, *__: Any) -> None:
        after(connection, sql)

    event.listen(target, "before_cursor_execute", hear_before)
    event.listen(target, "after_cursor_execute", hear_after)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "execute", heard)
        yield
    event.remove(target, "before_cursor_execute", hear_before)
    event.remove(target, "after_cursor_execute", hear_after)


@contextmanager
def statements(target: Engine | Connection) -> Iterator[list[str]]:
    """What is asked meanwhile."""
    said: list[str] = []
    with hearing(target, before=lambda _, sql: said.append(sql)):
        yield said
