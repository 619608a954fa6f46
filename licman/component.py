"""The License Manager as a member of its pair: what promotion, suspension and demotion mean for check-outs.

Promotion raises the token, loads what is held, and opens; holders attach again to what they hold, and to
nothing else. It need not wait for anybody, because the journal knows (B-42).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from confkit.election.types import (
    Epoch,
    Grounds,
    History,
    LeaderRecord,
    Member,
    MemberState,
    Promotion,
    PromotionResult,
)
from confkit.fence import FenceRow
from confkit.fenced_component import FencedComponent, Setting
from confkit.license.findings import LicenseError
from confkit.license.pools import pools_of
from confkit.license.syntax import parse
from licman.core.model import LicenseText
from licman.desk import Desk, License
from licman.ports import Journal, Journalled


class LicenseManager(FencedComponent):
    """Implements the election's `Component`.

    `followed` gives the license as the Configuration Server told it last, None when it never did: then the
    one in the journal counts.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        journal: Journal,
        desk: Desk,
        followed: Callable[[], License | None],
    ) -> None:
        """Begin closed."""
        super().__init__(setting)
        self._journal = journal
        self._desk = desk
        self._followed = followed
        self._history_id = ""

    async def open(self, epoch: Epoch, row: FenceRow, grounds: Grounds) -> Promotion:
        """Load the journal and serve, unless it is behind what etcd remembers of it (B-51)."""
        loaded = await self.in_store_thread(self._journal.load)
        missing = missing_from(loaded, row.history_id, grounds.view.history)
        if missing:
            return Promotion(PromotionResult.WENT_BACK, missing)
        self._history_id = row.history_id
        in_force = self._followed() or license_of(loaded.license)
        self._desk.open(loaded, history_id=row.history_id, license_in_force=in_force)
        return Promotion.opened()

    async def suspend(self, reason: str) -> None:
        """Let callers wait."""
        self._desk.suspend()

    async def resume(self, epoch: Epoch) -> None:
        """Go on."""
        self._desk.resume()

    async def prepare_handover(self, successor: Member, timeout_s: float) -> bool:
        """Stop admitting and finish the transaction in flight."""
        if not successor.state.promotable:
            return False
        self._desk.suspend()
        try:
            async with asyncio.timeout(timeout_s):
                await self._desk.settle()
        except TimeoutError:
            return False
        return True

    async def demote(self, reason: str, successor: LeaderRecord | None) -> None:
        """Refuse what waits."""
        self._desk.close()
        self._history_id = ""

    def member(self) -> MemberState:
        """Say how this server stands."""
        return MemberState(
            applied_revision=self._desk.last,
            promotable=self._desk.reachable,
            database_reachable=self._desk.reachable,
            history=History(self._history_id, self._desk.last) if self._history_id else None,
        )

    def attributes(self) -> Mapping[str, str]:
        """What status shows besides roles."""
        return {
            "license_revision": str(self._desk.license_revision),
            "held_handles": str(self._desk.held_handles),
            "ha_licensed": str(self.ha_licensed).lower(),
        }


def missing_from(loaded: Journalled, history_id: str, known: History | None) -> str:
    """Say what a journal lacks of what etcd remembers of it; empty when it lacks nothing (B-51)."""
    if known is None:
        return ""
    if known.history_id != history_id:
        return f"the journal's history is {history_id}, the last primary's was {known.history_id}"
    if known.revision > loaded.last:
        return f"the journal ends at record {loaded.last}, the last primary had written {known.revision}"
    return ""


def license_of(text: LicenseText | None) -> License | None:
    """Read the license that the journal keeps; None when there is none, or when it does not parse any
    more.
    """
    if text is None:
        return None
    try:
        return License(text, pools_of(parse(text.text, source=f"license revision {text.revision}")))
    except LicenseError:
        return None
