"""Reports from the store and the entitlement together (`B-25`)."""

from __future__ import annotations

from lrm.core.entitlement import Entitlement
from lrm.core.report import DailyReport, PeakQuery, daily_report
from lrm.ports import UsageStore


def report(store: UsageStore, entitlement: Entitlement, query: PeakQuery) -> list[DailyReport]:
    """The daily report that a query asks for; blocks, so call it in a thread."""
    return daily_report(store.peaks(query), entitlement, store.use_of, as_of_s=query.as_of_s)
