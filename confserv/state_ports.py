"""What licensing, sessions and the bond with LRM need from the Configuration Database, outside the change log.

Every write of a primary names its `Tenure` and raises `Fenced` when the fence row holds something else; nothing is
written then. The upload of a license is the one write that needs no tenure: it works with no server running (B-2).
All methods raise `confkit.election.ports.StoreUnreachable` when the database does not answer; whether a write took
place is then not known, and each of these may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from confkit.election.types import Epoch
from confkit.fence import FenceCheck
from confserv.core.compliance import Announced
from confserv.core.license import StoredLicense
from confserv.core.sessions import Session, SessionId
from confserv.core.stage import Stage


@dataclass(frozen=True, slots=True)
class Tenure:
    """A time as primary: what the fence row must hold for a write to count."""

    epoch: Epoch
    history_id: str


class Fenced(Exception):
    """The fence row does not hold this tenure: this server is primary no more, or the database went back."""

    def __init__(self, check: FenceCheck) -> None:
        """Keep what the check said."""
        self.check = check
        super().__init__(f"the fence row says {check.value}")


@dataclass(frozen=True, slots=True)
class Deployment:
    """The row of the deployment; times in milliseconds since 1970 UTC, 0 for never or not."""

    stage: Stage
    new_deployment: bool
    lrm_away_since_ms: int
    highest_clock_ms: int
    announced: Announced


@dataclass(frozen=True, slots=True)
class DeploymentChange:
    """What is to be changed of the deployment's row; None leaves a value as it is, stage and clock only grow."""

    lrm_seen_ms: int | None = None
    """An LRM connected at this time: the stage is OPERATIONAL from now on (B-12)."""
    served_ms: int | None = None
    """The server has started successfully at this time, and needs no license to start again (B-5)."""
    lrm_away_since_ms: int | None = None
    clock_ms: int | None = None
    announced: Announced | None = None


@dataclass(frozen=True, slots=True)
class NewLicense:
    """A license text to be stored as the next revision; `stored_ms` in milliseconds since 1970 UTC."""

    sha256: str
    text: bytes
    stored_ms: int
    stored_by: str


class DeploymentStore(Protocol):
    """The row of the deployment."""

    async def deployment(self) -> Deployment:
        """Read it."""

    async def change_deployment(self, tenure: Tenure, change: DeploymentChange) -> None:
        """Change it under a tenure. Raises Fenced."""


class LicenseStore(Protocol):
    """License revisions; the highest is the current one."""

    async def latest_license(self) -> tuple[int, str] | None:
        """Give revision and SHA-256 on record of the current license, cheaply; None when none is stored."""

    async def license_revision(self, revision: int | None = None) -> StoredLicense | None:
        """Read one revision, the current one by default; None when there is none."""

    async def license_revisions(self) -> tuple[StoredLicense, ...]:
        """Read every revision without its text, newest first."""

    async def store_license(
        self, decide: Callable[[StoredLicense | None], NewLicense | None]
    ) -> StoredLicense | None:
        """Store what `decide` makes of the current license, in one transaction; None leaves it as it is.

        Gives the license that is current then. What `decide` raises undoes the transaction (B-3).
        """


class SessionStore(Protocol):
    """Sessions that are granted, or about to be."""

    async def sessions(self) -> tuple[Session, ...]:
        """Read all."""

    async def change_sessions(
        self, tenure: Tenure, *, add: Iterable[Session] = (), remove: Iterable[SessionId] = ()
    ) -> None:
        """Remove and add in one transaction under a tenure; one that is there already is replaced. Raises
        Fenced."""
