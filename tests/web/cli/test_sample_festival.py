"""The sample festival: always the same story."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from web.cli.sample_festival import sample_festival


@pytest.mark.parametrize("hour", [0, 9, 23])
def test_the_festival_is_the_same_story_told_up_to_now(hour: int):
    now = datetime(2026, 8, 15, hour, 30, tzinfo=UTC)

    told, later = sample_festival(now), sample_festival(now + timedelta(minutes=20))

    times: list[Any] = [datetime.fromisoformat(json.loads(line)["at"]) for line in told]
    assert 1_500 <= len(told) <= 3_000
    assert told == sample_festival(now)
    assert later[: len(told)] == told
    assert times == sorted(times)
    assert times[-1] <= now
