"""How the interpreter of a long-running process is set up."""

import gc

YOUNG, MIDDLE, OLD = 200_000, 20, 50
"""Allocations before the youngest objects are looked through, and how often the older ones."""
YOUNG_IN_BATCHES = 1_000_000


def collect_rarely(young: int = YOUNG) -> None:
    """Let the garbage collector leave alone what has been loaded, and look less often.

    A full collection walks through every cached aggregate while all requests wait: measured,
    it made the slowest hundredth of orders take 120 ms instead of 53. Reference counts free
    what requests leave behind; cycles are rare. In workers and the projector the youngest may be
    more, because a batch of theirs makes some hundred thousand objects that all live until it is
    written: looking through them each time took a fifth of a rebuild's processor time. In web
    processes that many lose a tenth of the orders, whose objects then lie too far apart for the
    processor's cache.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(young, MIDDLE, OLD)
