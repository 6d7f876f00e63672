"""What must be true before this process should be sent requests."""

from collections.abc import Callable
from functools import cache

import redis
import structlog
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

import migrations
from application.composition import Turnstile
from projections.engine.status import status

REDIS_TIMEOUT = 1.0

logger = structlog.get_logger(__name__)

Check = dict[str, str]


def check(turnstile: Turnstile) -> dict[str, Check]:
    """Each check by name, with its `status` ("ok" or "error") and a few words.

    A read model that lags does not fail: it would take every process out at once.
    """
    checks = {"database": _outcome("database", lambda: _migrated(turnstile))}
    if checks["database"]["status"] == "ok":
        checks["projections"] = _outcome("projections", lambda: _lag(turnstile))
    if turnstile.settings.redis_url:
        checks["redis"] = _outcome("redis", lambda: _ping(str(turnstile.settings.redis_url)))
    return checks


class _NotReady(Exception):
    """Why not, in words for everybody."""


def _outcome(name: str, look: Callable[[], str]) -> Check:
    try:
        return {"status": "ok", "detail": look()}
    except _NotReady as reason:
        return {"status": "error", "detail": str(reason)}
    except (SQLAlchemyError, redis.RedisError, ValueError) as error:
        logger.error("web.not_ready", check=name, error=type(error).__name__)
        return {"status": "error", "detail": "It does not answer."}


def _migrated(turnstile: Turnstile) -> str:
    with turnstile.engine.connect() as connection:
        at = MigrationContext.configure(connection).get_current_revision()
    if at != _latest_migration():
        raise _NotReady(f"At migration {at}, not {_latest_migration()}.")
    return f"At migration {at}."


def _lag(turnstile: Turnstile) -> str:
    with turnstile.engine.connect() as connection:
        behind = max((item["lag_events"] for item in status(connection)), default=0)
    return f"At most {behind} events behind."


def _ping(url: str) -> str:
    with redis.Redis.from_url(
        url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
    ) as client:
        client.ping()
    return "It answers."


@cache
def _latest_migration() -> str | None:
    return ScriptDirectory.from_config(migrations.configuration()).get_current_head()
