"""Runs what is measured against: `eventsourcing`'s own recorders, in their own environment.

They need another driver than Turnstile, so `make bench` installs them into `.venv-baseline`.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PYTHON = ROOT / ".venv-baseline" / "bin" / "python"


def measure(script: str, *arguments: object) -> dict[str, Any]:
    """What `script` of this folder prints, a JSON object, when run with these arguments."""
    if not PYTHON.exists():
        raise FileNotFoundError("There is no .venv-baseline: run `make bench`, which makes it.")
    done = subprocess.run(
        [PYTHON, "-m", f"{__name__}.{script}", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed
