"""Configuration, read once from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from limits import parse_many

from application import keys


@dataclass(frozen=True)
class Settings:
    """What differs between installations; each field's variable is its name in capitals."""

    database_url: str = "sqlite:///turnstile.db"
    read_database_url: str | None = None
    redis_url: str | None = None
    hold_minutes: int = 30
    host: str = "127.0.0.1"
    port: int = 8000
    web_processes: int = min(4, os.cpu_count() or 1)
    web_threads: int = 40
    secret_key: str = field(default="for development only: set SECRET_KEY", repr=False)
    rate_limit: str = "600 per minute"
    rate_limit_address: str = "3000 per minute"
    rate_limit_keys: str = ""
    rate_limit_log_in: str = "20 per minute"
    metrics_token: str | None = field(default=None, repr=False)
    checkpoint_key: str | None = field(default=None, repr=False)
    checkpoint_minutes: int = 10

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

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Raises `ValueError` for a number that is none, and for a key that is none."""
        given: dict[str, Any] = {
            name: read(name.upper(), environment)
            for names, read in ((_NUMBERS, _whole_number), (_LIMITS, _rate))
            for name in names
            if name.upper() in environment
        }
        return cls(
            database_url=environment.get("DATABASE_URL", cls.database_url),
            read_database_url=environment.get("READ_DATABASE_URL") or None,
            redis_url=environment.get("REDIS_URL") or None,
            host=environment.get("HOST", cls.host),
            metrics_token=environment.get("METRICS_TOKEN") or None,
            secret_key=environment.get("SECRET_KEY", cls.secret_key),
            checkpoint_key=_private_key("CHECKPOINT_KEY", environment),
            **given,
        )


_LIMITS = ("rate_limit", "rate_limit_address", "rate_limit_keys", "rate_limit_log_in")
_NUMBERS = ("hold_minutes", "port", "web_processes", "web_threads", "checkpoint_minutes")


def _private_key(name: str, environment: Mapping[str, str]) -> str | None:
    key = environment.get(name) or None
    if key is not None and not keys.is_key(key):
        # It is not shown: it may be all but one digit of one.
        raise ValueError(f"{name} is not a key; 'turnstile new-key' makes one.")
    return key


def _whole_number(name: str, environment: Mapping[str, str]) -> int:
    try:
        return int(environment[name])
    except ValueError:
        raise ValueError(f"{name} is a whole number, not {environment[name]!r}.") from None


def _rate(name: str, environment: Mapping[str, str]) -> str:
    rate = environment[name].strip()
    try:
        parse_many(rate or "1 per second")
    except ValueError:
        raise ValueError(f"{name} is a limit like '600 per minute', not {rate!r}.") from None
    return rate
