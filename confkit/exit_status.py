"""Exit statuses of every process and tool: a contract (cli.md).

A module of its own, so that a command line client that only needs these loads nothing of a server.
"""

from __future__ import annotations

import enum


class ExitStatus(enum.IntEnum):
    """Exit statuses everywhere."""

    DONE = 0
    FAILED = 1
    REFUSED = 2
    NOT_LICENSED = 3
    NO_PRIMARY = 4
