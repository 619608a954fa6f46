"""What the lines of a file add up to: pools, each with slices that come and go on their days.

Of the lines of one name only the first FEATURE counts; INCREMENTs that agree in everything of
`POOL_ATTRIBUTES` merge. A pool keeps a slice for each (START, expiry), so that its capacity changes on the
right day. The functions expect a file whose signatures were verified, and do not look at signatures.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NewType

from confkit.license.dates import utc_day
from confkit.license.hostids import parse_hostid
from confkit.license.items import is_item
from confkit.license.model import Keyword
from confkit.license.normal import NORMAL_VALUES
from confkit.license.signing import identity_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from confkit.license.model import LicensedLine, LicenseFile
    from confkit.license.versions import Version

PoolId = NewType("PoolId", str)
"""Names a pool across license revisions: the same for the same feature, vendor, version and pooling
attributes.
"""

POOL_ATTRIBUTES = (
    "BORROW",
    "DUP_GROUP",
    "FLOAT_OK",
    "HOST_BASED",
    "HOSTID",
    "PLATFORMS",
    "VM_PLATFORMS",
    "TZ",
    "USER_BASED",
    "OVERDRAFT",
    "VENDOR_STRING",
)


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a pool that is valid from `starts_on` through `expires_on` (days in UTC, None: without
    limit).
    """

    starts_on: date | None
    expires_on: date | None
    count: int
    overdraft: int = 0

    def is_valid_on(self, day: date) -> bool:
        """Whether the slice counts on a day."""
        return (self.starts_on is None or self.starts_on <= day) and not self.is_expired_on(day)

    def is_expired_on(self, day: date) -> bool:
        """Whether the slice's last day lies before a day."""
        return self.expires_on is not None and self.expires_on < day


@dataclass(frozen=True, slots=True)
class Pool:
    """Lines that are counted together. With `is_uncounted` there is no limit while a slice is valid.

    The slices are in the order in which holders sit in them: the one that expires last first.
    """

    pool_id: PoolId
    feature: str
    vendor: str
    version: Version
    slices: tuple[Slice, ...]
    lines: tuple[LicensedLine, ...]
    is_uncounted: bool
    is_item: bool

    def valid_slices(self, day: date) -> tuple[Slice, ...]:
        """Give the slices that count on a day."""
        return tuple(one for one in self.slices if one.is_valid_on(day))

    def count_on(self, day: date) -> int:
        """Give how many the valid slices hold, overdraft not included; 0 for an uncounted pool."""
        return sum(one.count for one in self.valid_slices(day))

    def overdraft_on(self, day: date) -> int:
        """Give how many may be granted beyond the count on a day."""
        return sum(one.overdraft for one in self.valid_slices(day))

    def is_valid_on(self, day: date) -> bool:
        """Whether anything may be granted from the pool on a day."""
        return any(one.is_valid_on(day) for one in self.slices)


@dataclass(frozen=True, slots=True)
class Pools:
    """All pools of a license by feature, each feature's in the order in which they are tried."""

    by_feature: Mapping[str, tuple[Pool, ...]]

    def of(self, feature: str) -> tuple[Pool, ...]:
        """Give the pools of a feature in order, none when the license does not know it."""
        return self.by_feature.get(feature, ())

    def capacity_at(self, feature: str, now: datetime) -> int | None:
        """Give how many of a feature exist at an instant (overdraft not included), None without limit."""
        day = utc_day(now)
        valid = [pool for pool in self.of(feature) if pool.is_valid_on(day)]
        if any(pool.is_uncounted for pool in valid):
            return None
        return sum(pool.count_on(day) for pool in valid)


def pools_of(
    license_file: LicenseFile, *, higher_version_first: bool = False, cluster_id: str | None = None
) -> Pools:
    """Merge the effective lines of a file into pools; for the parameters see `effective_lines`."""
    members = defaultdict[tuple[object, ...], list["LicensedLine"]](list)
    lines = effective_lines(license_file, higher_version_first=higher_version_first, cluster_id=cluster_id)
    for line in lines:
        members[_pool_key(line)].append(line)
    by_feature = defaultdict[str, list[Pool]](list)
    for key, merged in members.items():
        by_feature[merged[0].feature].append(_pool(key, tuple(merged)))
    return Pools({feature: tuple(pools) for feature, pools in by_feature.items()})


def effective_lines(
    license_file: LicenseFile, *, higher_version_first: bool = False, cluster_id: str | None = None
) -> tuple[LicensedLine, ...]:
    """Give the FEATURE and INCREMENT lines that count, in the order in which they are used.

    Left out are repetitions of a line, lines that a later issue supersedes, every FEATURE of a name but the
    first, and, with `cluster_id` given, lines bound to other clusters by HOSTID=ID=…. Dates are not looked
    at.
    """
    lines = [line for line in license_file.licensed if line.keyword in (Keyword.FEATURE, Keyword.INCREMENT)]
    lines = _without_superseded(_without_repetitions(lines))
    if cluster_id is not None:
        lines = [line for line in lines if is_for_cluster(line, cluster_id)]
    lines.sort(key=lambda line: line.issued or line.start or date.min, reverse=True)
    lines.sort(key=lambda line: line.version or _no_version(line), reverse=higher_version_first)
    lines.sort(key=lambda line: (line.sort, line.keyword is Keyword.INCREMENT, not line.is_uncounted))
    return tuple(_first_features(lines))


def is_for_cluster(line: LicensedLine, cluster_id: str) -> bool:
    """Whether a line may be used by a cluster: it names no cluster at all, or this one among others."""
    bound = [hostid for hostid in line.hostids if hostid.kind == "ID"]
    return not bound or parse_hostid(f"ID={cluster_id}") in bound or len(bound) < len(line.hostids)


def _without_repetitions(lines: Iterable[LicensedLine]) -> list[LicensedLine]:
    first = dict[bytes, "LicensedLine"]()
    for line in lines:
        first.setdefault(identity_of(line), line)
    return list(first.values())


def _without_superseded(lines: list[LicensedLine]) -> list[LicensedLine]:
    since = dict[tuple[str, str], date]()
    for line in lines:
        attribute = line.attribute("SUPERSEDE")
        if attribute is None or line.issued is None:
            continue
        for feature in attribute.text.split() or [line.feature]:
            key = line.vendor, feature
            since[key] = max(since.get(key, date.min), line.issued)
    return [
        line
        for line in lines
        if (line.issued or date.min) >= since.get((line.vendor, line.feature), date.min)
    ]


def _first_features(lines: Iterable[LicensedLine]) -> Iterable[LicensedLine]:
    seen = set[str]()
    for line in lines:
        if line.keyword is Keyword.FEATURE:
            if line.feature in seen:
                continue
            seen.add(line.feature)
        yield line


def _no_version(line: LicensedLine) -> Version:
    raise AssertionError(f"a {line.keyword} line always has a version")


def _pool_key(line: LicensedLine) -> tuple[object, ...]:
    values = list[object]()
    for name in POOL_ATTRIBUTES:
        attribute = line.attribute(name)
        value = None if attribute is None else attribute.value
        normal = NORMAL_VALUES.get(name)
        values.append(
            normal(value) if value is not None and normal is not None else (attribute is None, value)
        )
    return (line.keyword, line.feature, line.vendor, str(line.version), line.is_uncounted, *values)


def _pool(key: tuple[object, ...], lines: tuple[LicensedLine, ...]) -> Pool:
    first = lines[0]
    slices = defaultdict[tuple[date | None, date | None], list["LicensedLine"]](list)
    for line in lines:
        slices[line.start, line.expiry].append(line)
    made = [
        Slice(start, expiry, sum(line.count for line in some), sum(line.overdraft for line in some))
        for (start, expiry), some in slices.items()
    ]
    made.sort(key=lambda one: (one.expires_on or date.max, one.starts_on or date.min), reverse=True)
    return Pool(
        PoolId(hashlib.sha256(repr(key).encode()).hexdigest()[:16]),
        first.feature,
        first.vendor,
        first.version or _no_version(first),
        tuple(made),
        lines,
        first.is_uncounted,
        is_item(first),
    )
