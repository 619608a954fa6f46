"""The daily report: peaks beside what was entitled, and use beyond it.

Why: one row says what a customer used on a day, and whether that was covered at every second of it.

Not promised: prices. Rows hold counts and times only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from lrm.core.entitlement import Entitlement, Limits
from lrm.core.intervals import DAY_S, Peak, Period, Steps, value_at
from lrm.core.overuse import NO_OVER_USE, OverUse, beyond
from lrm.core.sessions import ItemName, TenantName

SYSTEM: Final = TenantName("")
"""Stands for all tenants together."""


@dataclass(frozen=True, slots=True)
class PeakQuery:
    """Which peaks are asked for: days since 1970 (UTC), both included, up to but not including `as_of_s`.

    With a tenant only its rows are given; without one there are rows of every tenant and of the system.
    """

    first_day: int
    last_day: int
    as_of_s: int
    tenant: TenantName | None = None
    item: ItemName | None = None


@dataclass(frozen=True, slots=True)
class PeakRow:
    """The peak of one item on one day (days since 1970, UTC), of one tenant or of the system."""

    tenant: TenantName
    item: ItemName
    day: int
    peak: Peak
    sessions: int
    """Sessions that touched the day, those within one second included."""


@dataclass(frozen=True, slots=True)
class DailyReport:
    """One row of the report. `entitled` and `burst` are those in force at the time of the peak.

    `licensed` says whether a license in force at some time of the day names the item at all.
    """

    tenant: TenantName
    item: ItemName
    day: int
    peak: Peak
    entitled: int
    burst: int
    over_entitled: OverUse
    over_burst: OverUse
    licensed: bool
    sessions: int


def day_period(day: int, *, as_of_s: int) -> Period | None:
    """The part of a day (days since 1970, UTC) that lies before `as_of_s`, or None while it has not begun."""
    start_s = day * DAY_S
    end_s = min(start_s + DAY_S, as_of_s)
    return Period(start_s, end_s) if start_s < end_s else None


def day_number(day: date) -> int:
    """A calendar day as the number of days since 1970-01-01."""
    return (day - date(1970, 1, 1)).days


def daily_report(
    peaks: Iterable[PeakRow],
    entitlement: Entitlement,
    use_of: Callable[[TenantName, ItemName, Period], Steps],
    *,
    as_of_s: int,
) -> list[DailyReport]:
    """Put peaks beside the entitlement valid at each instant (`B-25`).

    `use_of` gives the concurrency of one tenant's item over a period; it is asked only where a peak went
    beyond the least that was entitled that day, so that a report costs what its over-use costs.
    """
    rows = []
    for row in peaks:
        period = day_period(row.day, as_of_s=as_of_s)
        if period is not None:
            limits = entitlement.limits(row.item, period)
            licensed = row.item in entitlement.items(period)
            rows.append(_report_row(row, limits, period, use_of, licensed=licensed))
    return sorted(rows, key=lambda each: (each.tenant == SYSTEM, each.tenant, each.item, each.day))


def _report_row(
    row: PeakRow,
    limits: Limits,
    period: Period,
    use_of: Callable[[TenantName, ItemName, Period], Steps],
    *,
    licensed: bool,
) -> DailyReport:
    at_s = period.start_s if row.peak.at_s is None else row.peak.at_s
    entitled = value_at(limits.entitled, at_s)
    over_entitled = over_burst = NO_OVER_USE
    if row.peak.value > min(step.value for step in limits.entitled):
        use = use_of(row.tenant, row.item, period)
        over_entitled = beyond(use, limits.entitled, period)
        over_burst = beyond(use, limits.with_burst, period)
    return DailyReport(
        tenant=row.tenant,
        item=row.item,
        day=row.day,
        peak=row.peak,
        entitled=entitled,
        burst=value_at(limits.with_burst, at_s) - entitled,
        over_entitled=over_entitled,
        over_burst=over_burst,
        licensed=licensed,
        sessions=row.sessions,
    )
