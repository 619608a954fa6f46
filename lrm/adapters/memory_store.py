"""A usage store in memory: the same answers as the real ones, computed by the core alone.

For tests and simulators. It keeps nothing: what it promises is only that it agrees with the other stores.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from confkit.election.types import History
from confkit.fence import FenceCheck, FenceRow
from lrm.core.closing import DEFAULT_TIMEOUT_MS, end_ms_of
from lrm.core.entitlement import Entitlement, EntitlementRevision
from lrm.core.ingest import Batch, BatchResult, Known, SessionKey, key_of, plan_commit
from lrm.core.intervals import Period, Steps, Use, added, clip, concurrency, peak_of
from lrm.core.report import SYSTEM, PeakQuery, PeakRow, day_period
from lrm.core.sessions import ItemName, SessionFact, SourceId, TenantName, seat_of, second_of
from lrm.ports import StoreFenced, StoreLocked


class MemoryVault:
    """A place in memory; at most one store is open at a time, as with a file."""

    def __init__(self, *, session_timeout_ms: int = DEFAULT_TIMEOUT_MS) -> None:
        self.session_timeout_ms = session_timeout_ms
        self.clocks: dict[SourceId, int] = {}
        self.fence: FenceRow | None = None
        self.sessions: dict[SessionKey, SessionFact] = {}
        self.digests: dict[tuple[SourceId, int], bytes] = {}
        self.last_sequences: dict[SourceId, int] = {}
        self.ingest_number = 0
        self.entitlement = Entitlement()
        self.holder: MemoryStore | None = None

    def read_fence(self) -> FenceRow | None:
        """The fence row."""
        return self.fence

    def replace_fence(self, expected: FenceRow, replacement: FenceRow) -> bool:
        """Compare and set the fence row."""
        if self.holder is not None:
            raise StoreLocked("the store in memory is open")
        if self.fence != expected:
            return False
        self.fence = replacement
        return True

    def open(self, next_row: Callable[[FenceRow | None], FenceRow]) -> MemoryStore:
        """Open the one store."""
        if self.holder is not None:
            raise StoreLocked("the store in memory is open")
        self.fence = next_row(self.fence)
        self.holder = MemoryStore(self, self.fence)
        return self.holder


class MemoryStore:
    """An open store on a `MemoryVault`."""

    def __init__(self, vault: MemoryVault, row: FenceRow) -> None:
        self._vault = vault
        self._row = row

    def commit(self, batches: Sequence[Batch], *, received_ms: int) -> tuple[BatchResult, ...]:
        """Take batches as the core decides."""
        self._checked()
        vault = self._vault
        known = Known(
            sessions=vault.sessions,
            digests=vault.digests,
            last_sequences=vault.last_sequences,
            ingest_number=vault.ingest_number,
            clocks=vault.clocks,
        )
        plan = plan_commit(batches, known, received_ms=received_ms)
        vault.clocks.update(plan.clocks)
        for stored in plan.stored:
            vault.sessions[key_of(stored.fact)] = stored.fact
        for batch in plan.taken:
            vault.digests[batch.source, batch.sequence] = batch.digest
            vault.last_sequences[batch.source] = batch.sequence
        vault.ingest_number = plan.ingest_number
        return plan.results

    def save_entitlement(self, revision: EntitlementRevision) -> None:
        """Keep a revision."""
        self._checked()
        self._vault.entitlement = self._vault.entitlement.with_revision(revision)

    def entitlement(self) -> Entitlement:
        """All revisions."""
        return self._vault.entitlement

    def peaks(self, query: PeakQuery) -> list[PeakRow]:
        """Peaks by counting in the core, day by day."""
        rows = []
        for day in range(query.first_day, query.last_day + 1):
            period = day_period(day, as_of_s=query.as_of_s)
            if period is not None:
                rows += self._peaks_of_day(day, period, query)
        return rows

    def _peaks_of_day(self, day: int, period: Period, query: PeakQuery) -> list[PeakRow]:
        touched: defaultdict[tuple[TenantName, ItemName], int] = defaultdict(int)
        for fact in self._vault.sessions.values():
            if (
                query.tenant in (None, fact.tenant)
                and query.item in (None, fact.item)
                and _touches(self._use(fact), period)
            ):
                touched[fact.tenant, fact.item] += 1
                if query.tenant is None:
                    touched[SYSTEM, fact.item] += 1
        return [
            PeakRow(tenant, item, day, peak_of(self.use_of(tenant, item, period), period), sessions)
            for (tenant, item), sessions in touched.items()
        ]

    def use_of(self, tenant: TenantName, item: ItemName, period: Period) -> Steps:
        """Concurrency by counting in the core."""
        uses: defaultdict[TenantName, list[Use]] = defaultdict(list)
        for fact in self._vault.sessions.values():
            if fact.item == item and tenant in (SYSTEM, fact.tenant):
                uses[fact.tenant].append(self._use(fact))
        return added((concurrency(each, period) for each in uses.values()), period)

    def check(self) -> FenceCheck:
        """Whether the row is still the one this store was opened with."""
        return FenceCheck.HOLDS if self._vault.fence == self._row else FenceCheck.FENCED

    def history(self) -> History:
        """The history id and the last number."""
        return History(self._row.history_id, self._vault.ingest_number)

    def close(self) -> None:
        """Let another open the vault."""
        if self._vault.holder is self:
            self._vault.holder = None

    def _use(self, fact: SessionFact) -> Use:
        vault = self._vault
        end_ms = end_ms_of(
            fact, source_ms=vault.clocks.get(fact.source, 0), timeout_ms=vault.session_timeout_ms
        )
        return Use(
            seat=seat_of(place=fact.place, device=fact.device),
            start_s=second_of(fact.start_ms),
            end_s=None if end_ms is None else second_of(end_ms),
        )

    def _checked(self) -> None:
        if self._vault.fence != self._row:
            raise StoreFenced(f"held by {self._vault.fence}, not by {self._row.token}")


def _touches(use: Use, period: Period) -> bool:
    if use.start_s == use.end_s:
        return period.start_s <= use.start_s < period.end_s
    return clip(use, period) is not None
