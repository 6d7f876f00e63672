"""The tree over hashes: the roots of RFC 6962, from whichever leaves are known."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.merkle import (
    EMPTY,
    Frontier,
    MissingHash,
    leaf,
    node,
    root_from,
    subtrees_without,
)

# The test vectors of Certificate Transparency's reference implementation.
VALUES = [
    bytes.fromhex(value)
    for value in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}

sizes_and_leaves = st.integers(1, 70).flatmap(
    lambda size: st.tuples(
        st.just(size), st.lists(st.integers(0, size - 1), min_size=1, unique=True).map(sorted)
    )
)


def plain_root(leaves: Sequence[bytes]) -> bytes:
    """As RFC 6962 words it."""
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node(plain_root(leaves[:half]), plain_root(leaves[half:]))


def leaves_of(size: int) -> list[bytes]:
    return [leaf(str(number).encode()) for number in range(size)]


def grown(leaves: Sequence[bytes]) -> Frontier:
    frontier = Frontier()
    for one in leaves:
        frontier.add(one)
    return frontier


@pytest.mark.parametrize("size", ROOTS)
def test_roots_are_those_of_certificate_transparency(size: int):
    assert grown([leaf(value) for value in VALUES[:size]]).root().hex() == ROOTS[size]


def test_a_tree_that_grows_has_the_root_of_all_its_leaves():
    frontier = Frontier()
    leaves = leaves_of(300)
    for size, one in enumerate(leaves, 1):
        frontier.add(one)
        assert frontier.root() == plain_root(leaves[:size])


def test_subtrees_worth_keeping_are_given_once_with_their_place():
    leaves = leaves_of(600)
    frontier = grown(leaves)
    kept = {(level, place): digest for level, place, digest in frontier.take_completed()}
    assert kept == {
        (8, 0): plain_root(leaves[:256]),
        (8, 1): plain_root(leaves[256:512]),
    }
    assert frontier.take_completed() == []


@given(sizes_and_leaves)
def test_any_leaves_and_the_subtrees_without_them_make_up_the_root(
    size_and_leaves: tuple[int, list[int]],
):
    size, chosen = size_and_leaves
    leaves = leaves_of(size)
    others = list(
        subtrees_without(chosen, 0, size, lambda start, end: plain_root(leaves[start:end]))
    )
    known = {number: leaves[number] for number in chosen}
    left = iter(others)
    assert root_from(known, 0, size, left) == plain_root(leaves)
    assert list(left) == []
    altered = {**known, chosen[0]: leaf(b"altered")}
    assert root_from(altered, 0, size, iter(others)) != plain_root(leaves)
    if others:
        with pytest.raises(MissingHash):
            root_from(known, 0, size, iter(others[:-1]))
