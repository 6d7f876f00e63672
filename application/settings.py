"""Configuration, read once from the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from limits import parse_many
from redis.connection import parse_url

from application import keys
from application.store.vault import DEVELOPMENT_KEY

DEVELOPMENT_SECRET = "for development only, known to everybody"  # nosec B105: refused in production
SHORTEST_SECRET = 32


def _master_key(environment: Mapping[str, str] = os.environ) -> str:
    return _key("MASTER_KEY", environment) or DEVELOPMENT_KEY


def _secret_key(environment: Mapping[str, str] = os.environ) -> str:
    key = environment.get("SECRET_KEY") or DEVELOPMENT_SECRET
    if len(key) < SHORTEST_SECRET:
        raise ValueError(
            f"SECRET_KEY is shorter than {SHORTEST_SECRET} characters;"
            " 'turnstile new-key SECRET_KEY' makes one."
        )
    return key


def _key(name: str, environment: Mapping[str, str]) -> str | None:
    key = environment.get(name) or None
    if key is not None and not keys.is_key(key):
        # It is not shown: it may be all but one digit of one.
        raise ValueError(f"{name} is not a key; 'turnstile new-key {name}' makes one.")
    return key


@dataclass(frozen=True)
class Settings:
    """What differs between installations; each field's variable is its name in capitals.

    The secrets of personal data and of access come from the environment whatever else is given.
    """

    database_url: str = "sqlite:///turnstile.db"
    read_database_url: str | None = None
    redis_url: str | None = None
    hold_minutes: int = 30
    host: str = "127.0.0.1"
    port: int = 8000
    web_processes: int = min(4, os.cpu_count() or 1)
    web_threads: int = 40
    secret_key: str = field(default_factory=_secret_key, repr=False)
    master_key: str = field(default_factory=_master_key, repr=False)
    rate_limit: str = "600 per minute"
    rate_limit_address: str = "3000 per minute"
    rate_limit_keys: str = ""
    rate_limit_log_in: str = "20 per minute"
    rate_limit_wrong_keys: str = "100 per minute"
    metrics_token: str | None = field(default=None, repr=False)
    checkpoint_key: str | None = field(default=None, repr=False)
    checkpoint_minutes: int = 10
    retention_days: int | None = None
    answer_seconds: int = 30
    access_log: bool = False
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: int = 0
    hsts_seconds: int = 0

    @property
    def hold(self) -> timedelta:
        """How long an order holds its tickets before it must be paid."""
        return timedelta(minutes=self.hold_minutes)

    @property
    def checkpoint_public_key(self) -> str | None:
        """The public half of the key that checkpoints are signed with; None without a key."""
        return keys.public_key(self.checkpoint_key) if self.checkpoint_key else None

    @property
    def checkpoint_every(self) -> timedelta:
        """How long after the last checkpoint of a growing log the next one is due."""
        return timedelta(minutes=self.checkpoint_minutes)

    @property
    def embedded(self) -> bool:
        """Whether everything runs in one process on a SQLite file."""
        return self.database_url.startswith("sqlite")

    @property
    def retention(self) -> timedelta | None:
        """How long customers who do nothing are kept; None for ever."""
        return None if self.retention_days is None else timedelta(days=self.retention_days)

    @property
    def development_secrets(self) -> list[str]:
        """The variables of secrets that everybody knows, since they were not set."""
        defaults = {"SECRET_KEY": DEVELOPMENT_SECRET, "MASTER_KEY": DEVELOPMENT_KEY}
        return [name for name, value in defaults.items() if getattr(self, name.lower()) == value]

    def require_secrets(self) -> None:
        """Raise `ValueError` in production as long as a secret is one that everybody knows."""
        if self.development_secrets and not self.embedded:
            name = self.development_secrets[0]
            raise ValueError(f"With PostgreSQL, set {name}; 'turnstile new-key {name}' makes one.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Raises `ValueError` for what is malformed, and for a number out of its limits."""
        given: dict[str, Any] = {
            name: _whole_number(name.upper(), environment, *limits)
            for name, limits in _NUMBERS.items()
            if environment.get(name.upper())
        } | {
            # An empty one is given, too: no limit.
            name: _rate(name.upper(), environment)
            for name in _LIMITS
            if name.upper() in environment
        }
        return cls(
            database_url=environment.get("DATABASE_URL", cls.database_url),
            read_database_url=environment.get("READ_DATABASE_URL") or None,
            redis_url=_redis_url("REDIS_URL", environment),
            host=environment.get("HOST", cls.host),
            metrics_token=environment.get("METRICS_TOKEN") or None,
            secret_key=_secret_key(environment),
            master_key=_master_key(environment),
            checkpoint_key=_key("CHECKPOINT_KEY", environment),
            access_log=environment.get("ACCESS_LOG", "") in ("1", "true", "yes"),
            cors_origins=_origins("CORS_ORIGINS", environment),
            **given,
        )


_LIMITS = (
    "rate_limit",
    "rate_limit_address",
    "rate_limit_keys",
    "rate_limit_log_in",
    "rate_limit_wrong_keys",
)
_NUMBERS = {
    "hold_minutes": (1, 5_256_000),
    "port": (1, 65_535),
    "web_processes": (1, 1_000),
    "web_threads": (1, 10_000),
    "checkpoint_minutes": (0, 525_600),
    "retention_days": (1, 36_500),
    "answer_seconds": (1, 86_400),
    "trusted_proxies": (0, 100),
    "hsts_seconds": (0, 3_153_600_000),
}
"""The least and the most of each."""

_origin = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?").fullmatch


def _origins(name: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """As browsers send them: scheme, host and port, nothing after it; or `*` for all."""
    listed = (origin.strip() for origin in environment.get(name, "").split(","))
    origins = tuple(origin for origin in listed if origin)
    for origin in origins:
        if origin != "*" and not _origin(origin):
            raise ValueError(f"{name} lists origins like https://example.org, not {origin!r}.")
    return origins


def _redis_url(name: str, environment: Mapping[str, str]) -> str | None:
    url = environment.get(name) or None
    if url is not None:
        try:
            parse_url(url)  # type: ignore[no-untyped-call]
        except ValueError:
            # It is not shown: there may be a password in it.
            raise ValueError(f"{name} is a URL like redis://host:6379/0.") from None
    return url


def _whole_number(name: str, environment: Mapping[str, str], least: int, most: int) -> int:
    try:
        number = int(environment[name])
    except ValueError:
        raise ValueError(f"{name} is a whole number, not {environment[name]!r}.") from None
    if number < least:
        raise ValueError(f"{name} is at least {least}, not {number}.")
    if number > most:
        raise ValueError(f"{name} is at most {most}, not {number}.")
    return number


def _rate(name: str, environment: Mapping[str, str]) -> str:
    rate = environment[name].strip()
    try:
        parse_many(rate or "1 per second")
    except ValueError:
        raise ValueError(f"{name} is a limit like '600 per minute', not {rate!r}.") from None
    return rate
