"""Passwords: hashed by Argon2id (RFC 9106), a few at a time, since each hash takes 64 MiB."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from domain.errors import Invalid

SHORTEST, LONGEST = 10, 200
"""Characters of a password (NIST SP 800-63B asks for 8 at least, and for no other rules)."""
AT_ONCE = 2
MOST_WAITING = 12
"""Others need the threads, and whoever waited for more would have given up."""


class WeakPassword(Invalid):
    title = f"A password has {SHORTEST} to {LONGEST} characters, and is not the e-mail address"


class Busy(Exception):
    """Too many passwords are being looked at; the same can be asked in a moment."""


def require_strong(password: str, email: str) -> None:
    """Raise `WeakPassword` for what is guessed first."""
    guesses = (email.casefold(), email.partition("@")[0].casefold())
    if not SHORTEST <= len(password) <= LONGEST or password.casefold() in guesses:
        raise WeakPassword
    if len(set(password)) < SHORTEST // 2:
        raise WeakPassword("The password repeats too few characters.")


def hash_of(password: str) -> str:
    """What is stored of the password; raises `Busy`."""
    with _some_at_a_time():
        return _hasher.hash(password)


def is_right(password: str, stored: str | None) -> bool:
    """Whether it is the password of that hash; takes as long when there is none. Raises `Busy`."""
    with _some_at_a_time():
        try:
            _hasher.verify(stored or _NOBODYS, password)
        except (VerifyMismatchError, InvalidHashError):
            return False
    return stored is not None


@contextmanager
def _some_at_a_time() -> Iterator[None]:
    if not _room_to_wait.acquire(blocking=False):
        raise Busy("Too many passwords are being looked at; ask again in a moment.")
    try:
        with _turns:
            yield
    finally:
        _room_to_wait.release()


_hasher = PasswordHasher()
_turns = threading.BoundedSemaphore(AT_ONCE)
_room_to_wait = threading.BoundedSemaphore(AT_ONCE + MOST_WAITING)
_NOBODYS = _hasher.hash("nobody has this password")
