"""Stops this process at named points of a commit, so that tests can do the worst at the worst time.

Off unless settings say `obey_failpoints = true`; then the environment CONFSERV_FAILPOINTS lists the points that
count (before-begin, inside-transaction, before-answer). A point stops the process, once, when the file
`failpoint-POINT` exists in the given directory: the file is removed, `stopped-POINT` is made, and SIGSTOP
stops every thread until SIGCONT.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

Failpoint = Callable[[str], None]
"""Called with the name of a point that was reached."""

BEFORE_BEGIN = "before-begin"
INSIDE_TRANSACTION = "inside-transaction"
BEFORE_ANSWER = "before-answer"
POINTS = frozenset({BEFORE_BEGIN, INSIDE_TRANSACTION, BEFORE_ANSWER})


def no_failpoint(_point: str) -> None:
    """Do nothing: what runs everywhere but in tests."""


def failpoints(*, enabled: bool, directory: Path, environment: Mapping[str, str]) -> Failpoint:
    """Give the failpoints of a process; `enabled` is the setting. Raises ValueError for a point that does
    not exist."""
    named = {name.strip() for name in environment.get("CONFSERV_FAILPOINTS", "").split(",") if name.strip()}
    if not enabled or not named:
        return no_failpoint
    if named - POINTS:
        raise ValueError(f"CONFSERV_FAILPOINTS: no such point: {', '.join(sorted(named - POINTS))}")
    return _Stopper(frozenset(named), directory)


class _Stopper:
    def __init__(self, points: frozenset[str], directory: Path) -> None:
        self._points = points
        self._directory = directory

    def __call__(self, point: str) -> None:
        if point not in self._points:
            return
        try:
            (self._directory / f"failpoint-{point}").unlink()
        except FileNotFoundError:
            return
        (self._directory / f"stopped-{point}").touch()
        # to this thread: another one might take the signal, and this one run on into the transaction meanwhile
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
