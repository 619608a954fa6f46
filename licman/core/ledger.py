"""Counting of what is held: check-out, check-in, heartbeats, release on silence (B-42).

The ledger is the License Manager's memory. It runs ahead of the journal: whoever calls it keeps the records
that it gives, in their order, before any answer goes out, and loads a new ledger when that fails. It reads no
clock. One handle counts once; holders keep what they have when a license expires or shrinks, and nothing new
is granted until use is below what is then valid (I-8).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from confkit.license.versions import Version
from licman.core.admission import Seat, Use, choose_pool
from licman.core.model import (
    MAX_HANDLES_PER_OWNER,
    DenialReason,
    Denied,
    Grant,
    Granted,
    Handle,
    Holding,
    HoldingKey,
    Moment,
    Owner,
    Release,
    ReleaseReason,
    Wanted,
    check_wanted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from confkit.license.pools import PoolId, Pools


class Ledger:
    """Who holds what, and until when a silent holder keeps it."""

    def __init__(
        self,
        pools: Pools | None = None,
        holdings: Iterable[Holding] = (),
        *,
        heartbeat_timeout_s: float,
        now: Moment,
    ) -> None:
        """Start from a license, None when none is known yet, and from what the journal says is held.

        Every holder gets a full `heartbeat_timeout_s` from `now` on to show that it lives.
        """
        self._pools = pools
        self._timeout_s = heartbeat_timeout_s
        self._holdings: dict[HoldingKey, Holding] = {}
        self._deadlines_s: dict[HoldingKey, float] = {}
        self._by_pool: Counter[PoolId] = Counter()
        self._by_feature: Counter[str] = Counter()
        self._handles: Counter[Owner] = Counter()
        for holding in holdings:
            self._add(holding, now)

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """What is held, oldest first."""
        return tuple(self._holdings.values())

    def held_of(self, feature: str) -> int:
        """Give how many of a feature are held."""
        return self._by_feature[feature]

    def follow(self, pools: Pools) -> None:
        """Count against a new license from here on; what is held stays held."""
        self._pools = pools

    def check_out(self, wanted: Wanted, now: Moment) -> Granted | Denied:
        """Grant or deny. Repeating a check-out gives the same holding again and consumes nothing.

        Raises RequestError when the request could never be granted.
        """
        check_wanted(wanted)
        held = self._holdings.get(wanted.key)
        if held is not None:
            if not _same(held.wanted, wanted):
                return Denied(wanted, DenialReason.HANDLE_REUSED)
            self._deadlines_s[wanted.key] = now.boottime_s + self._timeout_s
            return Granted(held, None)
        if self._handles[wanted.owner] >= MAX_HANDLES_PER_OWNER:
            return Denied(wanted, DenialReason.TOO_MANY_HANDLES)
        if self._pools is None:
            return Denied(wanted, DenialReason.NO_LICENSE)
        use = Use(self._by_pool, self._by_feature[wanted.feature])
        seat = choose_pool(self._pools.of(wanted.feature), wanted, day=now.day, use=use)
        if not isinstance(seat, Seat):
            return Denied(wanted, seat)
        holding = Holding(
            wanted, seat.pool.pool_id, now.wall_ms, not seat.pool.is_uncounted, seat.is_overdraft
        )
        self._add(holding, now)
        return Granted(holding, Grant(holding))

    def check_in(self, owner: Owner, handles: Iterable[Handle], now: Moment) -> tuple[Release, ...]:
        """Give back what an owner holds under some handles; those that are not held are left out."""
        found = (self._holdings.get((owner, handle)) for handle in dict.fromkeys(handles))
        return self._release([one for one in found if one is not None], ReleaseReason.CHECKED_IN, now)

    def heartbeat(self, owner: Owner, handles: Iterable[Handle], now: Moment) -> tuple[Handle, ...]:
        """Note that an owner lives; gives the handles that it believes to hold and does not (any more)."""
        lost = list[Handle]()
        deadline_s = now.boottime_s + self._timeout_s
        for handle in dict.fromkeys(handles):
            if (owner, handle) in self._holdings:
                self._deadlines_s[owner, handle] = deadline_s
            else:
                lost.append(handle)
        return tuple(lost)

    def expire(self, now: Moment) -> tuple[Release, ...]:
        """Free what silent holders held; to be called about every second."""
        silent = [key for key, deadline_s in self._deadlines_s.items() if deadline_s <= now.boottime_s]
        return self._release([self._holdings[key] for key in silent], ReleaseReason.HEARTBEAT_MISSED, now)

    def grant_time(self, now: Moment) -> None:
        """Give every holder a full timeout again, after a time in which the server answered nobody."""
        deadline_s = now.boottime_s + self._timeout_s
        self._deadlines_s = dict.fromkeys(self._deadlines_s, deadline_s)

    def _add(self, holding: Holding, now: Moment) -> None:
        self._holdings[holding.key] = holding
        self._deadlines_s[holding.key] = now.boottime_s + self._timeout_s
        self._handles[holding.wanted.owner] += 1
        self._by_pool[holding.pool_id] += holding.wanted.count
        self._by_feature[holding.wanted.feature] += holding.wanted.count

    def _release(self, holdings: list[Holding], reason: ReleaseReason, now: Moment) -> tuple[Release, ...]:
        for holding in holdings:
            del self._holdings[holding.key]
            del self._deadlines_s[holding.key]
            self._handles[holding.wanted.owner] -= 1
            self._by_pool[holding.pool_id] -= holding.wanted.count
            self._by_feature[holding.wanted.feature] -= holding.wanted.count
        return tuple(Release(holding, reason, now.wall_ms) for holding in holdings)


def _same(held: Wanted, wanted: Wanted) -> bool:
    """Whether a repetition asks for what is held; another spelling of a version, and who sits where, do
    not matter.
    """
    if (held.feature, held.count) != (wanted.feature, wanted.count):
        return False
    if held.version == wanted.version:
        return True
    try:
        return bool(held.version and wanted.version) and Version.parse(held.version) == Version.parse(
            wanted.version
        )
    except ValueError:
        return False
