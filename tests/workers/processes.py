"""Turnstile's processes as an operator runs them, and killed as no operator should."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.keys import bearer

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds after which something that should have happened has not; the machine may be busy."""

T = TypeVar("T")


@dataclass
class Running:
    """A `turnstile` command, the processes that it started, and what it prints."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def end(self, number: int = signal.SIGTERM, patience: float = PATIENCE) -> int:
        """Send it that signal; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(patience)

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(PATIENCE)

    @property
    def said(self) -> str:
        file = self.log.fileno()
        # Not by `seek`, which would move the place where the process goes on writing.
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    @property
    def leaves_nobody(self) -> bool:
        """Whether every process has ended that it started, or that those started."""
        return not session(self.process.pid)

    def parts(self) -> dict[str, int]:
        """The processes under a supervisor, by what they do."""
        lines = [line for line in self.said.splitlines() if '"part.started"' in line]
        return {line["part"]: line["pid"] for line in map(json.loads, lines)}


def session(leader: int) -> list[int]:
    """The processes that began with that one, in groups of their own or not; not those which have
    ended and are still to be waited for."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            state, *_, sid = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
            if int(sid) == leader and state != "Z":
                found.append(int(pid))
    return found


def kill_session(leader: int) -> None:
    """Kill them all at once, before any can start another."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in session(leader):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def turnstile(*arguments: str, url: str, **environment: str) -> Iterator[Running]:
    """The `turnstile` command on that database; whatever is left at the end is killed."""
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "web", *arguments],
            cwd=folder,
            env={
                **{name: value for name, value in os.environ.items() if name != "REDIS_URL"},
                "PYTHONPATH": str(REPOSITORY),
                "DATABASE_URL": url,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        running = Running(process, log)
        try:
            yield running
        except BaseException:
            sys.stderr.write(running.said)
            raise
        finally:
            kill_session(process.pid)
            process.wait()


def eventually(look: Callable[[], T], pause: float = 0.02, patience: float = PATIENCE) -> T:
    """What `look` finds, once it finds anything."""
    deadline = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < deadline, f"Not within {patience:g} seconds: {look.__qualname__}"
        time.sleep(pause)
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass(frozen=True)
class Client:
    """Speaks JSON to a server of ours."""

    port: int
    key: str = ""

    def get(self, path: str, **headers: str) -> Any:
        return self._send(Request(self._url(path), headers=self._credentials() | headers))

    def post(self, path: str, body: Any = None) -> Any:
        data = json.dumps(body if body is not None else {}).encode()
        headers = {"Content-Type": "application/json", **self._credentials()}
        return self._send(Request(self._url(path), data, headers))

    def answers(self, path: str, **headers: str) -> Any:
        """What a GET brings; None while nobody listens or the server says that it cannot yet."""
        try:
            return self.get(path, **headers)
        except HTTPError as error:
            if error.code != 503:
                raise
        except OSError:
            pass
        return None

    def _credentials(self) -> dict[str, str]:
        return bearer(self.key) if self.key else {}

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _send(self, request: Request) -> Any:
        with urlopen(request, timeout=PATIENCE) as response:
            return json.load(response)
