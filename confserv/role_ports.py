"""What a change of role needs besides the configuration: the fence row, and the other members.

The Configuration Server's component (`component.py`) switches these on and off in the order of `ha.md`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from confkit.election.types import (
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
    Member,
    ProcessFacts,
)
from confkit.fence import FenceCheck, FenceRow
from confkit.fence_sql import Raise
from confserv.state_ports import DeploymentStore, SessionStore, Tenure


class Fence(Protocol):
    """The fence row; every call raises StoreUnreachable."""

    async def read(self) -> FenceRow | None:
        """Read the row."""

    async def raise_token(
        self, epoch: Epoch, grounds: Grounds, *, facts: ProcessFacts, history_id: str, now: datetime
    ) -> Raise:
        """Put a token into the row, if it is greater and the license allows it (B-40)."""

    async def raise_generation(
        self, expected: FenceRow, *, identity: EtcdIdentity, revision: int, now_ms: int
    ) -> GenerationRaise:
        """Record a rebuilt etcd, compared on the whole row."""

    async def check(self, tenure: Tenure) -> FenceCheck:
        """Say whether the row holds a tenure."""


class StateStore(DeploymentStore, SessionStore, Protocol):
    """What a promotion reads besides the log."""


class Successors(Protocol):
    """The other members of the pair."""

    async def is_ready(self, member: Member, *, timeout_s: float) -> bool:
        """Ask a member itself whether it would promote itself now."""


class FormerHolder(Protocol):
    """The process that held the role before, when its database serves one host."""

    async def end(self, row: FenceRow, *, reason: str) -> bool:
        """Have exactly the process that the row names killed; False when nobody could."""
