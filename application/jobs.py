"""Long work that workers do: what was asked for, how far it is, what came of it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Table,
    Text,
    Uuid,
    insert,
    select,
    update,
)

from application.store.tables import UTCDateTime, metadata
from domain.ids import uuid7

jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("outcome", Text),
    Column("requested_at", UTCDateTime, nullable=False),
    Column("finished_at", UTCDateTime),
    Index("ix_jobs_subject", "kind", "subject", "requested_at"),
)

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"


def request(connection: Connection, kind: str, subject: str) -> UUID:
    """Note that somebody wants this done."""
    job_id = uuid7()
    connection.execute(
        insert(jobs).values(
            id=job_id,
            kind=kind,
            subject=subject,
            state=WAITING,
            done=0,
            total=0,
            requested_at=datetime.now(UTC),
        )
    )
    return job_id


def progress(connection: Connection, job_id: UUID, done: int, total: int) -> None:
    """Note how far it is, unless it is finished."""
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.finished_at.is_(None))
        .values(state=RUNNING, done=done, total=total)
    )


def finish(connection: Connection, job_id: UUID, state: str, outcome: str) -> None:
    """Note what came of it; `state` is `DONE` or `FAILED`. What has been noted stays."""
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.finished_at.is_(None))
        .values(state=state, outcome=outcome, finished_at=datetime.now(UTC))
    )


def job(connection: Connection, job_id: UUID) -> dict[str, Any] | None:
    """The job, or None."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).first()
    return None if row is None else dict(row._mapping)


def unfinished(connection: Connection) -> list[dict[str, Any]]:
    """What was asked for and not done, the oldest first."""
    query = select(jobs).where(jobs.c.finished_at.is_(None)).order_by(jobs.c.requested_at)
    return [dict(row._mapping) for row in connection.execute(query)]


def latest(connection: Connection, kind: str, subject: str) -> dict[str, Any] | None:
    """The job of that kind on that subject which was asked for last, or None."""
    query = select(jobs).where(jobs.c.kind == kind, jobs.c.subject == subject)
    row = connection.execute(query.order_by(jobs.c.requested_at.desc()).limit(1)).first()
    return None if row is None else dict(row._mapping)
