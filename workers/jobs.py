"""Jobs: long work that Dramatiq hands to whichever worker is free.

Over Redis when there is one, else within the process. A job is given its id only, can be
handed out twice, and starts again cleanly when its worker was killed.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

import dramatiq
import structlog
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from dramatiq.common import dq_name
from dramatiq.middleware import Middleware, TimeLimitExceeded
from prometheus_client import Counter, Histogram
from redis.exceptions import RedisError
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from application import jobs, tracing
from application.composition import Turnstile
from application.import_lines import Names
from application.importing import Importer, Refusal
from application.store import answers
from application.store.answers import StoredAnswer
from application.store.database import writing
from application.store.group_commit import StoreUnavailable
from application.store.sealing import Keys
from application.store.work import Key
from application.store.writes import writes_to
from domain.errors import NotFound
from projections.engine import leases
from projections.engine.comparing import UNFILLED, Comparison
from projections.engine.read_model import ReadModel
from projections.engine.rebuild import (
    Outcomes,
    Progress,
    Rebuilt,
    compare_together,
    largest_first,
    rebuild_together,
)
from projections.engine.retrying import retry
from projections.engine.shadow import RebuildRuns
from projections.registry import read_model, related

QUEUE = "turnstile"
REBUILD, COMPARE, RETRY, IMPORT = "rebuild", "compare", "retry", "import"
OF_READ_MODELS = (REBUILD, COMPARE, RETRY)
KINDS = (*OF_READ_MODELS, IMPORT)
TIME_LIMIT_MS = 6 * 60 * 60 * 1000
DEAD_AFTER_MS = leases.SECONDS * 1000
"""A worker that has been silent so long is dead; its jobs go to others. Workers ask for jobs
every second, and one that was only slow does no harm: a job can be done twice."""
DONE_AGAIN = (RebuildRuns, OperationalError, StoreUnavailable)
"""What passes: the job is done again when nobody else rebuilds, or the database is back."""
LOOK_AFTER_SECONDS = 10.0
ALWAYS = 1_000_000
REQUEST_ID = "request_id"
OPTIONS = {
    "time_limit": TIME_LIMIT_MS,
    # A job is interrupted when its worker has to end, and done by another.
    "notify_shutdown": True,
    # What goes wrong is kept with the job. What comes here again waits for its turn (a rebuild
    # of the same read model), for a worker, or for the database.
    "max_retries": None,
    "min_backoff": 1_000,
    "max_backoff": 30_000,
}

JOBS = Counter("turnstile_jobs", "Jobs that ended, by what came of them", ("kind", "outcome"))
for _kind in KINDS:  # told from the start, so that the first failure is seen as an increase
    for _outcome in (jobs.DONE, jobs.FAILED):
        JOBS.labels(_kind, _outcome)
SECONDS = Histogram(
    "turnstile_job_seconds",
    "Duration of jobs",
    ("kind",),
    buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600),
)

Work = Callable[[UUID, str], str]
"""What an actor does with a job's id and subject; it returns the outcome, in words."""
Together = Callable[[Turnstile, dict[ReadModel, Progress]], Outcomes[Any]]
"""What is done with several read models at once."""

logger = structlog.get_logger(__name__)


class _Tracing(Middleware):
    """Whoever works on a job works for the request that asked for it."""

    def before_process_message(self, broker: Any, message: Any) -> None:
        tracing.begin(message.options.get(REQUEST_ID, ""))

    def after_process_message(self, *_: Any, **__: Any) -> None:
        tracing.end()

    def after_skip_message(self, *_: Any) -> None:
        tracing.end()


class Jobs:
    """The actors of one process, on its broker."""

    def __init__(self, turnstile: Turnstile) -> None:
        self._turnstile = turnstile
        redis_url = turnstile.settings.redis_url
        self.broker: dramatiq.Broker = _broker(redis_url)
        self.broker.add_middleware(_Tracing())
        self._actors = {
            REBUILD: self._actor(self._rebuild, REBUILD),
            COMPARE: self._actor(self._compare, COMPARE),
            RETRY: self._actor(self._retry, RETRY),
            IMPORT: self._actor(self._import, IMPORT),
        }

    def request(self, kind: str, subject: str, key: Key | None = None) -> UUID:
        """Ask for a job; its id, under which `application.jobs` knows how it is going.

        Asked for again with the same key, it is the same job.
        """
        try:
            with writing(self._turnstile.engine) as connection:
                known = _requested(connection, key)
                job_id = known or jobs.request(connection, kind, subject)
                if known is None and key is not None:
                    with writes_to(connection) as writes:
                        kept = [(key, StoredAnswer(0, {"id": job_id}))]
                        answers.keep(writes, kept, Keys(connection))
        except IntegrityError:  # somebody else has just stored an answer under the key
            return self.request(kind, subject, key)
        options: Any = {REQUEST_ID: tracing.request_id()}
        self._actors[kind].send_with_options(args=(str(job_id),), **options)
        return job_id

    def start_worker(self, threads: int = 2) -> dramatiq.Worker:
        """Work on jobs in threads of this process, until the worker is stopped."""
        if isinstance(self.broker, StubBroker):
            self._send_lost()
        worker = dramatiq.Worker(self.broker, worker_threads=threads)
        worker.start()
        return worker

    def look_after(self, stop: threading.Event) -> None:
        """Until `stop` is set, send again what Redis forgets when it is emptied, or dies."""
        while isinstance(self.broker, RedisBroker) and not stop.is_set():
            try:
                self._send_lost()
            except (SQLAlchemyError, RedisError) as error:
                logger.warning("jobs.not_looked_after", error=str(error))
            stop.wait(LOOK_AFTER_SECONDS)
        stop.wait()

    def _send_lost(self) -> None:
        """A broker forgets with its process; the table of jobs does not."""
        with self._turnstile.engine.connect() as connection:
            unfinished = jobs.unfinished(connection)
        queued = _queued(self.broker) if unfinished else set()
        for job in unfinished:
            if job["kind"] not in self._actors:
                logger.warning("job.of_unknown_kind", job_id=str(job["id"]), kind=job["kind"])
            elif str(job["id"]) not in queued:
                logger.info("job.sent_again", job_id=str(job["id"]), kind=job["kind"])
                self._actors[job["kind"]].send(str(job["id"]))

    def _actor(self, work: Work, name: str) -> dramatiq.Actor[[str], None]:
        def run(job_id: str) -> None:
            self._run(UUID(job_id), work)

        return dramatiq.Actor(
            run,
            broker=self.broker,
            actor_name=name,
            queue_name=QUEUE,
            priority=0,
            options=OPTIONS,
        )

    def _run(self, job_id: UUID, work: Work) -> None:
        with self._turnstile.engine.connect() as connection:
            job = jobs.job(connection, job_id)
        if job is None or job["state"] in (jobs.DONE, jobs.FAILED):
            return
        started, kind = perf_counter(), job["kind"]
        state = self._do(job_id, job, work)
        seconds = perf_counter() - started
        JOBS.labels(kind, state).inc()
        SECONDS.labels(kind).observe(seconds)
        logger.info(
            "job.ended", job_id=str(job_id), kind=kind, state=state, seconds=round(seconds, 3)
        )

    def _do(self, job_id: UUID, job: dict[str, Any], work: Work) -> str:
        """Do the job, and keep what came of it; the state in which it is then."""
        try:
            outcome = work(job_id, job["subject"])
        except DONE_AGAIN:
            raise
        except (Exception, TimeLimitExceeded) as error:
            self._fail(job_id, job["kind"], error)
            return jobs.FAILED
        self._finish(job_id, jobs.DONE, outcome)
        return jobs.DONE

    def _rebuild(self, job_id: UUID, name: str) -> str:
        return self._together(REBUILD, job_id, name, rebuild_together)

    def _compare(self, job_id: UUID, name: str) -> str:
        return self._together(COMPARE, job_id, name, compare_together)

    def _together(self, kind: str, job_id: UUID, name: str, work: Together) -> str:
        """Do a job, and beside it those of the same kind that wait for the same events: these are
        read once. What becomes of those concerns nobody but them.

        Each has a message of its own, by which it is done again if it is not finished here.
        """
        ids = {read_model(name): job_id} | self._waiting_beside(kind, name)
        progress = {model: self._progress_of(ids[model]) for model in ids}
        with closing(work(self._turnstile, progress)) as outcomes:
            for model, outcome in outcomes:
                if ids[model] != job_id:
                    self._settle(ids[model], kind, outcome)
                elif isinstance(outcome, Exception):
                    raise outcome
                else:
                    self._finish(job_id, jobs.DONE, said := _in_words(outcome))
        return said

    def _waiting_beside(self, kind: str, name: str) -> dict[ReadModel, UUID]:
        """The oldest job of each read model that handles much the same events."""
        beside = {model.name: model for model in related(read_model(name))}
        with self._turnstile.engine.connect() as connection:
            waiting = [job for job in jobs.unfinished(connection) if job["state"] == jobs.WAITING]
        return {
            beside[job["subject"]]: job["id"]
            for job in reversed(waiting)
            if job["kind"] == kind and job["subject"] in beside
        }

    def _settle(self, job_id: UUID, kind: str, outcome: Any) -> None:
        if isinstance(outcome, DONE_AGAIN):
            logger.info("job.left", job_id=str(job_id), kind=kind, error=str(outcome))
        elif isinstance(outcome, Exception):
            self._fail(job_id, kind, outcome)
            JOBS.labels(kind, jobs.FAILED).inc()
        else:
            self._finish(job_id, jobs.DONE, _in_words(outcome))
            JOBS.labels(kind, jobs.DONE).inc()

    def _fail(self, job_id: UUID, kind: str, error: BaseException) -> None:
        self._finish(job_id, jobs.FAILED, f"{type(error).__name__}: {error}")
        logger.error("job.failed", job_id=str(job_id), kind=kind, exc_info=error)

    def _retry(self, job_id: UUID, name: str) -> str:
        done = retry(self._turnstile, read_model(name))
        return f"{done.taken} events taken, {done.waiting_events} wait still"

    def _import(self, job_id: UUID, subject: str) -> str:
        source, _, path = subject.partition(":/")
        path = f"/{path}"
        importer = Importer(self._turnstile, source, _log_refusal)
        total = sum(1 for _ in _lines(path))
        for summary in importer.run(_lines(path)):
            self._progress(job_id, summary.lines, total)
        done = importer.summary
        return f"{done.applied} applied, {done.already} already, {done.refused} refused"

    def _progress_of(self, job_id: UUID) -> Callable[[int, int], None]:
        return lambda done, total: self._progress(job_id, done, total)

    def _progress(self, job_id: UUID, done: int, total: int) -> None:
        with writing(self._turnstile.engine) as connection:
            jobs.progress(connection, job_id, done, total)

    def _finish(self, job_id: UUID, state: str, outcome: str) -> None:
        with writing(self._turnstile.engine) as connection:
            jobs.finish(connection, job_id, state, outcome)


@lru_cache(maxsize=8)
def jobs_of(turnstile: Turnstile) -> Jobs:
    """The process's actors: an in-process broker must be the same for sender and worker."""
    return Jobs(turnstile)


def request_for(
    turnstile: Turnstile, kind: str, name: str, key: Key | None = None
) -> dict[str, Any]:
    """Ask for one of `OF_READ_MODELS`; the job. Raises `NotFound` for no read model's name."""
    try:
        read_model(name)
    except KeyError:
        raise NotFound(f"There is no read model {name!r}.") from None
    job_id = jobs_of(turnstile).request(kind, name, key)
    logger.info("job.requested", job_id=str(job_id), kind=kind, subject=name)
    with turnstile.engine.connect() as connection:
        return jobs.job(connection, job_id) or {}


def request_rebuilds(
    turnstile: Turnstile, models: Sequence[ReadModel], kind: str = REBUILD
) -> dict[str, UUID]:
    """Ask for rebuilds of several read models, or only to `COMPARE` them, which workers share;
    the jobs' ids by name."""
    with turnstile.engine.connect() as connection:
        ordered = largest_first(connection, models)
    return {model.name: jobs_of(turnstile).request(kind, model.name) for model in ordered}


def request_import(turnstile: Turnstile, source: str, path: Path) -> UUID:
    """Ask for the import of a file that the workers can read; the job's id.

    Raises `Invalid` for a source that names nothing.
    """
    return jobs_of(turnstile).request(IMPORT, f"{Names(source).source}:{path.resolve()}")


def _requested(connection: Connection, key: Key | None) -> UUID | None:
    """The job that was asked for with that key; raises `IdempotencyKeyReused` for another one."""
    if key is None:
        return None
    kept = answers.find(connection, [key]).get((key.scope, key.key))
    return None if kept is None else UUID((kept.answer_to(key).body or {})["id"])


def _in_words(done: Rebuilt | Comparison) -> str:
    if isinstance(done, Comparison):
        return _compared(done)
    return f"{done.rows} rows at position {done.position}; {_compared(done.comparison)}"


def _compared(found: Comparison) -> str:
    if found.outcome == UNFILLED:
        return "nothing to compare with"
    return (
        f"compared at position {found.position}: {found.equal} equal, {found.missing} missing, "
        f"{found.extra} extra, {found.different} different"
    )


def _log_refusal(refusal: Refusal) -> None:
    logger.warning("import.refused", **asdict(refusal))


def _broker(redis_url: str | None) -> dramatiq.Broker:
    if redis_url is None:
        return StubBroker()
    return RedisBroker(  # type: ignore[no-untyped-call]
        url=redis_url, heartbeat_timeout=DEAD_AFTER_MS, maintenance_chance=ALWAYS
    )


def _queued(broker: dramatiq.Broker) -> set[str]:
    """The ids of the jobs that Redis knows: they wait, or are being done."""
    if not isinstance(broker, RedisBroker):
        return set()
    # What was delayed and is due moves from the first to the second.
    names = (dq_name(QUEUE), QUEUE)
    found: list[Any] = [broker.client.hvals(f"{broker.namespace}:{name}.msgs") for name in names]
    return {dramatiq.Message.decode(data).args[0] for messages in found for data in messages}


def _lines(path: str) -> Iterator[bytes]:
    with Path(path).open("rb") as lines:
        yield from lines
