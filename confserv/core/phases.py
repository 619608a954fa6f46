"""Whether a server admits writes, and under which token."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from confkit.election.types import Epoch


class Phase(Enum):
    """Whether writes are admitted."""

    CLOSED = "closed"
    OPEN = "open"
    SUSPENDED = "suspended"
    DRAINING = "draining"


@dataclass(slots=True)
class TenureState:
    """What is known of a tenure. `unsure`: a commit's outcome is not known, and the tail is being read."""

    phase: Phase = Phase.CLOSED
    epoch: Epoch = field(default_factory=lambda: Epoch(0, 0))
    history_id: str = ""
    unsure: bool = False
