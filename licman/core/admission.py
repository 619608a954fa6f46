"""Choosing the pool that serves a check-out, or the reason why none does.

Pools are tried in the order of the license. A grant must fit into its pool, and into all counted pools of the
feature together: so what is still held from a pool that shrank, expired or vanished with a new license keeps
counting until it is checked in, and no grant brings use above what is then valid (I-8).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confkit.license.hostids import ANY, DEMO
from confkit.license.versions import Version
from licman.core.model import DenialReason, RequestError, Wanted

if TYPE_CHECKING:
    from datetime import date

    from confkit.license.hostids import Hostid
    from confkit.license.pools import Pool, PoolId

_NEAREST_FIRST = (
    DenialReason.ALL_IN_USE,
    DenialReason.WRONG_HOST,
    DenialReason.EXPIRED,
    DenialReason.NOT_STARTED,
    DenialReason.VERSION_TOO_HIGH,
    DenialReason.SELLABLE_ITEM,
)


@dataclass(frozen=True, slots=True)
class Use:
    """What is held of a feature: of each pool, and of all together, pools that vanished included."""

    by_pool: Mapping[PoolId, int]
    total: int


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a check-out may sit."""

    pool: Pool
    is_overdraft: bool


def choose_pool(pools: Sequence[Pool], wanted: Wanted, *, day: date, use: Use) -> Seat | DenialReason:
    """Find the first pool with room, or the reason that comes nearest to a grant.

    Raises RequestError when the version is malformed.
    """
    version = _version(wanted.version)
    if not pools:
        return DenialReason.NO_SUCH_FEATURE
    reasons = set[DenialReason]()
    for pool in pools:
        reason = _against(pool, wanted, version, day)
        if reason is not None:
            reasons.add(reason)
            continue
        if pool.is_uncounted:
            return Seat(pool, is_overdraft=False)
        room = _room(pools, pool, day=day, use=use)
        if wanted.count <= room.with_overdraft:
            return Seat(pool, is_overdraft=wanted.count > room.of_count)
        reasons.add(DenialReason.ALL_IN_USE)
    return next(reason for reason in _NEAREST_FIRST if reason in reasons)


@dataclass(frozen=True, slots=True)
class _Room:
    of_count: int
    with_overdraft: int


def _room(pools: Sequence[Pool], pool: Pool, *, day: date, use: Use) -> _Room:
    counted = [one for one in pools if not (one.is_uncounted or one.is_item)]
    without_limit = sum(use.by_pool.get(one.pool_id, 0) for one in pools if one.is_uncounted)
    all_held = use.total - without_limit
    held = use.by_pool.get(pool.pool_id, 0)
    count, overdraft = pool.count_on(day), pool.overdraft_on(day)
    all_count = sum(one.count_on(day) for one in counted)
    all_overdraft = sum(one.overdraft_on(day) for one in counted)
    return _Room(
        min(count - held, all_count - all_held),
        min(count + overdraft - held, all_count + all_overdraft - all_held),
    )


def _against(pool: Pool, wanted: Wanted, version: Version | None, day: date) -> DenialReason | None:
    if pool.is_item:
        return DenialReason.SELLABLE_ITEM
    if version is not None and pool.version < version:
        return DenialReason.VERSION_TOO_HIGH
    if not pool.is_valid_on(day):
        ended = all(one.is_expired_on(day) for one in pool.slices)
        return DenialReason.EXPIRED if ended else DenialReason.NOT_STARTED
    return None if _fits(pool.lines[0].hostids, wanted) else DenialReason.WRONG_HOST


def _fits(hostids: Sequence[Hostid], wanted: Wanted) -> bool:
    """Whether a node lock allows the client, as far as the request tells; an ID names the customer, not
    the client.
    """
    if not hostids or any(hostid.kind in (ANY, DEMO, "ID") for hostid in hostids):
        return True
    known = (("HOSTNAME", wanted.host), ("USER", wanted.user), ("DISPLAY", wanted.display))
    return any(hostid.matches(kind, value) for hostid in hostids for kind, value in known if value)


def _version(text: str) -> Version | None:
    if not text:
        return None
    try:
        return Version.parse(text)
    except ValueError as error:
        raise RequestError(f"version: {error}") from None
