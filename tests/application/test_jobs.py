"""What is noted of a job."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from application import jobs
from application.store.database import open_engine, writing


@pytest.fixture
def connection(migrated_url: str) -> Iterator[Connection]:
    engine = open_engine(migrated_url)
    with writing(engine) as connection:
        yield connection
    engine.dispose()


def test_a_finished_job_stays_as_it_ended(connection: Connection) -> None:
    finished, other = (jobs.request(connection, "import", "shop:record.jsonl") for _ in range(2))
    jobs.finish(connection, finished, jobs.DONE, "2 applied")
    ended = jobs.job(connection, finished)
    for job_id in (finished, other):
        jobs.progress(connection, job_id, 1, 2)
    jobs.finish(connection, finished, jobs.FAILED, "too late")
    assert jobs.job(connection, finished) == ended
    assert [(job["id"], job["state"]) for job in jobs.unfinished(connection)] == [
        (other, jobs.RUNNING)
    ]
