"""What a read model is to the engine: its tables, and a handler for each kind of event."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Table

from domain.aggregate import Fact
from projections.engine.rows import Rows

Handler = Callable[[Rows, Any], None]


class ReadModel:
    """A name (under which its position is kept), tables, and handlers by event class.

    `subject` is the kind of aggregate that it handles the most kinds of events of.
    """

    def __init__(
        self,
        name: str,
        tables: tuple[Table, ...],
        handlers: Mapping[type[Fact], Handler],
    ) -> None:
        self.name = name
        self.tables = tables
        self.handlers: dict[type[Fact], Handler] = dict(handlers)
        self.topics = {cls.TOPIC for cls in handlers}
        kinds = [topic.partition(".")[0] for topic in sorted(self.topics)]
        self.subject = max(kinds, key=kinds.count)
