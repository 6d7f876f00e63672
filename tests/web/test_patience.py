"""Connections without an answer are closed, and no others."""

import socket
import time
from contextlib import ExitStack

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
