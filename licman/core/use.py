"""Who uses what: one row for each pool of the license, and the layout that readers of `lmstat -a` know.

Held and issued are two figures, never folded. The layout was made from public samples of that command's
output.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from confkit.license.dates import print_date

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from confkit.license.pools import Pool, PoolId, Pools
    from licman.core.model import Holding

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Use of one pool: `issued` are valid on the day (overdraft not included), `used` are held, whoever
    expired.

    `expires_on` is the last day of the slice that ends first among the valid ones, None for never; for a pool
    of which nothing is valid, the last day that anything was.
    """

    feature: str
    version: str
    vendor: str
    issued: int
    used: int
    expires_on: date | None
    is_uncounted: bool
    is_valid: bool
    holdings: tuple[Holding, ...]


def use_of(
    pools: Pools | None, holdings: Iterable[Holding], *, day: date, feature: str = ""
) -> tuple[PoolUse, ...]:
    """List the use of every pool of technical keys, by feature; `feature` asks for one alone.

    What is held of a pool that the license no longer has stands in a row of its own with nothing issued.
    """
    held = defaultdict[tuple[str, "PoolId"], list["Holding"]](list)
    for holding in holdings:
        if feature in ("", holding.wanted.feature):
            held[holding.wanted.feature, holding.pool_id].append(holding)
    rows = list[PoolUse]()
    for name, some in (pools.by_feature if pools else {}).items():
        if feature not in ("", name):
            continue
        rows += [_row(pool, held.pop((name, pool.pool_id), []), day) for pool in some if not pool.is_item]
    rows += [_vanished(name, some) for (name, _), some in held.items()]
    return tuple(sorted(rows, key=lambda row: row.feature))


def _row(pool: Pool, holdings: Sequence[Holding], day: date) -> PoolUse:
    valid = pool.valid_slices(day)
    ends = [one.expires_on for one in valid or pool.slices]
    known = [end for end in ends if end is not None]
    last = (min(known, default=None) if valid else max(known, default=None)) if known else None
    return PoolUse(
        feature=pool.feature,
        version=pool.version.written or str(pool.version),
        vendor=pool.vendor,
        issued=pool.count_on(day),
        used=sum(one.wanted.count for one in holdings),
        expires_on=last,
        is_uncounted=pool.is_uncounted,
        is_valid=bool(valid),
        holdings=tuple(holdings),
    )


def _vanished(feature: str, holdings: Sequence[Holding]) -> PoolUse:
    used = sum(one.wanted.count for one in holdings)
    version = max(one.wanted.version for one in holdings)
    return PoolUse(feature, version, "", 0, used, None, False, False, tuple(holdings))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the License Manager answers, for the layout."""

    host: str
    port: int
    version: str


def print_stat(rows: Sequence[PoolUse], *, place: Place, now: datetime) -> str:
    """Write the layout that readers of `lmstat -a` know; times in UTC."""
    when = now.astimezone(UTC)
    head = [
        f"licman - License Manager status on {_WEEKDAYS[when.weekday()]} {when.month}/{when.day}/{when.year} "
        f"{when.hour:02d}:{when.minute:02d}",
        "",
        f"License server status: {place.port}@{place.host}",
        "",
        f"{place.host}: license server UP (MASTER) v{place.version}",
        "",
        f"Vendor daemon status (on {place.host}):",
        "",
    ]
    head += [
        f"     {vendor}: UP v{place.version}" for vendor in sorted({row.vendor for row in rows if row.vendor})
    ]
    return "\n".join([*head, "Feature usage info:", "", *_features(rows, place)])


def _features(rows: Sequence[PoolUse], place: Place) -> Iterable[str]:
    by_feature = defaultdict[str, list[PoolUse]](list)
    for row in rows:
        by_feature[row.feature].append(row)
    for feature, pools in by_feature.items():
        if all(pool.is_uncounted for pool in pools):
            yield f"Users of {feature}:  (Uncounted, node-locked)"
        else:
            issued, used = sum(pool.issued for pool in pools), sum(pool.used for pool in pools)
            yield (
                f"Users of {feature}:  (Total of {_licenses(issued)} issued;  "
                f"Total of {_licenses(used)} in use)"
            )
        yield ""
        for pool in pools:
            if pool.holdings:
                yield from _pool(pool, place)


def _pool(pool: PoolUse, place: Place) -> Iterable[str]:
    expiry = "permanent(no expiration date)" if pool.expires_on is None else print_date(pool.expires_on)
    yield f'  "{pool.feature}" v{pool.version}, vendor: {pool.vendor or "none"}, expiry: {expiry}'
    yield "  floating license" if not pool.is_uncounted else "  uncounted license"
    yield ""
    for holding in pool.holdings:
        yield f"    {_holder(holding, place)}"
    yield ""


def _holder(holding: Holding, place: Place) -> str:
    wanted = holding.wanted
    began = datetime.fromtimestamp(holding.granted_ms / 1000, UTC)
    words = (_word(wanted.user or str(wanted.owner)), _word(wanted.host or "-"), _word(wanted.display or "-"))
    start = f"{_WEEKDAYS[began.weekday()]} {began.month}/{began.day} {began.hour}:{began.minute:02d}"
    many = f", {wanted.count} licenses" if wanted.count > 1 else ""
    version = wanted.version or "0"
    return f"{' '.join(words)} (v{version}) ({place.host}/{place.port} {handle_number(holding)}), start {start}{many}"


def handle_number(holding: Holding) -> int:
    """Give the number that stands for a holding where only numbers fit: the same wherever it is asked for."""
    return zlib.crc32(f"{holding.wanted.owner}\n{holding.wanted.handle}".encode())


def _licenses(count: int) -> str:
    return f"{count} license" if count == 1 else f"{count} licenses"


def _word(text: str) -> str:
    return "_".join(text.split()) or "-"
