"""What the License Manager needs from the world: a journal of what is held, fenced.

Methods block; all are called from the journal's one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from confkit.election.types import Epoch
from confkit.fence_store import FenceStore
from licman.core.model import Holding, LicenseText, Record


class Fenced(Exception):
    """The fence row holds another token: this server may not write any more (B-50)."""


class WentBack(Exception):
    """The journal has another history, or does not end where this server left it; `last` is where it ends
    now.
    """

    def __init__(self, message: str, *, last: int) -> None:
        """Keep the number of the last record that the journal holds."""
        self.last = last
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Journalled:
    """What a successor starts with: who holds what, oldest first, the license in force, the last record's
    number.
    """

    holdings: tuple[Holding, ...]
    license: LicenseText | None
    last: int


class Journal(FenceStore, Protocol):
    """Every grant and release, in order, and what they add up to."""

    def load(self) -> Journalled:
        """Read all in one snapshot. Raises StoreUnreachable."""

    def append(self, records: Sequence[Record], *, epoch: Epoch, history_id: str, first: int) -> None:
        """Write records durably, all or none; the first gets the number `first`, one behind the last one.

        Raises Fenced, WentBack, StoreUnreachable (nothing is known then).
        """
