"""How much a caller may ask for: limits per caller, per address, and on guessing passwords.

They are counted in Redis where there is one, for all processes together, else in this process;
also while Redis does not answer, since nobody should be kept out by that.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, cast

import structlog
from flask import Flask, Response, current_app
from flask_limiter import ApplicationLimit, Limiter
from limits import RateLimitItem, parse, parse_many
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, RateLimiter
from redis.exceptions import RedisError
from werkzeug.exceptions import TooManyRequests

from application.access.accounts import normal
from application.access.identity import OF_KEYS, Unauthorized
from application.settings import Settings
from application.store.database import vault_of
from web.caller import caller
from web.current import turnstile

WAYS_IN = (
    "accounts.register_account",
    "accounts.log_in",
    "accounts.refresh_tokens",
    "accounts.change_email",
    "accounts.change_password",
)

WRONG_PASSWORDS = parse("10 per 15 minutes")
"""For one account, from one address."""
WRONG_PASSWORDS_IN_ALL = parse("100 per 15 minutes")
"""For one account, from all addresses; not for those that are known to it."""
KNOWN_ADDRESS = parse("1 per 30 days")
"""Of one account, used up by each log-in from an address: a mark more than a limit."""

logger = structlog.get_logger(__name__)

EXTENSION = "turnstile limiter"
WRONG_KEYS = "turnstile wrong keys"

Counted = tuple[RateLimitItem, tuple[str, ...]]
"""A limit, and what it is counted for."""


def limit_requests(app: Flask, settings: Settings) -> None:
    """Let `app` answer 429 to who asks too much, and tell everybody what is left to them.

    To be called when `app` knows its routes. Its hooks are for requests that `is_limited`.
    """
    limiter = Limiter(
        _address,
        app=app,
        application_limits=[
            ApplicationLimit(limit, key_function=key, exempt_when=exempt)
            for limit, key, exempt in (
                (settings.rate_limit, _actor, _has_key),
                (settings.rate_limit_address, _address, _has_key),
                (settings.rate_limit_keys, _actor, _has_no_key),
            )
            if limit
        ],
        storage_uri=settings.redis_url or "memory://",
        key_prefix="turnstile",
        in_memory_fallback_enabled=settings.redis_url is not None,
    )
    for endpoint in WAYS_IN if settings.rate_limit_log_in else ():
        limited = limiter.limit(settings.rate_limit_log_in)
        app.view_functions[endpoint] = cast(Any, limited(app.view_functions[endpoint]))
    app.extensions[EXTENSION] = limiter
    app.extensions[WRONG_KEYS] = (
        FixedWindowRateLimiter(MemoryStorage()),
        parse_many(settings.rate_limit_wrong_keys) if settings.rate_limit_wrong_keys else [],
    )
    app.after_request(_tell)


def is_limited() -> bool:
    """Whether there is a limit to this caller: keys have none unless it is configured."""
    if not _has_key():
        return True
    return bool(turnstile().settings.rate_limit_keys)


@contextmanager
def counting_wrong_passwords(email: str) -> Iterator[None]:
    """Raise `TooManyRequests` where too many were wrong already; count what is refused inside.

    Who has logged in from here before is not shut out by what others try elsewhere.
    """
    strategy, (account, address) = _limiter().limiter, _place(email)
    counted: list[Counted] = [
        (WRONG_PASSWORDS, (account, address)),
        (WRONG_PASSWORDS_IN_ALL, (account,)),
    ]
    is_known = not _is_within(strategy, KNOWN_ADDRESS, (account, address))
    refusal = "Too many wrong passwords for this account; wait a quarter of an hour."
    with _counting(strategy, counted, counted[:1] if is_known else counted, refusal):
        yield


def know_address(email: str) -> None:
    """Mark this address as known to the account for 30 days; skipped while Redis is down."""
    strategy, place = _limiter().limiter, _place(email)
    try:
        strategy.clear(KNOWN_ADDRESS, *place)
        strategy.hit(KNOWN_ADDRESS, *place)
    except RedisError as error:
        logger.warning("limits.address_not_kept", error=type(error).__name__)


@contextmanager
def counting_wrong_keys() -> Iterator[None]:
    """The same for API keys that do not exist, from one address, before they are looked up.

    In this process's memory, since asking Redis would cost as much as looking a key up.
    """
    strategy, kept_to = current_app.extensions[WRONG_KEYS]
    counted = [(limit, (_address(),)) for limit in kept_to]
    with _counting(strategy, counted, counted, "Too many wrong API keys from this address."):
        yield


@contextmanager
def _counting(
    strategy: RateLimiter, counted: Sequence[Counted], held_to: Sequence[Counted], refusal: str
) -> Iterator[None]:
    for limit, names in held_to:
        if not _is_within(strategy, limit, names):
            raise TooManyRequests(refusal, retry_after=limit.get_expiry())
    try:
        yield
    except Unauthorized:
        for limit, names in counted:
            _hit(strategy, limit, names)
        raise


def _is_within(strategy: RateLimiter, limit: RateLimitItem, names: Sequence[str]) -> bool:
    """Whether there is room for one more; while Redis is down there is, unless the limiter has
    heard of it, and counts in memory."""
    try:
        return strategy.test(limit, *names)
    except RedisError as error:
        logger.warning("limits.not_counted", error=type(error).__name__)
        return True


def _hit(strategy: RateLimiter, limit: RateLimitItem, names: Sequence[str]) -> None:
    with suppress(RedisError):  # of which `_is_within` has told
        strategy.hit(limit, *names)


def _tell(response: Response) -> Response:
    limit = _limiter().current_limit
    if limit is not None:
        response.headers["RateLimit-Limit"] = str(limit.limit.amount)
        response.headers["RateLimit-Remaining"] = str(max(0, limit.remaining))
        reset = max(1, math.ceil(limit.window.reset_time - time.time()))
        response.headers["RateLimit-Reset"] = str(reset)
        if limit.breached:
            response.headers["Retry-After"] = str(reset)
    return response


def _limiter() -> Limiter:
    return cast(Limiter, current_app.extensions[EXTENSION])


def _address() -> str:
    return _network(caller().ip)


@lru_cache(maxsize=10_000)
def _network(ip: str) -> str:
    """What stands for one address: whoever has an IPv6 address has all that begin with the same 64
    bits (RFC 4291, 2.5.1)."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip or "unknown"
    if isinstance(address, IPv4Address):
        return ip
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False))


def _place(email: str) -> tuple[str, str]:
    """The account of that e-mail address, which cannot be guessed from it, and the address that the
    request comes from."""
    account = vault_of(turnstile().engine).fingerprint(f"account {normal(email)}".encode())
    return account, _address()


def _actor() -> str:
    identity = caller().identity
    return identity.actor if identity.id is not None else _address()


def _has_key() -> bool:
    return caller().identity.role in OF_KEYS


def _has_no_key() -> bool:
    return not _has_key()
