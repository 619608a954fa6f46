"""What a client does about its session: when to keep it, and how long to wait after a refusal.

Pure: reasons and numbers in, decisions out; `session.py` carries them out.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

_WAITS_S = {"LRM_NOT_STARTED": 2.0, "SESSION_HELD": 1.0}
"""Refusals that pass by themselves, with the longest pause before asking again, in seconds."""

_LONGEST_RESTORE_S = 5.0
_FIRST_S = 0.1


class SessionState(enum.StrEnum):
    """What a session is, as its client knows it."""

    NEW = "new"
    WAITING = "waiting"
    """Refused for a reason that passes (B-11, B-17), asks again with back-off."""
    OPEN = "open"
    LOST = "lost"
    """Was open; has to be opened again and was not yet. What the client knows may be old."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again after a pause, in seconds."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """Tell the application: waiting does not help."""


def after_refusal(reason: str, *, was_open: bool, tries: int, draw: float) -> Wait | Refused:
    """Decide what follows a refused opening.

    An application that waits for LRM gets in without a restart (B-12). One whose session was open goes on asking
    whatever the refusal is: an operator may enable it again, and until then it works with what it has.

    Args:
        reason: the stable reason of the refusal.
        was_open: whether the session had been granted before.
        tries: refusals so far.
        draw: a random number in [0, 1).
    """
    longest_s = _WAITS_S.get(reason, _LONGEST_RESTORE_S if was_open else 0.0)
    if not longest_s:
        return Refused()
    return Wait(min(longest_s, _FIRST_S * 2.0 ** min(tries, 16)) * (0.5 + draw / 2))


def keep_interval_s(lease_ttl_ms: int) -> float:
    """Time between two keeps, in seconds: a third of the lease, so that one may be lost."""
    return max(0.05, lease_ttl_ms / 3000)
