"""How soon the projector takes the next step: at once, unless events come in a rush."""

import time
from collections.abc import Callable

RUSH = 900
"""So many events a second are a rush."""
REST = 0.1
"""Seconds between steps in a rush. Many events change the same rows, which are then written once,
and what a step costs by itself is shared by more of them."""
WINDOW = 0.3
"""Seconds over which events are counted: after one step it cannot be told."""


class Pace:
    """Counts what steps take; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._events = 0
        self._rest = 0.0

    def rest(self, taken: int) -> float:
        """How many seconds to rest after a step that took so many events."""
        self._events += taken
        elapsed = self._clock() - self._since
        if elapsed >= WINDOW:
            self._rest = REST if self._events > RUSH * elapsed else 0.0
            self._since += elapsed
            self._events = 0
        return self._rest
