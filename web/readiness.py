"""What must be true before this process should be sent requests."""

from collections.abc import Callable

import redis
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

import migrations
from application.composition import Turnstile
from application.store import log
from application.store.database import asked_again
from projections.engine.status import status

REDIS_TIMEOUT = 1.0

logger = structlog.get_logger(__name__)

Check = dict[str, str]


def check(turnstile: Turnstile) -> dict[str, Check]:
    """Each check by name, with its `status` ("ok", "warning" or "error") and a few words.

    A read model that lags does not fail: it would take every process out at once. Nor does a
    replica or a Redis that is silent: commands go on without them. A replica of another log does.
    """
    checks = {"database": _outcome("database", lambda: _migrated(turnstile.engine))}
    if checks["database"]["status"] == "ok":
        checks["projections"] = _outcome("projections", lambda: _lag(turnstile))
        if turnstile.has_replica:
            checks["replica"] = _outcome("replica", lambda: _replica_lag(turnstile), "warning")
    if turnstile.settings.redis_url:
        url = str(turnstile.settings.redis_url)
        checks["redis"] = _outcome("redis", lambda: _ping(url), "warning")
    return checks


class _NotReady(Exception):
    """Why not, in words for everybody."""


def _outcome(name: str, look: Callable[[], str], silent: str = "error") -> Check:
    """What `look` finds; `silent` is the status of what does not answer."""
    try:
        return {"status": "ok", "detail": asked_again(look)}
    except _NotReady as reason:
        return {"status": "error", "detail": str(reason)}
    except (SQLAlchemyError, redis.RedisError, ValueError) as error:
        logger.error("web.not_ready", check=name, error=type(error).__name__)
        return {"status": silent, "detail": "It does not answer."}


def _migrated(engine: Engine) -> str:
    at, latest = migrations.current(engine), migrations.latest()
    if at != latest:
        raise _NotReady(f"At migration {at}, not {latest}.")
    return f"At migration {at}."


def _lag(turnstile: Turnstile) -> str:
    with turnstile.engine.connect() as connection:
        behind = max(item["lag_events"] for item in status(connection))
    return f"At most {behind} events behind."


def _replica_lag(turnstile: Turnstile) -> str:
    _migrated(turnstile.readers)
    with turnstile.readers.connect() as connection:
        end = log.current_head(connection)
    with turnstile.engine.connect() as connection:
        behind = log.read_head(connection) - end.position
        # The hash chain tells it from another box office, and from one that went its own way.
        if end.position and log.hash_at(connection, end.position) != end.hash:
            raise _NotReady("Its log is not ours: it is no replica of the database.")
    return f"At position {end.position}, {behind} behind."


def _ping(url: str) -> str:
    with redis.Redis.from_url(
        url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
    ) as client:
        client.ping()
    return "It answers."
