"""Reading the events that read models handle; while some are taken, those that follow."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy import Connection, Engine

from application.store import log
from domain.aggregate import Fact
from projections.engine.decoding import facts_of
from projections.engine.read_model import ReadModel

_readers = ThreadPoolExecutor(4, "read-ahead")

Wanted = tuple[tuple[str, ...], int, int]
"""Topics, and the positions to read after and up to."""


class Reading:
    """Reads batch after batch for one projector or rebuild.

    What is recorded never changes, so the next batch of a long way may be read by another
    connection while the database would otherwise wait for the handlers, and they for it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ahead: tuple[Wanted, Future[list[Fact]]] | None = None
        self._latest: tuple[Wanted, list[Fact]] | None = None

    def read(
        self,
        connection: Connection,
        models: Sequence[ReadModel],
        start: int,
        end: int,
        *,
        then_to: int = 0,
    ) -> list[Fact]:
        """The events with `start < position <= end` that any of these models handles.

        The batch after them is read ahead, as long as this one and not past `then_to`. Who asks
        for the same batch as the one before, since its own turn has come, is given the same.
        """
        topics = tuple(sorted(set().union(*(model.topics for model in models))))
        wanted = (topics, start, end)
        if self._latest is None or self._latest[0] != wanted:
            self._latest = None
            self._latest = (wanted, self._new_batch(connection, wanted))
            if end < then_to:
                following = (topics, end, min(end + (end - start), then_to))
                self._ahead = (following, _readers.submit(self._read_ahead, following))
        return self._latest[1]

    def _new_batch(self, connection: Connection, wanted: Wanted) -> list[Fact]:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == wanted:
            return ahead[1].result()
        return _facts(connection, wanted)

    def _read_ahead(self, wanted: Wanted) -> list[Fact]:
        with self._engine.connect() as connection:
            return _facts(connection, wanted)


def _facts(connection: Connection, wanted: Wanted) -> list[Fact]:
    topics, start, end = wanted
    found = log.read(
        connection, after=start, until=end, limit=end - start, topics=topics, leave_broken=True
    )
    return facts_of(found)
