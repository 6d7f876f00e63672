"""The demo: what it prints works as printed, and it leaves everything else alone."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

START_SECONDS = 120
HOME = Path(__file__).parents[3]
GOODBYE = "Ended. What happened stays in .demo until the next demo."


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "web", "demo", *arguments]


def environment(**changed: str) -> dict[str, str]:
    """As on a machine with another box office, in a terminal of 80 columns."""
    elsewhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "COLUMNS": "80"}
    return os.environ | elsewhere | {"PYTHONPATH": str(HOME)} | changed


def run(folder: Path, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(**changed),
        capture_output=True,
        check=False,
        text=True,
        timeout=START_SECONDS,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def printed_until(process: subprocess.Popen[str], last: str) -> str:
    """What it has printed when a line with `last` has come."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if last in line:
            return printed
    raise AssertionError(f"It ended early:\n{printed}")


@contextmanager
def started(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo in that folder; killed in the end, if it still runs."""
    process = subprocess.Popen(
        command("--port", str(free_port())),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@dataclass(frozen=True)
class Running:
    """A demo that runs: where, and what it has printed."""

    folder: Path
    printed: str


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("demo")
    with started(folder) as process:
        yield Running(folder, printed_until(process, "Ctrl-C"))


def commands_in(printed: str) -> list[str]:
    """Blocks of lines that are indented as commands are."""
    blocks = re.findall(r"(?:^ {4,}\S.*\n)+", printed, re.MULTILINE)
    return [block for block in blocks if block.split()[0] in ("curl", "env")]


def pasted(text: str, folder: Path) -> str:
    """What a shell in another folder makes of it; without curl, what curl would do."""
    words = shlex.split(text)
    if words[0] == "curl" and shutil.which("curl") is None:
        body = words[words.index("-d") + 1].encode() if "-d" in words else None
        headers = dict(
            words[place + 1].split(": ", 1) for place, word in enumerate(words) if word == "-H"
        )
        request = Request(words[2], body, headers)
        with urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())
    ended = subprocess.run(
        ["sh", "-c", text],
        cwd=folder,
        env=os.environ | {"COLUMNS": "160"},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_printed_commands_work_when_pasted_in_another_terminal(
    running: Running, tmp_path: Path
):
    summary, check_in, history = commands_in(running.printed)

    events = json.loads(pasted(summary, tmp_path))["items"]
    attempts = [json.loads(pasted(check_in, tmp_path)) for _ in range(2)]
    timeline = pasted(history, tmp_path)

    assert {event["event_name"]: event["tickets_remaining"] == 0 for event in events} == {
        "Heron Meadow": False,
        "Why Swifts Never Land": False,
        "The Tin Owls by Lantern Light": True,
    }
    assert [(attempt["status"], attempt["reason"]) for attempt in attempts] == [
        ("ok", None),
        ("error", "already_redeemed"),
    ]
    for fact in ("Issued", "Transferred", "Admitted", "ScanRefused"):
        assert f"Ticket.{fact}" in timeline


def test_the_printed_pages_open(running: Running):
    pages = re.findall(r"^  (http://\S+)", running.printed, re.MULTILINE)

    assert len(pages) == 2
    for page in pages:
        with urlopen(page, timeout=30) as answer:
            assert answer.status == 200


def test_a_second_demo_does_not_take_the_database_from_the_first(running: Running):
    ended = run(running.folder, "--once")

    assert ended.returncode == 1
    assert "already" in ended.stderr
    assert json.loads(pasted(commands_in(running.printed)[0], running.folder))["items"]


def test_ctrl_c_ends_it_cleanly(tmp_path: Path):
    with started(tmp_path) as process:
        printed_until(process, "Ctrl-C")

        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)

    assert (process.returncode, rest.strip()) == (0, GOODBYE)


def test_ctrl_c_while_it_loads_ends_it_as_well(tmp_path: Path):
    with started(tmp_path) as process:
        printed_until(process, "Starting")

        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)

    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert rest.strip().endswith(GOODBYE)


def test_once_prints_the_summaries_and_leaves_the_rest_alone(tmp_path: Path):
    mine = tmp_path / "turnstile.db"
    mine.write_text("not touched")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        first, second = (run(tmp_path, "--once", PORT=port) for _ in range(2))

    for ended in (first, second):
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr == ""
        for heading in ("Events", "Gates", "Top ticket types"):
            assert f"\n{heading}\n" in ended.stdout
        assert re.search(r"The Tin Owls by Lantern Light +160 +0 +0 +[0-9.]+ GBP", ended.stdout)
    assert mine.read_text() == "not touched"
    assert {path.name for path in tmp_path.iterdir()} == {".demo", "turnstile.db"}


def test_a_port_that_is_taken_is_said_plainly(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        ended = run(tmp_path, "--port", port)

    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert port in ended.stderr
    assert "--port" in ended.stderr
    assert not (tmp_path / ".demo").exists()
