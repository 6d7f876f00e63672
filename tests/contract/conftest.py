"""The box office of `tests/web`, with everybody in it, and passwords that are quick to check."""

import pytest
from argon2 import PasswordHasher

from application.access import passwords
from tests.web.conftest import BoxOffice, office
from tests.web.world import World, populated

__all__ = ["office"]


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a hash takes is not what is tried here."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", hasher)
    monkeypatch.setattr(passwords, "_NOBODYS", hasher.hash("nobody has this password"))


@pytest.fixture
def world(office: BoxOffice) -> World:
    return populated(office)
