"""Puts the clock of a process wrong, by what a file says that the test can change meanwhile.

Python imports a module of this name when it starts, if it finds one.
"""

import ctypes
import gc
import mmap
import os
import struct
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

VARIABLE = "TURNSTILE_TEST_CLOCK"


def shift(file: Path) -> None:
    """From now on, add the seconds that the file holds to what the clock says."""
    with file.open("rb") as opened:
        shared = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    clock, nanoseconds, now = time.time, time.time_ns, datetime.now

    def wrong_by() -> float:
        return float(struct.unpack_from("d", shared)[0])

    def shifted(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        return now(tz) + timedelta(seconds=wrong_by())

    time.time = lambda: clock() + wrong_by()
    time.time_ns = lambda: nanoseconds() + int(wrong_by() * 1e9)
    # A class of our own in its place would not do: the libraries written in C know this one.
    (namespace,) = gc.get_referents(datetime.__dict__)
    namespace["now"] = classmethod(shifted)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))


if file := os.environ.get(VARIABLE):
    shift(Path(file))
