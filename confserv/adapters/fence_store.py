"""The fence row of the Configuration Database, for the election's component: in threads of its own.

Promotion reads the license in the very transaction that raises the row, since a license may have changed since the
campaign (B-40). It has its own thread, so that a promotion never waits behind a write that hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa

from confkit.election.types import (
    ALLOWED,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
    InstanceName,
    Permission,
    ProcessFacts,
)
from confkit.fence import FenceCheck, FenceRow, may_take_role
from confkit.fence_sql import Raise, check_fence, raise_fence, raise_generation, read_fence
from confkit.license.trust import TrustSet
from confserv.adapters import state_rows as rows
from confserv.adapters.sql.database import Database
from confserv.core.license import check_stored
from confserv.state_ports import Tenure

T = TypeVar("T")


class SqlFence:
    """The fence row of an open database, and the rule of B-40 in the transaction that raises it."""

    def __init__(self, database: Database, *, trust: TrustSet) -> None:
        """Use `database`; `trust` judges the license on record."""
        self._database = database
        self._trust = trust
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fence")

    def configure(self, trust: TrustSet) -> None:
        """Judge the license by other trusted keys from now on."""
        self._trust = trust

    async def read(self) -> FenceRow | None:
        """Read the row. Raises StoreUnreachable."""

        def run() -> FenceRow | None:
            with self._database.snapshot() as conn:
                return read_fence(conn)

        return await self._in_thread(run)

    async def raise_token(
        self, epoch: Epoch, grounds: Grounds, *, facts: ProcessFacts, history_id: str, now: datetime
    ) -> Raise:
        """Put `epoch` into the row, if it is greater and the license allows it (B-40, B-50).

        `history_id` is for a database that never had one. Raises StoreUnreachable.
        """

        def work(conn: sa.Connection) -> Raise:
            return raise_fence(
                conn,
                epoch=epoch,
                waited_s=grounds.waited_s,
                facts=facts,
                granted_ttl_s=grounds.granted_ttl_s,
                identity=grounds.identity,
                etcd_revision=grounds.etcd_revision,
                prior_revision=grounds.prior_revision,
                fresh_history_id=history_id,
                permit=lambda row: self._permit(
                    conn, row, instance=facts.instance, now=now, take_over=grounds.take_over
                ),
            )

        return await self._in_thread(lambda: self._database.promote(work))

    async def raise_generation(
        self, expected: FenceRow, *, identity: EtcdIdentity, revision: int, now_ms: int
    ) -> GenerationRaise:
        """Record a rebuilt etcd, compared on the whole row. Raises StoreUnreachable."""

        def run() -> GenerationRaise:
            with self._database.write() as conn:
                return raise_generation(
                    conn, expected=expected, identity=identity, revision=revision, now_ms=now_ms
                )

        return await self._in_thread(run)

    async def check(self, tenure: Tenure) -> FenceCheck:
        """Say whether the row holds a tenure. Raises StoreUnreachable."""

        def run() -> FenceCheck:
            with self._database.write() as conn:
                return check_fence(conn, epoch=tenure.epoch, history_id=tenure.history_id)

        return await self._in_thread(run)

    def close(self) -> None:
        """Let the thread finish what it has and end."""
        self._thread.shutdown()

    def _permit(
        self,
        conn: sa.Connection,
        row: FenceRow | None,
        *,
        instance: InstanceName,
        now: datetime,
        take_over: bool,
    ) -> Permission:
        if take_over:
            return ALLOWED
        stored = rows.read_license(conn)
        licensed = stored is not None and check_stored(stored, trust=self._trust, now=now).has_ha(now)
        return may_take_role(row, instance=instance, ha_licensed=licensed)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
