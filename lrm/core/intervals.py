"""Exact concurrency from half-open intervals of use, to the second.

Why: a peak that is billed has to be the same whoever computes it, so the definition stands here once, as a
step function that everything else is read from; the database's query has to give the same answers, and a
test compares them. Cost is that of sorting the sessions of the period; nothing is kept per second.

Not promised: anything about who is licensed for what, or about sessions outside the period asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lrm.core.sessions import Seat

DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """Seconds from `start_s` up to but not including `end_s` (UTC, since 1970).

    Raises ValueError when it would be empty or run backwards.
    """

    start_s: int
    end_s: int

    def __post_init__(self) -> None:
        if self.end_s <= self.start_s:
            raise ValueError(f"a period ends after it starts: {self.start_s} to {self.end_s}")

    @property
    def seconds(self) -> int:
        """Length in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Use:
    """A seat in use from `start_s` up to but not including `end_s`; None while it is still in use."""

    seat: Seat
    start_s: int
    end_s: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """From `at_s` on the value is `value`, until the next step."""

    at_s: int
    value: int


Steps = tuple[Step, ...]
"""A step function: the first step is at the start of its period, times grow, neighbours differ in value."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest concurrency of a period.

    `at_s` is the second at which the count last rose to it: the start of the period if it was carried in
    and not reached again, None if nothing was in use. `seconds` is the time spent at that value, in
    seconds.
    """

    value: int
    at_s: int | None
    seconds: int


def clip(use: Use, period: Period) -> tuple[int, int] | None:
    """The part of a use inside the period as (start, end) in seconds, or None; what still runs lasts to its
    end.

    What begins and ends in the same second occupies no second, so it has no part.
    """
    start_s = max(use.start_s, period.start_s)
    end_s = period.end_s if use.end_s is None else min(use.end_s, period.end_s)
    return (start_s, end_s) if start_s < end_s else None


def merged(intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Intervals of one seat with overlapping and touching ones made one, in order."""
    result: list[tuple[int, int]] = []
    for start_s, end_s in sorted(intervals):
        if result and start_s <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end_s))
        else:
            result.append((start_s, end_s))
    return result


def concurrency(uses: Iterable[Use], period: Period) -> Steps:
    """How many distinct seats are in use, second by second of the period, as a step function.

    A seat that is used several times at once counts once. What began before the period is carried in.
    """
    by_seat: defaultdict[Seat, list[tuple[int, int]]] = defaultdict(list)
    for use in uses:
        part = clip(use, period)
        if part is not None:
            by_seat[use.seat].append(part)
    changes: defaultdict[int, int] = defaultdict(int)
    for intervals in by_seat.values():
        for start_s, end_s in merged(intervals):
            changes[start_s] += 1
            changes[end_s] -= 1
    return running_total(changes, period)


def running_total(changes: dict[int, int], period: Period) -> Steps:
    """The step function that starts at 0 and changes by `changes[second]` at those seconds of the period."""
    value = changes.get(period.start_s, 0)
    steps = [Step(period.start_s, value)]
    for at_s in sorted(changes):
        if period.start_s < at_s < period.end_s and changes[at_s]:
            value += changes[at_s]
            steps.append(Step(at_s, value))
    return tuple(steps)


def peak_of(steps: Steps, period: Period) -> Peak:
    """The peak of a step function over its period."""
    value = max(step.value for step in steps)
    last_rise_s = max(step.at_s for step in steps if step.value == value)
    seconds = sum(length_s for step, length_s in with_lengths(steps, period) if step.value == value)
    return Peak(value=value, at_s=last_rise_s if value else None, seconds=seconds)


def with_lengths(steps: Steps, period: Period) -> list[tuple[Step, int]]:
    """Each step with the number of seconds for which it holds."""
    ends_s = [step.at_s for step in steps[1:]] + [period.end_s]
    return [(step, end_s - step.at_s) for step, end_s in zip(steps, ends_s, strict=True)]


def value_at(steps: Steps, at_s: int) -> int:
    """The value of a step function at a second of its period."""
    value = steps[0].value
    for step in steps:
        if step.at_s > at_s:
            break
        value = step.value
    return value


def added(functions: Iterable[Steps], period: Period) -> Steps:
    """The sum of step functions over one period.

    The system's concurrency is the sum of its tenants' at each second, since no two tenants share a seat;
    its peak is the peak of this sum and not a sum of peaks.
    """
    changes: defaultdict[int, int] = defaultdict(int)
    for steps in functions:
        before = 0
        for step in steps:
            changes[step.at_s] += step.value - before
            before = step.value
    return running_total(changes, period)


def seats_at(uses: Iterable[Use], at_s: int) -> frozenset[Seat]:
    """The seats that are in use in that second."""
    second = Period(at_s, at_s + 1)
    return frozenset(use.seat for use in uses if clip(use, second) is not None)
