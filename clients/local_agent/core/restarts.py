"""How soon an application that failed is started again: at once the first time, then ever later.

A program that fails at once would otherwise take the machine for itself. One that has run for a while starts
with a clean slate.
"""

from __future__ import annotations

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 60.0
STABLE_AFTER_S = 60.0
"""After so long, in seconds, a running application counts as stable, and its failures as new."""


def restart_delay_s(restarts: int) -> float:
    """Give the pause before the next start, in seconds, after so many restarts: 0, 0.5, 1, 2, … 60."""
    if restarts <= 0:
        return 0.0
    return float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(restarts - 1, 16)))
