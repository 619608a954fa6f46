"""The startup stage: has a License Reporting Manager ever been seen by this deployment?

The stage is a row in the Configuration Database, so that a restart keeps it and every peer sees it. It does
not say whether an LRM is bound now; `binding.py` does.
"""

from __future__ import annotations

from enum import StrEnum

from confserv.core.applications import ApplicationType


class Stage(StrEnum):
    """The stage as the database and the status show it (B-10)."""

    FIRST_STARTUP = "FIRST_STARTUP"
    OPERATIONAL = "OPERATIONAL"

    def accepts(self, application_type: ApplicationType) -> bool:
        """Say whether a session of this type may be opened in this stage (B-11, B-13)."""
        return self is Stage.OPERATIONAL or application_type.is_accepted_first


def later(one: Stage, other: Stage) -> Stage:
    """Give the stage that counts when two are known: between migrations it never goes back (B-10, I-7)."""
    return Stage.OPERATIONAL if Stage.OPERATIONAL in (one, other) else Stage.FIRST_STARTUP
