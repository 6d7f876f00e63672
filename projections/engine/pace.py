"""How soon the projector takes the next step: at once, unless events come in a rush."""

import time
from collections.abc import Callable

REST = 0.2
"""Seconds between the steps in a rush. A dashboard shows nothing sooner than that, and for each
event a step of fifty costs a quarter of what one of five does."""
RUSH = 1_000
"""So many events a second are a rush."""
WINDOW = 0.1
"""Seconds over which they are counted: after one step it cannot be told."""


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
