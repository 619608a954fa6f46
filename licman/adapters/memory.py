"""The journal in memory: the slow oracle of the contract suite, and the store of unit tests.

It keeps what it is told for the life of the object, and may be shared by several servers. It promises no
durability.
"""

from __future__ import annotations

from collections.abc import Sequence

from confkit.election.types import Epoch
from confkit.fence import FenceCheck, check_write
from confkit.fence_store import MemoryFence
from licman.core.model import Grant, LicenseText, Record, Release
from licman.ports import Fenced, Journalled, WentBack


class MemoryJournal(MemoryFence):
    """Records in a list; what is held is counted anew at each load."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__()
        self.records: list[Record] = []

    def load(self) -> Journalled:
        """See the port."""
        self.reach()
        held, license_text = {}, None
        for record in self.records:
            match record:
                case Grant(holding):
                    held[holding.key] = holding
                case Release(holding):
                    held.pop(holding.key, None)
                case LicenseText():
                    license_text = record
        return Journalled(tuple(held.values()), license_text, len(self.records))

    def append(self, records: Sequence[Record], *, epoch: Epoch, history_id: str, first: int) -> None:
        """See the port."""
        self.reach()
        check = check_write(self.row, epoch=epoch, history_id=history_id)
        if check is FenceCheck.FENCED:
            raise Fenced(f"the journal no longer holds token {epoch}")
        if check is FenceCheck.WENT_BACK or first != len(self.records) + 1:
            raise WentBack("the journal is not the one that was opened", last=len(self.records))
        self.records.extend(records)
