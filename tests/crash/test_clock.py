"""The wrong clock of the crash suite is the one that a process goes by."""

import os
import struct
import subprocess
import sys
from pathlib import Path

from tests.crash.clock import sitecustomize
from tests.workers.processes import REPOSITORY

LOOK = """
import struct, sys, time
from datetime import UTC, datetime
from pathlib import Path
from domain.ids import uuid7

def clocks():
    of_id = (uuid7().int >> 80) / 1000
    return time.time(), time.time_ns() / 1e9, datetime.now(UTC).timestamp(), of_id

before = clocks()
with Path(sys.argv[1]).open("r+b") as file:
    file.write(struct.pack("d", -3600.0))
for was, now in zip(before, clocks(), strict=True):
    print(round((now - was) / 60))
"""


def test_a_running_process_goes_by_the_clock_that_was_put_back(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("d", 0.0))
    folder = str(Path(sitecustomize.__file__).parent)
    environment = os.environ | {
        sitecustomize.VARIABLE: str(clock),
        "PYTHONPATH": os.pathsep.join((str(REPOSITORY), folder)),
    }
    command = [sys.executable, "-c", LOOK, str(clock)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["-60"] * 4
