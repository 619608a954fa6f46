"""Settings of Solution Control: those that every process has, and no others yet."""

from __future__ import annotations

from confkit.settings import ProcessSettings


class SolutionControlSettings(ProcessSettings):
    """What `solution-control` can be told."""
