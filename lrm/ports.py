"""What the License Reporting Manager needs from the world.

The store comes in two parts, because a DuckDB file belongs to one process at a time: `UsageVault` is the
place where facts are kept, which every member of a pair can name, and `UsageStore` is the same place opened
by the one that was promoted. Their methods block and are called from threads; one thread at a time for what
writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from confkit.election.types import Epoch, History
from confkit.fence import FenceCheck, FenceRow
from lrm.core.entitlement import Entitlement, EntitlementRevision
from lrm.core.ingest import Batch, BatchResult
from lrm.core.intervals import Period, Steps
from lrm.core.report import PeakQuery, PeakRow
from lrm.core.sessions import ItemName, TenantName


class StoreFenced(Exception):
    """The store is held under another token: whoever gets this is primary no longer."""


class StoreWentBack(Exception):
    """The store has another history, or fewer facts, than this process has written: it was restored under
    it."""


class StoreLocked(Exception):
    """Another process has the store open; `holder_pid` is that process on this host, if it is known."""

    def __init__(self, message: str, *, holder_pid: int | None = None) -> None:
        super().__init__(message)
        self.holder_pid = holder_pid


class UsageStore(Protocol):
    """The usage store, opened under a token. Each write is durable when the call returns.

    Every write raises StoreFenced or StoreWentBack, and changes nothing, when the fence row is not the one
    that was raised when the store was opened.
    """

    def commit(self, batches: Sequence[Batch], *, received_ms: int) -> tuple[BatchResult, ...]:
        """Take batches in one transaction, as `plan_commit` decides; the results are in their order."""

    def save_entitlement(self, revision: EntitlementRevision) -> None:
        """Keep an entitlement revision, in place of what was known of it (`B-25`, `B-26`)."""

    def entitlement(self) -> Entitlement:
        """All entitlement revisions that are kept."""

    def peaks(self, query: PeakQuery) -> list[PeakRow]:
        """The peak of every tenant and item that was used, day by day, in no particular order."""

    def use_of(self, tenant: TenantName, item: ItemName, period: Period) -> Steps:
        """The concurrency of one item over a period, of one tenant or (empty name) of the system."""

    def check(self) -> FenceCheck:
        """Say whether the store is still held under the token it was opened with."""

    def history(self) -> History:
        """The history id, and the number of the last fact that was taken."""

    def close(self) -> None:
        """Give the store up, so that another process can open it; twice is once."""


class UsageVault(Protocol):
    """Where the usage store is kept. Methods raise StoreUnreachable when the place itself cannot be used."""

    def read_fence(self) -> FenceRow | None:
        """The fence row as last published, also while another process has the store open; None if there is
        none."""

    def replace_fence(self, expected: FenceRow, replacement: FenceRow) -> bool:
        """Write `replacement` if the row is exactly `expected`; False if it is not. Raises StoreLocked."""

    def open(self, next_row: Callable[[FenceRow | None], FenceRow]) -> UsageStore:
        """Open the store and raise its fence row to what `next_row` makes of the row found, in one
        transaction.

        An exception of `next_row` is passed on, with the store as it was. Raises StoreLocked.
        """


class FormerHolder(Protocol):
    """Ends the process that is on record as the holder of the store, when it keeps its successor out."""

    async def end(self, row: FenceRow, *, reason: str) -> bool:
        """Have exactly that process killed by the agent of its host; True when it is gone (`ha.md`,
        Fencing)."""


class SeenEpoch(Protocol):
    """Keeps the highest token of a Configuration Server that was ever seen (`I-7`)."""

    def read(self) -> Epoch | None:
        """The token on record."""

    def write(self, epoch: Epoch) -> None:
        """Put a token on record, durably."""
