"""Use beyond a limit, both of them changing with time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm.core.intervals import Period, Step, Steps, value_at
from lrm.core.overuse import NO_OVER_USE, OverUse, beyond

PERIOD = Period(0, 40)

CASES = [
    pytest.param(
        (Step(0, 2),), (Step(0, 2),), NO_OVER_USE, id="using exactly what is entitled is no over-use"
    ),
    pytest.param((Step(0, 3),), (Step(0, 2),), OverUse(1, 40, 0), id="one beyond all the time"),
    pytest.param(
        (Step(0, 1), Step(10, 4), Step(15, 3), Step(20, 1)),
        (Step(0, 2),),
        OverUse(2, 10, 10),
        id="the largest excess, its time in all, its first second",
    ),
    pytest.param(
        (Step(0, 3),),
        (Step(0, 2), Step(12, 5)),
        OverUse(1, 12, 0),
        id="a license loaded at noon counts from noon",
    ),
    pytest.param(
        (Step(0, 3),), (Step(0, 5), Step(30, 0)), OverUse(3, 10, 30), id="an expiry makes all use over-use"
    ),
    pytest.param(
        (Step(0, 1), Step(20, 6)),
        (Step(0, 0), Step(20, 6)),
        OverUse(1, 20, 0),
        id="use and limit that change in the same second",
    ),
]


@pytest.mark.parametrize(("use", "limit", "expected"), CASES)
def test_over_use(use: Steps, limit: Steps, expected: OverUse) -> None:
    # B-25
    assert expected == beyond(use, limit, PERIOD)


def steps_from(values: list[int]) -> Steps:
    return tuple(
        Step(at_s, value) for at_s, value in enumerate(values) if at_s == 0 or value != values[at_s - 1]
    )


values_drawn = st.lists(st.integers(0, 4), min_size=40, max_size=40)


@given(values_drawn, values_drawn)
def test_agrees_with_comparing_every_second(use: list[int], limit: list[int]) -> None:
    # B-25
    excesses = [used - allowed for used, allowed in zip(use, limit, strict=True)]
    over = [at_s for at_s, excess in enumerate(excesses) if excess > 0]
    expected = OverUse(max(excesses), len(over), over[0]) if over else NO_OVER_USE
    assert expected == beyond(steps_from(use), steps_from(limit), PERIOD)
    assert use == [value_at(steps_from(use), at_s) for at_s in range(40)]
