"""What a license allows at an instant: the questions that the servers ask.

Configuration Server asks for features, for the right to use, and whether something has expired; upload asks
whether a file is older than the current one; LRM asks for the sellable items. Time is an argument. On a
database that has already served, expiry takes nothing away (B-5, B-30), which is what `include_expired` is
for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from confkit.license.dates import utc_day
from confkit.license.items import Item, item_of
from confkit.license.pools import Pools, effective_lines, pools_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from confkit.license.model import LicensedLine, LicenseFile


@dataclass(frozen=True, slots=True)
class TechnicalKeys:
    """The names of the technical keys, in one table, so that a vendor can map its own."""

    config_server: str = "config_server"
    ha_redundancy: str = "ha_redundancy"
    confserv_proxy: str = "confserv_proxy"
    scs_distributed: str = "scs_distributed"


class LicenseState(StrEnum):
    """How a license stands at an instant (B-30); the first that applies, in this order."""

    NO_RIGHT_TO_USE = "NO_RIGHT_TO_USE"
    EXPIRED = "EXPIRED"
    FEATURE_EXPIRED = "FEATURE_EXPIRED"
    VALID = "VALID"


@dataclass(frozen=True, slots=True)
class ExpiredFeature:
    """A line that is past its date: of which feature, and its last valid day."""

    feature: str
    expired_on: date


@dataclass(frozen=True, slots=True)
class LicenseStatus:
    """The state, what has expired (each feature and day once), and the next last valid day that lies
    ahead.
    """

    state: LicenseState
    expired: tuple[ExpiredFeature, ...]
    next_expiry: date | None

    def days_left(self, now: datetime) -> int | None:
        """Give how many days lie between today and the next expiry, None when nothing expires (B-32)."""
        return None if self.next_expiry is None else (self.next_expiry - utc_day(now)).days


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One line of what B-1 prints: a feature with its version, count (None: uncounted), validity, and
    kind.
    """

    feature: str
    vendor: str
    version: str
    count: int | None
    starts_on: date | None
    expires_on: date | None
    is_item: bool
    order_number: str


@dataclass(frozen=True)
class Terms:
    """The terms of one license revision.

    `cluster_id` drops lines that are bound to other clusters; None drops none, as for inspection before
    anyone loads the file.
    """

    license_file: LicenseFile
    keys: TechnicalKeys = field(default_factory=TechnicalKeys)
    cluster_id: str | None = None

    @cached_property
    def lines(self) -> tuple[LicensedLine, ...]:
        """The lines that count."""
        return effective_lines(self.license_file, cluster_id=self.cluster_id)

    @cached_property
    def pools(self) -> Pools:
        """The lines merged into pools."""
        return pools_of(self.license_file, cluster_id=self.cluster_id)

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """The sellable items, one for each line (B-25). Raises ItemError for a file that upload would
        refuse.
        """
        return tuple(item for line in self.lines if (item := item_of(line)) is not None)

    @cached_property
    def issued(self) -> date | None:
        """The latest day on which any line was issued, None when no line says."""
        return max((line.issued for line in self.lines if line.issued is not None), default=None)

    @property
    def feature_names(self) -> frozenset[str]:
        """The names of all features, whenever valid."""
        return frozenset(self._by_feature)

    def has_feature(self, name: str, now: datetime, *, include_expired: bool = True) -> bool:
        """Whether the license contains a feature that has begun, and, unless expiry does not matter, not
        ended.

        The default suits a database that already served: expiry alone disables nothing there (B-16, B-30,
        B-40).
        """
        return any(
            self._counts(line, utc_day(now), include_expired) for line in self._by_feature.get(name, ())
        )

    def count_of(self, name: str, now: datetime, *, include_expired: bool = True) -> int | None:
        """Give how many of a feature the license grants: None without limit, 0 when it has none (B-41)."""
        day = utc_day(now)
        lines = [line for line in self._by_feature.get(name, ()) if self._counts(line, day, include_expired)]
        return None if any(line.is_uncounted for line in lines) else sum(line.count for line in lines)

    def right_to_use(self, now: datetime, *, include_expired: bool) -> bool:
        """Whether a Configuration Server may run: with `include_expired` False as on a new database (B-4,
        B-5).
        """
        return self.has_feature(self.keys.config_server, now, include_expired=include_expired)

    def every_line_expired(self, now: datetime) -> bool:
        """Whether nothing in the file is valid any more, so that loading it needs `--accept-expired`
        (B-3).
        """
        return bool(self.lines) and all(line.is_expired(utc_day(now)) for line in self.lines)

    def is_older_than(self, current: Terms) -> bool:
        """Whether the file was issued before the current one, so that loading it needs `--accept-older`
        (B-3).

        A file in which no line says when it was issued is older than any that does.
        """
        if current.issued is None:
            return False
        return self.issued is None or self.issued < current.issued

    def status(self, now: datetime) -> LicenseStatus:
        """Judge the license at an instant (B-30)."""
        day = utc_day(now)
        expired = [line for line in self.lines if line.is_expired(day)]
        ahead = [line.expiry for line in self.lines if line.expiry is not None and line.expiry >= day]
        named = {ExpiredFeature(line.feature, line.expiry): None for line in expired if line.expiry}
        return LicenseStatus(self._state(expired, now), tuple(named), min(ahead, default=None))

    def rows(self) -> tuple[FeatureRow, ...]:
        """List what the license grants, a row for each line that counts, for people (B-1)."""
        return tuple(_row(line) for line in self.lines)

    def _state(self, expired: Sequence[LicensedLine], now: datetime) -> LicenseState:
        if not self.right_to_use(now, include_expired=True):
            return LicenseState.NO_RIGHT_TO_USE
        if not self.right_to_use(now, include_expired=False):
            return LicenseState.EXPIRED
        return LicenseState.FEATURE_EXPIRED if expired else LicenseState.VALID

    @cached_property
    def _by_feature(self) -> dict[str, list[LicensedLine]]:
        found = dict[str, list["LicensedLine"]]()
        for line in self.lines:
            found.setdefault(line.feature, []).append(line)
        return found

    @staticmethod
    def _counts(line: LicensedLine, day: date, include_expired: bool) -> bool:
        return line.has_started(day) and (include_expired or not line.is_expired(day))


def _row(line: LicensedLine) -> FeatureRow:
    return FeatureRow(
        feature=line.feature,
        vendor=line.vendor,
        version=line.version.written if line.version else "",
        count=None if line.is_uncounted else line.count,
        starts_on=line.start,
        expires_on=line.expiry,
        is_item=item_of(line) is not None,
        order_number=line.text("SN") or "",
    )
