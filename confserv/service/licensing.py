"""The stored license as a running server knows it: followed by every member, judged and logged by the primary.

The database is asked cheaply and often for a new revision, so that one loaded by another process is noticed within
a second (B-31), and read and verified whole every few seconds (B-30, B-32). Those who follow the license are told by
`changes`. What it does not promise: that two members know a revision at the same instant.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog

from confkit.clock import Clock
from confkit.election.ports import StoreUnreachable
from confkit.events import EventLog
from confkit.license.trust import TrustSet
from confserv.core.compliance import (
    Announced,
    Assessment,
    ComplianceRules,
    Facts,
    Monitor,
    assess,
    step,
)
from confserv.core.license import CheckedLicense, StoredLicense, check_stored, facts_of
from confserv.service.gate import Gate
from confserv.service.reachability import Reachability
from confserv.service.upload import Loaded, Upload, load_license
from confserv.state_ports import Deployment, DeploymentChange, DeploymentStore, Fenced, LicenseStore, Tenure

_VERIFY_S = 5.0
_KEEP_CLOCK_S = 60.0
_log = structlog.get_logger()


class LicenseDatabase(LicenseStore, DeploymentStore, Protocol):
    """What licensing needs of the database."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else compliance looks at: since when no LRM is bound, and which members trust other keys."""

    lrm_away_since_ms: Callable[[], int]
    trust_differs: Callable[[], tuple[str, ...]]


class Licensing:
    """The license in force, and the state of compliance."""

    def __init__(
        self,
        *,
        store: LicenseDatabase,
        trust: TrustSet,
        rules: ComplianceRules,
        poll_s: float,
        gate: Gate,
        events: EventLog,
        clock: Clock,
        surroundings: Surroundings,
        on_fenced: Callable[[Fenced], None],
        on_reachability: Callable[[], None] = lambda: None,
    ) -> None:
        """Know nothing yet; `poll_s` is how often, in seconds, the database is asked for a new revision."""
        self._store = store
        self._trust = trust
        self._rules = rules
        self._poll_s = poll_s
        self._gate = gate
        self._events = events
        self._clock = clock
        self._surroundings = surroundings
        self._on_fenced = on_fenced
        self._tenure: Tenure | None = None
        self._monitor = Monitor()
        self._kept = Announced()
        self._highest_clock_ms = 0
        self._clock_kept_s = float("-inf")
        self._verified_s = float("-inf")
        self._nudge = asyncio.Event()
        self._changed = asyncio.Event()
        self.current: CheckedLicense | None = None
        """The license in force, None when none is stored, or nothing was read yet."""
        self._database = Reachability("the license", on_reachability)

    # --- questions

    @property
    def reachable(self) -> bool:
        """Whether the database answered when it was asked last."""
        return self._database.reachable

    def now(self) -> datetime:
        """The present time as licenses count it."""
        return datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC)

    def has_feature(self, name: str) -> bool:
        """Whether the stored license contains a feature, expired or not (B-16, B-30)."""
        return self.current is not None and self.current.has_feature(name, self.now())

    def has_ha(self) -> bool:
        """Whether pairs may switch over (B-40)."""
        return self.current is not None and self.current.has_ha(self.now())

    def assessment(self) -> Assessment:
        """The state of compliance now (B-33)."""
        return assess(self._facts(), now_ms=self._clock.wall_ms(), rules=self._rules)

    async def changes(self) -> AsyncIterator[CheckedLicense]:
        """Yield the license in force, then each that follows it."""
        told: StoredLicense | None = None
        while True:
            changed = self._changed
            if self.current is not None and self.current.stored != told:
                told = self.current.stored
                yield self.current
            else:
                await changed.wait()

    async def revision(self, revision: int | None = None) -> CheckedLicense | None:
        """Read one revision, the current one by default, and verify it. Raises StoreUnreachable."""
        stored = await self._store.license_revision(revision)
        return None if stored is None else check_stored(stored, trust=self._trust, now=self.now())

    async def revisions(self) -> tuple[StoredLicense, ...]:
        """Read all revisions without their texts, newest first. Raises StoreUnreachable."""
        return await self._store.license_revisions()

    # --- duties

    async def load(self, upload: Upload) -> Loaded:
        """Store a text through the running primary (B-1). Raises UploadRefused, StoreUnreachable."""
        loaded = await load_license(self._store, upload, trust=self._trust, now=self.now())
        await self.refresh()
        self._nudge.set()
        return loaded

    def configure(self, *, rules: ComplianceRules, trust: TrustSet) -> None:
        """Go on under new settings; the license is verified anew at once."""
        self._rules, self._trust = rules, trust
        self._verified_s = float("-inf")
        self._nudge.set()

    def promoted(self, tenure: Tenure, deployment: Deployment) -> None:
        """Begin to log, from what former primaries have logged."""
        self._tenure = tenure
        self._kept = deployment.announced
        self._monitor = Monitor(deployment.announced)
        self.followed(deployment)
        self._nudge.set()

    def demoted(self) -> None:
        """Log no more."""
        self._tenure = None

    def followed(self, deployment: Deployment) -> None:
        """Take the highest time on record (B-32)."""
        self._highest_clock_ms = max(self._highest_clock_ms, deployment.highest_clock_ms)

    async def refresh(self) -> None:
        """Read the current license now, and verify it. Raises StoreUnreachable."""
        stored = await self._store.license_revision()
        self._verified_s = self._clock.boottime_s()
        if stored is None:
            self.current = None
            return
        checked = await asyncio.to_thread(check_stored, stored, trust=self._trust, now=self.now())
        known = self.current
        self.current = checked
        if known is None or known.stored != stored or known.problem != checked.problem:
            self._changed.set()
            self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follow the database, and log as the primary does, for ever (B-30)."""
        while True:
            self._nudge.clear()
            try:
                await self._look()
                self._database.answered()
            except StoreUnreachable as error:
                self._database.silent(error)
            await self._monitored()
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._nudge.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        latest = await self._store.latest_license()
        known = None if self.current is None else (self.current.stored.revision, self.current.stored.sha256)
        overdue = self._clock.boottime_s() - self._verified_s >= _VERIFY_S
        if latest != known or overdue:
            await self.refresh()

    async def _monitored(self) -> None:
        tenure = self._gate.tenure
        if tenure is None or tenure != self._tenure:
            return
        now_s, now_ms = self._clock.boottime_s(), self._clock.wall_ms()
        self._monitor, logged = step(
            self._monitor, self._facts(), now_s=now_s, now_ms=now_ms, rules=self._rules
        )
        for one in logged:
            self._events.emit(one.event, **one.attributes)
        clock_due = now_s - self._clock_kept_s >= _KEEP_CLOCK_S
        announced = self._monitor.announced if self._monitor.announced != self._kept else None
        if clock_due or announced is not None:
            await self._keep(
                tenure, DeploymentChange(clock_ms=now_ms if clock_due else None, announced=announced)
            )

    async def _keep(self, tenure: Tenure, change: DeploymentChange) -> None:
        try:
            await self._store.change_deployment(tenure, change)
        except Fenced as fenced:
            self._on_fenced(fenced)
        except StoreUnreachable as error:
            _log.warning("cannot keep what was announced", error=str(error))
        else:
            self._kept = change.announced or self._kept
            if change.clock_ms is not None:
                self._clock_kept_s = self._clock.boottime_s()

    def _facts(self) -> Facts:
        now_ms = self._clock.wall_ms()
        self._highest_clock_ms = max(self._highest_clock_ms, now_ms)
        return Facts(
            license=None if self.current is None else facts_of(self.current, now=self.now()),
            clock_behind_ms=self._highest_clock_ms - now_ms,
            lrm_away_since_ms=self._surroundings.lrm_away_since_ms(),
            trust_differs=self._surroundings.trust_differs(),
        )
