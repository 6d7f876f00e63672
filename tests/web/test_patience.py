"""Connections without an answer are closed, and nothing else."""

import fcntl
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from web.patience import close_overdue


def test_only_connections_without_an_answer_are_closed():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with ExitStack() as opened:
            pairs = []
            for _ in range(2):
                client = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
                pairs.append((client, opened.enter_context(server.accept()[0])))
            time.sleep(0.5)
            pairs[1][1].sendall(b"answer")
            assert close_overdue(port, 60) == 0
            assert close_overdue(port + 1, 0.25) == 0
            assert close_overdue(port, 0.25) == 1
            assert pairs[0][0].recv(1) == b""
            pairs[1][1].sendall(b" and more")
            assert pairs[1][0].recv(100) == b"answer and more"


def test_files_keep_their_locks(tmp_path: Path):
    """SQLite would delete what the server writes to, once another process thinks itself alone."""
    path = tmp_path / "database"
    with path.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        close_overdue(1, 60)
        assert _is_locked(path)
    assert not _is_locked(path)


def _is_locked(path: Path) -> bool:
    """Whether another process may not lock it."""
    code = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'a'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    done = subprocess.run([sys.executable, "-c", code, path], stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0 or b"BlockingIOError" in done.stderr
    return done.returncode != 0
