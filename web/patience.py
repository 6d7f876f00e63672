"""Closing connections that take without giving: slow headers, slow bodies, slow readers, silence.

A thread that reads a body waits as long as its client likes, and granian has no timeout for
bodies. But the kernel knows when something was last sent on a connection, and every client is
owed an answer; so one on which nothing has been sent for too long is of no use to anybody.
"""

import os
import socket
import stat
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import structlog

LOOKS = 5
"""In so many steps the time is watched."""
TCP_INFO_SIZE = 48
milliseconds_since_sent = struct.Struct("=44xI").unpack
"""`tcpi_last_data_sent` of `struct tcp_info` in <linux/tcp.h>; of a new connection, its age."""

logger = structlog.get_logger(__name__)


def watch(port: int, seconds: float, stop: threading.Event) -> None:
    """Until `stop` is set, close those connections to `port` of this process on which nothing
    has been sent for `seconds`. Other systems than Linux do not tell."""
    while sys.platform.startswith("linux") and not stop.wait(seconds / LOOKS):
        closed = close_overdue(port, seconds)
        if closed:
            logger.warning("web.connections_closed", number=closed, silent_seconds=seconds)
    stop.wait()


def close_overdue(port: int, seconds: float) -> int:
    """Close what is overdue now; how many connections that were."""
    closed = 0
    for connection in _accepted_at(port):
        # Its client may be quicker.
        with connection, suppress(OSError):
            told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE)
            if milliseconds_since_sent(told)[0] > seconds * 1000:
                connection.shutdown(socket.SHUT_RDWR)
                closed += 1
    return closed


def _accepted_at(port: int) -> Iterator[socket.socket]:
    """This process's connections from clients, each under a descriptor of its own: the server
    may close its own at any time, and another file be opened under the same number.

    Nothing but a socket is closed here, and so nothing else copied: with any descriptor of a file
    that it closes, a process gives up all its locks on it, and SQLite relies on its own.
    """
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):
            if not _is_socket(descriptor):
                continue
            copy = os.dup(descriptor)
            if not _is_socket(copy):  # another file since a moment ago; the copy stays open
                continue
            found = socket.socket(fileno=copy)
            if _is_accepted(found, port):
                yield found
            else:
                found.close()


def _is_socket(descriptor: int) -> bool:
    return stat.S_ISSOCK(os.fstat(descriptor).st_mode)


def _is_accepted(found: socket.socket, port: int) -> bool:
    if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type != socket.SOCK_STREAM:
        return False
    try:
        found.getpeername()
    except OSError:  # the one that listens
        return False
    return bool(found.getsockname()[1] == port)
