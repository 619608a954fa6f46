"""The fence row of a store as its elected server uses it: one small port, in SQL and in memory.

Every store that is written by the primary alone keeps the row beside its data (`ha.md`, Fencing in the
database), so that they can share this. Calls block, and come from the store's one thread. What a write must
check inside its own transaction stays with the store that writes (`confkit.fence_sql.check_fence`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from confkit.election.ports import StoreUnreachable
from confkit.election.types import Confirmation, GenerationRaise
from confkit.fence import (
    FenceRow,
    RaiseCheck,
    may_raise,
    may_raise_generation,
    raised,
    raised_generation,
)
from confkit.fence_sql import Raise, raise_fence, raise_generation, read_fence

if TYPE_CHECKING:
    import sqlalchemy as sa

    from confkit.database import Database
    from confkit.election.types import Epoch, EtcdIdentity, Grounds, Permission, ProcessFacts

Permit = Callable[[FenceRow | None], "Permission"]
"""Asked with the row locked: whether this server may take the role (B-40)."""


class FenceStore(Protocol):
    """The fence row of one store."""

    def read_fence(self) -> FenceRow | None:
        """Read the row, None when the store never had a primary. Raises StoreUnreachable."""

    def raise_fence(self, epoch: Epoch, grounds: Grounds, *, facts: ProcessFacts, permit: Permit) -> Raise:
        """Put the token into the row if it is greater and `permit` allows it. Raises StoreUnreachable."""

    def confirm(self, epoch: Epoch) -> Confirmation:
        """Say whether the row still holds `epoch`; never raises StoreUnreachable."""

    def raise_generation(
        self, expected: FenceRow, *, identity: EtcdIdentity, revision: int, now_ms: int
    ) -> GenerationRaise:
        """Record a rebuilt etcd, compared with the row as it was read; never raises StoreUnreachable."""


class SqlFence:
    """The fence row in SQLite or PostgreSQL; the table must exist (`confkit.fence_sql.define_fence`)."""

    def __init__(self, database: Database) -> None:
        """Use the row of a database."""
        self._database = database

    def read_fence(self) -> FenceRow | None:
        """See the port."""
        with self._database.snapshot() as conn:
            return read_fence(conn)

    def raise_fence(self, epoch: Epoch, grounds: Grounds, *, facts: ProcessFacts, permit: Permit) -> Raise:
        """See the port; ends transactions that block it on PostgreSQL."""

        def work(conn: sa.Connection) -> Raise:
            return raise_fence(
                conn,
                epoch=epoch,
                waited_s=grounds.waited_s,
                facts=facts,
                granted_ttl_s=grounds.granted_ttl_s,
                identity=grounds.identity,
                etcd_revision=grounds.etcd_revision,
                fresh_history_id=str(uuid.uuid4()),
                permit=permit,
            )

        return self._database.promote(work)

    def confirm(self, epoch: Epoch) -> Confirmation:
        """See the port."""
        try:
            return confirmation(self.read_fence(), epoch)
        except StoreUnreachable:
            return Confirmation.UNREACHABLE

    def raise_generation(
        self, expected: FenceRow, *, identity: EtcdIdentity, revision: int, now_ms: int
    ) -> GenerationRaise:
        """See the port."""
        try:
            with self._database.write() as conn:
                return raise_generation(
                    conn, expected=expected, identity=identity, revision=revision, now_ms=now_ms
                )
        except StoreUnreachable:
            return GenerationRaise.UNREACHABLE


class MemoryFence:
    """The fence row in memory; `is_reachable = False` makes every call fail like a lost database."""

    def __init__(self) -> None:
        """Begin without a row."""
        self.is_reachable = True
        self.row: FenceRow | None = None

    def read_fence(self) -> FenceRow | None:
        """See the port."""
        self.reach()
        return self.row

    def raise_fence(self, epoch: Epoch, grounds: Grounds, *, facts: ProcessFacts, permit: Permit) -> Raise:
        """See the port."""
        self.reach()
        permission = permit(self.row)
        check = may_raise(self.row, epoch=epoch, waited_s=grounds.waited_s)
        if check is RaiseCheck.MAY and permission.allowed:
            self.row = raised(
                self.row,
                epoch=epoch,
                facts=facts,
                granted_ttl_s=grounds.granted_ttl_s,
                identity=grounds.identity,
                etcd_revision=grounds.etcd_revision,
                fresh_history_id="history-1",
            )
        return Raise(check, permission, self.row)

    def confirm(self, epoch: Epoch) -> Confirmation:
        """See the port."""
        return confirmation(self.row, epoch) if self.is_reachable else Confirmation.UNREACHABLE

    def raise_generation(
        self, expected: FenceRow, *, identity: EtcdIdentity, revision: int, now_ms: int
    ) -> GenerationRaise:
        """See the port."""
        if not self.is_reachable:
            return GenerationRaise.UNREACHABLE
        if self.row != expected:
            return GenerationRaise.LOST
        if not may_raise_generation(expected, now_ms=now_ms):
            return GenerationRaise.TOO_SOON
        self.row = raised_generation(expected, identity=identity, revision=revision, now_ms=now_ms)
        return GenerationRaise.RAISED

    def reach(self) -> None:
        """Raise StoreUnreachable when the store was made unreachable."""
        if not self.is_reachable:
            raise StoreUnreachable("the store was made unreachable")


def confirmation(row: FenceRow | None, epoch: Epoch) -> Confirmation:
    """Judge a row: does it hold `epoch`?"""
    if row is None:
        return Confirmation.WENT_BACK
    return Confirmation.HOLDS if row.token == epoch else Confirmation.FENCED
