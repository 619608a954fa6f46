"""Concurrency, to the second: tables of situations, and a slow second-by-second oracle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm.core.intervals import (
    Peak,
    Period,
    Step,
    Use,
    added,
    concurrency,
    peak_of,
    seats_at,
    value_at,
)
from lrm.core.sessions import Seat, seat_of

PERIOD = Period(100, 200)


def use(seat: str, start_s: int, end_s: int | None) -> Use:
    return Use(Seat(seat), start_s, end_s)


PEAKS = [
    pytest.param([], Peak(0, None, 100), id="nothing in use has no time of peak"),
    pytest.param([use("a", 110, 120)], Peak(1, 110, 10), id="one seat peaks when it begins"),
    pytest.param(
        [use("a", 110, 110)], Peak(0, None, 100), id="what begins and ends in one second is no concurrency"
    ),
    pytest.param(
        [use("a", 110, 120), use("b", 120, 130)], Peak(1, 110, 20), id="half open, so one leaves as one comes"
    ),
    pytest.param(
        [use("a", 110, 120), use("b", 119, 130)], Peak(2, 119, 1), id="one second together is a peak of two"
    ),
    pytest.param(
        [use("a", 110, 120), use("b", 130, 140)], Peak(1, 130, 20), id="the last rise to the peak counts"
    ),
    pytest.param(
        [use("a", 50, 120)], Peak(1, 100, 20), id="carried in and not reached again is the period's start"
    ),
    pytest.param(
        [use("a", 50, 120), use("b", 150, 160)], Peak(1, 150, 30), id="carried in and reached again"
    ),
    pytest.param(
        [use("a", 50, 100)], Peak(0, None, 100), id="what ended as the period began is not carried in"
    ),
    pytest.param([use("a", 200, 210)], Peak(0, None, 100), id="what begins as the period ends is outside"),
    pytest.param(
        [use("a", 150, None)], Peak(1, 150, 50), id="what still runs lasts to the end of the period"
    ),
    pytest.param(
        [use("a", 110, 130), use("a", 120, 140)], Peak(1, 110, 30), id="the same seat at once counts once"
    ),
    pytest.param(
        [use("a", 110, 120), use("a", 120, 130)],
        Peak(1, 110, 20),
        id="a seat that goes on does not rise again",
    ),
    pytest.param([use("a", 0, 900), use("b", 0, None)], Peak(2, 100, 100), id="covers the whole period"),
]


@pytest.mark.parametrize(("uses", "expected"), PEAKS)
def test_peak_of_a_period(uses: list[Use], expected: Peak) -> None:
    # B-25
    assert expected == peak_of(concurrency(uses, PERIOD), PERIOD)


def test_all_devices_of_one_place_are_one_seat() -> None:
    # B-25
    seats = [
        seat_of(place="p1", device="d1"),
        seat_of(place="p1", device="d2"),
        seat_of(place="", device="p1"),
    ]
    uses = [Use(seat, 110, 120) for seat in seats]
    assert Peak(2, 110, 10) == peak_of(concurrency(uses, PERIOD), PERIOD)


def test_a_step_function_begins_with_its_period_and_has_no_equal_neighbours() -> None:
    # B-25
    uses = [use("a", 110, 120), use("b", 120, 130)]
    assert (Step(100, 0), Step(110, 1), Step(130, 0)) == concurrency(uses, PERIOD)


def test_a_period_that_would_be_empty_is_refused() -> None:
    # B-60
    with pytest.raises(ValueError, match="a period ends after it starts"):
        Period(100, 100)


seconds = st.integers(min_value=0, max_value=60)
uses_drawn = st.lists(
    st.builds(
        lambda seat, start_s, length_s: Use(
            Seat(seat), start_s, None if length_s is None else start_s + length_s
        ),
        st.sampled_from("abcd"),
        seconds,
        st.none() | st.integers(min_value=0, max_value=25),
    ),
    max_size=12,
)
periods = st.builds(
    lambda start_s, length_s: Period(start_s, start_s + length_s), seconds, st.integers(1, 40)
)


def oracle_counts(uses: list[Use], period: Period) -> list[int]:
    """Distinct seats of every second, counted one second at a time."""
    return [
        len(
            {each.seat for each in uses if each.start_s <= at_s and (each.end_s is None or at_s < each.end_s)}
        )
        for at_s in range(period.start_s, period.end_s)
    ]


def oracle_peak(counts: list[int], period: Period) -> Peak:
    value = max(counts)
    rises = [at for at in range(1, len(counts)) if counts[at] == value and counts[at - 1] < value]
    at_s = period.start_s + (rises[-1] if rises else 0)
    return Peak(value, at_s if value else None, counts.count(value))


@given(uses_drawn, periods)
def test_agrees_with_counting_every_second(uses: list[Use], period: Period) -> None:
    # B-25
    counts = oracle_counts(uses, period)
    steps = concurrency(uses, period)
    assert counts == [value_at(steps, at_s) for at_s in range(period.start_s, period.end_s)]
    assert oracle_peak(counts, period) == peak_of(steps, period)


@given(uses_drawn, uses_drawn, periods)
def test_the_system_is_the_sum_of_its_tenants_second_by_second(
    first: list[Use], second: list[Use], period: Period
) -> None:
    # B-25
    functions = [concurrency(first, period), concurrency(second, period)]
    expected = [
        a + b for a, b in zip(oracle_counts(first, period), oracle_counts(second, period), strict=True)
    ]
    steps = added(functions, period)
    assert expected == [value_at(steps, at_s) for at_s in range(period.start_s, period.end_s)]
    assert oracle_peak(expected, period) == peak_of(steps, period)


@given(uses_drawn, seconds)
def test_who_is_in_use_agrees_with_how_many(uses: list[Use], at_s: int) -> None:
    # B-25
    period = Period(at_s, at_s + 1)
    assert value_at(concurrency(uses, period), at_s) == len(seats_at(uses, at_s))
