"""The Merkle tree over the log's hashes, from the parts of it that checkpoints have stored.

Stored are the complete subtrees of 256, 65,536, … events. The leaves are the events themselves,
and whatever lies between is computed again: from at most 256 hashes for each of these levels.
"""

from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import Connection, select

from application.merkle import TILE, Frontier, Node, leaf
from application.store.chain import LogAltered
from application.store.tables import events, tree_nodes
from application.store.writes import insert_missing

LEVELS = (32, 24, 16, 8, 0)
WIDTH = 1 << TILE
TILES_KEPT = 64
"""In memory; a proof goes through the tree from left to right."""


class StoredTree:
    """The tree over the first `size` events, of which `tree_nodes` has all complete subtrees."""

    def __init__(self, connection: Connection, size: int) -> None:
        self._connection = connection
        self._size = size
        self._tile = lru_cache(TILES_KEPT)(self._read_tile)

    @property
    def is_stored(self) -> bool:
        """Whether any of it is here: a log that was restored comes without."""
        some = select(tree_nodes.c.place).limit(1)
        return self._size < WIDTH or self._connection.execute(some).first() is not None

    def frontier(self, start: int = 0, end: int | None = None) -> Frontier:
        """The subtree of the leaves from `start` up to but not including `end`."""
        end = self._size if end is None else end
        frontier = Frontier()
        for level in LEVELS:
            while start + (1 << level) <= end:
                frontier.add(self._subtree(level, start >> level), level)
                start += 1 << level
        return frontier

    def root(self, start: int, end: int) -> bytes:
        """The hash of that subtree."""
        return self.frontier(start, end).root()

    def _subtree(self, level: int, place: int) -> bytes:
        return self._tile(level, place // WIDTH)[place % WIDTH]

    def _read_tile(self, level: int, number: int) -> list[bytes]:
        """The subtrees of that level which make up one of the next level worth keeping."""
        first, end = number * WIDTH, min((number + 1) * WIDTH, self._size >> level)
        hashes = self._leaves(first, end) if level == 0 else self._nodes(level, first, end)
        if len(hashes) != end - first:
            raise LogAltered((first << level) + 1, "of the hashes from here on, some are gone.")
        return hashes

    def _leaves(self, first: int, end: int) -> list[bytes]:
        query = select(events.c.hash).order_by(events.c.position)
        query = query.where(events.c.position.between(first + 1, end))
        return [leaf(digest) for digest in self._connection.scalars(query)]

    def _nodes(self, level: int, first: int, end: int) -> list[bytes]:
        query = select(tree_nodes.c.hash).order_by(tree_nodes.c.place)
        query = query.where(tree_nodes.c.level == level)
        query = query.where(tree_nodes.c.place.between(first, end - 1))
        return [bytes(digest) for digest in self._connection.scalars(query)]


def keep_nodes(connection: Connection, nodes: Sequence[Node]) -> None:
    """Store complete subtrees; those that are stored already stay."""
    insert_missing(connection, tree_nodes, [node._asdict() for node in nodes])
