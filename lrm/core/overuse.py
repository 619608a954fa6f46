"""Use beyond a limit: how much, for how long, since when (`B-25`).

Why: over-use is reported and never enforced, so the figure has to be right rather than early. Both the use
and the limit are step functions, since a license that is loaded at noon counts from noon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lrm.core.intervals import Period, Step, Steps, added, with_lengths


@dataclass(frozen=True, slots=True)
class OverUse:
    """Use beyond a limit within one period.

    `quantity` is the largest number of seats beyond it, `seconds` the time spent beyond it, `first_s` the
    first second of it (UTC, since 1970), None when there was none.
    """

    quantity: int
    seconds: int
    first_s: int | None


NO_OVER_USE: Final = OverUse(quantity=0, seconds=0, first_s=None)


def beyond(use: Steps, limit: Steps, period: Period) -> OverUse:
    """Compare use with a limit over one period; both begin at the start of the period."""
    excess = added((use, _negated(limit)), period)
    over = [(step, length_s) for step, length_s in with_lengths(excess, period) if step.value > 0]
    if not over:
        return NO_OVER_USE
    return OverUse(
        quantity=max(step.value for step, _ in over),
        seconds=sum(length_s for _, length_s in over),
        first_s=over[0][0].at_s,
    )


def _negated(steps: Steps) -> Steps:
    return tuple(Step(step.at_s, -step.value) for step in steps)
