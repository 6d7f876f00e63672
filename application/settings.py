"""Configuration, read once from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Settings:
    """What differs between installations; each field's variable is its name in capitals."""

    database_url: str = "sqlite:///turnstile.db"
    read_database_url: str | None = None
    redis_url: str | None = None
    hold_minutes: int = 30
    host: str = "127.0.0.1"
    port: int = 8000
    web_processes: int = 1
    web_threads: int = 40

    @property
    def hold(self) -> timedelta:
        """How long an order holds its tickets before it must be paid."""
        return timedelta(minutes=self.hold_minutes)

    @property
    def embedded(self) -> bool:
        """Whether everything runs in one process on a SQLite file."""
        return self.database_url.startswith("sqlite")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Raises `ValueError` for a number that is none."""
        return cls(
            database_url=environment.get("DATABASE_URL", cls.database_url),
            read_database_url=environment.get("READ_DATABASE_URL") or None,
            redis_url=environment.get("REDIS_URL") or None,
            host=environment.get("HOST", cls.host),
            **{
                name: _whole_number(name.upper(), environment)
                for name in ("hold_minutes", "port", "web_processes", "web_threads")
                if name.upper() in environment
            },
        )


def _whole_number(name: str, environment: Mapping[str, str]) -> int:
    try:
        return int(environment[name])
    except ValueError:
        raise ValueError(f"{name} is a whole number, not {environment[name]!r}.") from None
