"""Running the parts of the box office, each in its process or all as threads of one."""

import multiprocessing
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Any

from flask import Flask
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from prometheus_client import start_http_server
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import BaseWSGIServer, create_server

from application.composition import Turnstile
from application.settings import Settings
from projections.engine.projector import Projector
from web import patience, wsgi
from web.app import create_app
from web.current import EXTENSION
from web.exposition import SHARED_METRICS, of_processes
from workers import checkpoints, reactor, tidying
from workers.jobs import jobs_of
from workers.supervisor import end_with

STOP_SECONDS = 10
LOOK_SECONDS = 0.5
OUR_LOGS = {"formatters": {}, "handlers": {}, "loggers": {"_granian": {"propagate": True}}}
"""What granian says goes where all logs go."""
MOST_CONNECTIONS = 2_000
"""Idle ones included, of the embedded server; each is a file descriptor."""

Part = Callable[[threading.Event], Any]


def port_fault(host: str, port: int) -> str | None:
    """Why nothing can listen there; None when it is free."""
    try:
        family = socket.getaddrinfo(host, port)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return f"Nothing can listen on {host}:{port}: {error.strerror}."
    return None


def serve(settings: Settings) -> None:
    """Serve HTTP with granian until SIGTERM, in `settings.web_processes` processes."""
    Granian(
        "web.serving:worker",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=1000 * settings.answer_seconds),
        workers=settings.web_processes,
        blocking_threads=settings.web_threads,
        workers_kill_timeout=STOP_SECONDS,
        respawn_failed_workers=True,
        log_access=False,
        log_dictconfig=OUR_LOGS,
    ).serve()


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Let the processes that are started meanwhile tell the metrics of all, through files.

    A process decides when it begins whether its metrics are shared.
    """
    with TemporaryDirectory(prefix="turnstile-metrics-") as folder:
        os.environ[SHARED_METRICS] = folder
        try:
            yield
        finally:
            del os.environ[SHARED_METRICS]


@contextmanager
def told_metrics(host: str, port: int | None) -> Iterator[None]:
    """Tell the metrics of this process (or of all that share theirs with it) at a port of its
    own meanwhile, if there is one."""
    if port is None:
        yield
        return
    server, thread = start_http_server(port, addr=host, registry=of_processes())
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def worker() -> Flask:
    """The application of one web process, which ends when granian's main process has died."""
    _let_others_finish()
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with(parent.pid)
    app = wsgi.application()
    _watch_connections(app.extensions[EXTENSION].settings, threading.Event())
    return app


def _let_others_finish() -> None:
    """A thread that wakes up waits until whoever runs pauses; where there are many for few
    processors, pushing each other aside took a twentieth of a rush. Only Linux knows this."""
    if hasattr(os, "SCHED_BATCH"):
        with suppress(PermissionError):  # some containers forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _watch_connections(settings: Settings, stop: threading.Event) -> None:
    arguments = (settings.port, settings.answer_seconds, stop)
    threading.Thread(target=patience.watch, args=arguments, name="patience", daemon=True).start()


def work(turnstile: Turnstile, threads: int, stop: threading.Event) -> None:
    """Work on jobs until `stop` is set; what is not done then goes back to the queue."""
    jobs = jobs_of(turnstile)
    running = jobs.start_worker(threads)
    jobs.look_after(stop)
    running.stop(timeout=STOP_SECONDS * 1000)


def reactor_parts(turnstile: Turnstile) -> dict[str, Part]:
    """What the process of the reactor does, which is what nobody asks for by a request."""
    return {
        "reactor": lambda stop: reactor.run(turnstile, stop),
        "tidying": lambda stop: tidying.run(turnstile, stop),
        "checkpoints": lambda stop: checkpoints.run(turnstile, stop),
    }


def embedded_parts(turnstile: Turnstile) -> dict[str, Part]:
    """Web, projector, reactor and jobs as threads of this process."""
    return {
        "web": lambda stop: _serve_in_thread(turnstile, stop),
        "projector": Projector(turnstile).run,
        **reactor_parts(turnstile),
        "jobs": lambda stop: work(turnstile, 1, stop),
    }


class _Parser(HTTPRequestParser):
    """Refuses what leaves in doubt where a request ends, and another begins (RFC 9112, 6.1)."""

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Send a Content-Length, or chunks.")


class _Channel(HTTPChannel):
    parser_class = _Parser


def _serve_in_thread(turnstile: Turnstile, stop: threading.Event) -> None:
    settings = turnstile.settings
    sockets: dict[int, Any] = {}
    server = create_server(
        create_app(turnstile),
        map=sockets,
        host=settings.host,
        port=settings.port,
        threads=settings.web_threads,
        ident=None,
        channel_timeout=settings.answer_seconds,
        connection_limit=MOST_CONNECTIONS,
        clear_untrusted_proxy_headers=False,  # TRUSTED_PROXIES says which count
    )
    for listener in sockets.values():
        if isinstance(listener, BaseWSGIServer):
            listener.channel_class = _Channel
    _watch_connections(settings, stop)
    while not stop.is_set():
        # Unlike `select`, `poll` takes more than a thousand.
        wasyncore.loop(timeout=LOOK_SECONDS, use_poll=True, map=sockets, count=1)
    server.task_dispatcher.shutdown(timeout=STOP_SECONDS)
    wasyncore.loop(timeout=0.0, map=sockets, count=len(sockets))  # the last answers go out
    wasyncore.close_all(sockets)
