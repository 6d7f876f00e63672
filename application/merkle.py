"""A Merkle tree over the log's hashes, as RFC 6962 (section 2.1) defines it.

Its leaves are numbered from 0, so the event at position p is leaf p - 1. Subtrees are named by
the range of leaves, from `start` up to but not including `end`.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

EMPTY = hashlib.sha256().digest()
TILE = 8
"""Every so many levels, complete subtrees are worth keeping: 256 of them make one of the next."""


class MissingHash(ValueError):
    """A proof that holds fewer hashes than its tree has subtrees to tell of."""


def leaf(value: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\x00" + value).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Node(NamedTuple):
    """The hash of a complete subtree of 2**level leaves; `place` counts these from 0."""

    level: int
    place: int
    hash: bytes


class Frontier:
    """The complete subtrees that a growing tree consists of, the largest first."""

    def __init__(self) -> None:
        self.size = 0
        self._completed: list[Node] = []
        self._subtrees: list[tuple[int, bytes]] = []

    def add(self, subtree: bytes, level: int = 0) -> None:
        """Append a complete subtree of 2**level leaves; no present one is smaller than that."""
        subtrees = self._subtrees
        self.size += 1 << level
        while subtrees and subtrees[-1][0] == level:
            subtree = node(subtrees.pop()[1], subtree)
            level += 1
            if level % TILE == 0:
                self._completed.append(Node(level, (self.size >> level) - 1, subtree))
        subtrees.append((level, subtree))

    def take_completed(self) -> list[Node]:
        """The subtrees worth keeping that were completed since this was asked last."""
        completed, self._completed = self._completed, []
        return completed

    def root(self) -> bytes:
        """The hash of the whole tree."""
        if not self._subtrees:
            return EMPTY
        *others, (_, root) = self._subtrees
        for _, subtree in reversed(others):
            root = node(subtree, root)
        return root


def subtrees_without(
    leaves: Sequence[int], start: int, end: int, root_of: Callable[[int, int], bytes]
) -> Iterator[bytes]:
    """The hashes that, with those ascending leaves, make up the subtree: from left to right.

    Of each largest subtree without any of the leaves there is one hash.
    """
    inside = _between(leaves, start, end)
    if not inside:
        yield root_of(start, end)
    elif end - start > 1:
        middle = _middle(start, end)
        yield from subtrees_without(inside, start, middle, root_of)
        yield from subtrees_without(inside, middle, end, root_of)


def root_from(leaves: Mapping[int, bytes], start: int, end: int, others: Iterator[bytes]) -> bytes:
    """The hash of the subtree, from some of its leaves and the `subtrees_without` them.

    Takes as many of `others` as it needs; raises `MissingHash` when there are fewer.
    """
    return _root_from(sorted(leaves), leaves, start, end, others)


def _root_from(
    numbers: Sequence[int],
    leaves: Mapping[int, bytes],
    start: int,
    end: int,
    others: Iterator[bytes],
) -> bytes:
    inside = _between(numbers, start, end)
    if not inside:
        return _next(others)
    if end - start == 1:
        return leaves[start]
    middle = _middle(start, end)
    left = _root_from(inside, leaves, start, middle, others)
    return node(left, _root_from(inside, leaves, middle, end, others))


def _between(ascending: Sequence[int], start: int, end: int) -> Sequence[int]:
    return ascending[bisect_left(ascending, start) : bisect_left(ascending, end)]


def _middle(start: int, end: int) -> int:
    """Where the left one of two subtrees ends: it has the largest power of two of leaves."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _next(hashes: Iterator[bytes]) -> bytes:
    for one in hashes:
        return one
    raise MissingHash("It holds too few hashes.")
