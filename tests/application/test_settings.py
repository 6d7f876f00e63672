"""Settings: what the environment may say, and what others see of them."""

import pytest

from application import keys
from application.settings import Settings


def test_settings_show_no_secret() -> None:
    settings = Settings(checkpoint_key=keys.new_key().private)
    shown = repr(settings)
    for secret in (settings.secret_key, settings.master_key, str(settings.checkpoint_key)):
        assert secret not in shown


@pytest.mark.parametrize(
    "url", ["rubbish", "http://host", "redis://host:99999", "redis://:secret@host:port"]
)
def test_what_is_no_url_of_redis_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ValueError, match=r"^REDIS_URL is a URL like redis://host:6379/0\.$"):
        Settings.from_environment({"REDIS_URL": url})


@pytest.mark.parametrize("minutes", ["0", "-30"])
def test_a_hold_that_is_over_at_once_is_refused_at_the_start(minutes: str) -> None:
    with pytest.raises(ValueError, match=f"HOLD_MINUTES is at least 1, not {minutes}"):
        Settings.from_environment({"HOLD_MINUTES": minutes})
    assert Settings.from_environment({"HOLD_MINUTES": "1"}).hold_minutes == 1


@pytest.mark.parametrize(
    ("name", "number", "limit"),
    [
        ("RETENTION_DAYS", "0", "at least 1"),
        ("RETENTION_DAYS", "-1", "at least 1"),
        ("RETENTION_DAYS", "99999999", "at most 36500"),
        ("ANSWER_SECONDS", "0", "at least 1"),
        ("WEB_THREADS", "0", "at least 1"),
        ("TRUSTED_PROXIES", "-1", "at least 0"),
        ("PORT", "65536", "at most 65535"),
    ],
)
def test_a_number_that_nobody_can_mean_is_refused_at_the_start(
    name: str, number: str, limit: str
) -> None:
    with pytest.raises(ValueError, match=f"{name} is {limit}, not {number}"):
        Settings.from_environment({name: number})
