"""Configuration, read once from the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

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
    checkpoint_key: str | None = field(default=None, repr=False)
    checkpoint_minutes: int = 10
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

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Raises `ValueError` for a number that is none, and for a key that is none."""
        return cls(
            database_url=environment.get("DATABASE_URL", cls.database_url),
            read_database_url=environment.get("READ_DATABASE_URL") or None,
            redis_url=environment.get("REDIS_URL") or None,
            host=environment.get("HOST", cls.host),
            checkpoint_key=_private_key("CHECKPOINT_KEY", environment),
            access_log=environment.get("ACCESS_LOG", "") in ("1", "true", "yes"),
            cors_origins=_origins("CORS_ORIGINS", environment),
            **{
                name: _whole_number(name.upper(), environment)
                for name in _NUMBERS
                if name.upper() in environment
            },
        )


_NUMBERS = (
    "hold_minutes",
    "port",
    "web_processes",
    "web_threads",
    "checkpoint_minutes",
    "answer_seconds",
    "trusted_proxies",
    "hsts_seconds",
)

_origin = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?").fullmatch


def _private_key(name: str, environment: Mapping[str, str]) -> str | None:
    key = environment.get(name) or None
    if key is not None and not keys.is_key(key):
        # It is not shown: it may be all but one digit of one.
        raise ValueError(f"{name} is not a key; 'turnstile new-key' makes one.")
    return key


def _origins(name: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """As browsers send them: scheme, host and port, nothing after it; or `*` for all."""
    listed = (origin.strip() for origin in environment.get(name, "").split(","))
    origins = tuple(origin for origin in listed if origin)
    for origin in origins:
        if origin != "*" and not _origin(origin):
            raise ValueError(f"{name} lists origins like https://example.org, not {origin!r}.")
    return origins


def _whole_number(name: str, environment: Mapping[str, str]) -> int:
    try:
        return int(environment[name])
    except ValueError:
        raise ValueError(f"{name} is a whole number, not {environment[name]!r}.") from None
