"""The promises of high availability as pure functions from a history to the promises that it breaks.

One function a promise (I-1 to I-8 of the design); each returns named violations, and nothing for a history
that keeps it. The simulator, the tests on real processes and operators judge by the same functions.
"""

from confkit.validate.change_log import revisions_have_no_holes, tokens_never_decrease
from confkit.validate.grants import Grant, Release, grants_stay_within_counts
from confkit.validate.history import (
    LogChange,
    LogEntry,
    Outcome,
    Seen,
    Violation,
    WatchHistory,
    WriteAttempt,
)
from confkit.validate.linearizability import Operation, linearizable
from confkit.validate.roles import (
    Tenure,
    nothing_under_a_lower_token,
    only_the_last_primary_without_the_feature,
    the_stage_never_goes_back,
    tokens_grow_with_each_tenure,
)
from confkit.validate.watches import watcher_sees_the_log, watchers_see_the_log
from confkit.validate.writes import writes_happen_once

__all__ = [
    "Grant",
    "LogChange",
    "LogEntry",
    "Operation",
    "Outcome",
    "Release",
    "Seen",
    "Tenure",
    "Violation",
    "WatchHistory",
    "WriteAttempt",
    "grants_stay_within_counts",
    "linearizable",
    "nothing_under_a_lower_token",
    "only_the_last_primary_without_the_feature",
    "revisions_have_no_holes",
    "the_stage_never_goes_back",
    "tokens_grow_with_each_tenure",
    "tokens_never_decrease",
    "watcher_sees_the_log",
    "watchers_see_the_log",
    "writes_happen_once",
]
