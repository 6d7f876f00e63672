"""What the environment may say."""

import pytest

from application.settings import Settings


@pytest.mark.parametrize("minutes", ["0", "-30"])
def test_a_hold_that_is_over_at_once_is_refused_at_the_start(minutes: str) -> None:
    with pytest.raises(ValueError, match=f"HOLD_MINUTES is at least 1, not {minutes}"):
        Settings.from_environment({"HOLD_MINUTES": minutes})
    assert Settings.from_environment({"HOLD_MINUTES": "1"}).hold_minutes == 1
