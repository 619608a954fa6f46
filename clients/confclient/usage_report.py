"""The columns of a usage report, as tables and CSV files show it.

Why it exists: scripts and billing systems read these columns, so their names and order are a contract, kept in one
place for every client that shows a report. The first eight are those that existing readers expect. Rows hold counts
and times, never prices (B-25).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from confapi.usage.v1 import usage_pb2

SYSTEM: Final = "(system)"
"""What stands as tenant in rows of all tenants together."""

COLUMNS: Final = (
    "Tenant",
    "Sellable Item",
    "Start of Period (GMT)",
    "Day",
    "Peak (time)",
    "Peak Value",
    "Provisioned",
    "Provisioned Effective Date",
    "Entitled",
    "Burst",
    "Over-use",
    "Over-use (seconds)",
    "Over-use (first)",
    "Over-use beyond Burst",
    "Peak (seconds)",
    "Sessions",
)
"""Names of the columns."""


def cells(row: usage_pb2.UsageReportRow) -> tuple[str, ...]:
    """One row as texts, in the order of `COLUMNS`; what is not known is an empty text, never a zero."""
    return (
        row.tenant or SYSTEM,
        row.item,
        f"{row.day}T00:00:00Z",
        row.day,
        _moment(row.peak_time_ms),
        str(row.peak),
        "",
        "",
        _entitled(row),
        str(row.burst),
        str(row.over_use),
        str(row.over_use_seconds),
        _moment(row.over_use_first_ms),
        str(row.over_burst),
        str(row.seconds_at_peak),
        str(row.sessions),
    )


def to_csv(rows: Iterable[usage_pb2.UsageReportRow]) -> str:
    """A report as CSV with a line of names first (RFC 4180)."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(map(cells, rows))
    return text.getvalue()


def _entitled(row: usage_pb2.UsageReportRow) -> str:
    if row.licensed:
        return "unlimited" if row.entitled < 0 else str(row.entitled)
    return ""


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time_ms else ""
