"""The box office of `tests/web`, with everybody in it, and passwords that are quick to check."""

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from application.access import passwords
from tests.web.conftest import BoxOffice, office
from tests.web.world import World, populated

__all__ = ["office"]


@pytest.fixture(scope="module", autouse=True)
def quick_passwords() -> Iterator[None]:
    """How long a hash takes is not what is tried here."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", hasher)
        patch.setattr(passwords, "_NOBODYS", hasher.hash("nobody has this password"))
        yield


@pytest.fixture
def world(office: BoxOffice) -> World:
    """A new one for every test, which may do with it what it likes."""
    return populated(office)
