"""License, deployment and sessions in memory: for tests and simulations, one object shared by pretend
servers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from confkit.fence import FenceCheck
from confserv.core.compliance import Announced
from confserv.core.license import StoredLicense
from confserv.core.sessions import Session, SessionId
from confserv.core.stage import Stage
from confserv.state_ports import Deployment, DeploymentChange, Fenced, NewLicense, Tenure


class MemoryState:
    """DeploymentStore, LicenseStore and SessionStore in plain attributes; `tenure` is the fence row."""

    def __init__(self, *, tenure: Tenure | None = None, now_ms: int = 0) -> None:
        """Begin as a new deployment made at `now_ms`, milliseconds since 1970 UTC."""
        self.tenure = tenure
        self._deployment = Deployment(Stage.FIRST_STARTUP, True, 0, now_ms, Announced())
        self._licenses: list[StoredLicense] = []
        self._sessions: dict[SessionId, Session] = {}

    async def deployment(self) -> Deployment:
        """Read the row of the deployment."""
        return self._deployment

    async def change_deployment(self, tenure: Tenure, change: DeploymentChange) -> None:
        """Change it under a tenure."""
        self._require(tenure)
        row = self._deployment
        away = row.lrm_away_since_ms if change.lrm_away_since_ms is None else change.lrm_away_since_ms
        self._deployment = replace(
            row,
            stage=row.stage if change.lrm_seen_ms is None else Stage.OPERATIONAL,
            new_deployment=row.new_deployment and change.served_ms is None,
            lrm_away_since_ms=away,
            highest_clock_ms=max(row.highest_clock_ms, change.clock_ms or 0),
            announced=row.announced if change.announced is None else change.announced,
        )

    async def latest_license(self) -> tuple[int, str] | None:
        """Give revision and SHA-256 of the current license."""
        return (self._licenses[-1].revision, self._licenses[-1].sha256) if self._licenses else None

    async def license_revision(self, revision: int | None = None) -> StoredLicense | None:
        """Read one revision, the current one by default."""
        found = [one for one in self._licenses if revision in (None, one.revision)]
        return found[-1] if found else None

    async def license_revisions(self) -> tuple[StoredLicense, ...]:
        """Read every revision without its text, newest first."""
        return tuple(replace(one, text=b"") for one in reversed(self._licenses))

    async def store_license(
        self, decide: Callable[[StoredLicense | None], NewLicense | None]
    ) -> StoredLicense | None:
        """Store what `decide` makes of the current license."""
        current = await self.license_revision()
        new = decide(current)
        if new is None:
            return current
        revision = len(self._licenses) + 1
        self._licenses.append(
            StoredLicense(revision, new.sha256, new.text, new.stored_ms, new.stored_by),
        )
        return self._licenses[-1]

    async def sessions(self) -> tuple[Session, ...]:
        """Read all sessions."""
        return tuple(
            sorted(self._sessions.values(), key=lambda session: (session.application, session.session_id))
        )

    async def change_sessions(
        self, tenure: Tenure, *, add: Iterable[Session] = (), remove: Iterable[SessionId] = ()
    ) -> None:
        """Remove and add sessions under a tenure."""
        self._require(tenure)
        for session_id in remove:
            self._sessions.pop(session_id, None)
        self._sessions |= {session.session_id: session for session in add}

    def _require(self, tenure: Tenure) -> None:
        if self.tenure is None:
            raise Fenced(FenceCheck.WENT_BACK)
        if self.tenure.epoch != tenure.epoch:
            raise Fenced(FenceCheck.FENCED)
        if self.tenure != tenure:
            raise Fenced(FenceCheck.WENT_BACK)
