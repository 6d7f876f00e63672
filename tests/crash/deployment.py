"""A box office in production, to be tormented: servers of its own, `turnstile up`, and a clock."""

import os
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2.extensions

from tests import services
from tests.crash.clock import sitecustomize
from tests.services import Server
from tests.workers.processes import REPOSITORY, Client, Running, eventually, free_port, turnstile

START_SECONDS = 120.0
CLOCK = Path(sitecustomize.__file__)


class Deployment:
    """All of a box office; `up` is its supervisor, which restarts the parts that die."""

    def __init__(self, postgres: Server, redis: Server, clock: Path, opened: ExitStack) -> None:
        self.postgres = postgres
        self.redis = redis
        self.url = services.create_database(postgres.url, "turnstile_crash")
        self.port = free_port()
        self._clock = clock
        self._opened = opened
        self.put_clock_wrong(0.0)
        self.start()

    def start(self) -> None:
        """Start the supervisor, with nothing of it running."""
        self.up = self._opened.enter_context(self.process("up"))

    def process(self, *arguments: str) -> AbstractContextManager[Running]:
        """A `turnstile` command of this box office."""
        return turnstile(
            *arguments,
            url=self.url,
            REDIS_URL=self.redis.url,
            PORT=str(self.port),
            WEB_PROCESSES="2",
            PYTHONPATH=os.pathsep.join((str(REPOSITORY), str(CLOCK.parent))),
            **{sitecustomize.VARIABLE: str(self._clock)},
        )

    def await_ready(self) -> None:
        """Return once it can do its work."""
        client = Client(self.port)
        eventually(lambda: client.answers("/health/ready"), pause=0.1, patience=START_SECONDS)

    def part(self, name: str) -> int:
        """The process id of that part, which may have died meanwhile."""
        return eventually(lambda: self.up.parts().get(name, 0))

    def put_clock_wrong(self, seconds: float) -> None:
        """Let every process believe that it is so much later; earlier, if negative."""
        mode = "r+b" if self._clock.exists() else "wb"
        with self._clock.open(mode) as clock:  # in place: the processes have the file mapped
            clock.write(struct.pack("d", seconds))

    @contextmanager
    def cursor(self) -> Iterator[psycopg2.extensions.cursor]:
        """A cursor on its database, outside any transaction."""
        with services.admin_cursor(self.url) as cursor:
            yield cursor


@contextmanager
def deployed() -> Iterator[Deployment]:
    """A new box office that is ready; nothing of it is left afterwards."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory()))
        postgres = services.start_own_postgres()
        opened.callback(postgres.remove)
        redis = services.start_own_valkey()
        opened.callback(redis.remove)
        deployment = Deployment(postgres, redis, folder / "clock", opened)
        deployment.await_ready()
        yield deployment
