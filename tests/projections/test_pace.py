"""The projector's pace: at once while little happens, in larger steps in a rush."""

import pytest

from projections.engine.pace import REST, RUSH, WINDOW, Pace


class Clock:
    """Shows the time that it is set to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rest_after(clock: Clock, pace: Pace, *, seconds: float, steps: int, events: int) -> float:
    """The last rest, when that many steps shared so many events evenly over this time."""
    rest = 0.0
    for _ in range(steps):
        clock.now += seconds / steps
        rest = pace.rest(events // steps)
    return rest


def test_steps_follow_at_once_while_few_events_come(clock: Clock):
    assert not rest_after(clock, Pace(clock), seconds=1.0, steps=200, events=RUSH - 200)


def test_a_rush_is_taken_in_larger_steps(clock: Clock):
    assert rest_after(clock, Pace(clock), seconds=1.0, steps=5, events=2 * RUSH) == REST


def test_one_step_of_many_events_is_no_rush_yet(clock: Clock):
    assert not rest_after(clock, Pace(clock), seconds=WINDOW / 2, steps=1, events=RUSH)


def test_a_rush_is_over_soon(clock: Clock):
    pace = Pace(clock)
    assert rest_after(clock, pace, seconds=1.0, steps=20, events=2 * RUSH)
    assert not rest_after(clock, pace, seconds=3 * WINDOW, steps=3, events=3)


def test_a_step_after_a_quiet_hour_is_followed_at_once(clock: Clock):
    assert not rest_after(clock, Pace(clock), seconds=3600.0, steps=1, events=RUSH)
