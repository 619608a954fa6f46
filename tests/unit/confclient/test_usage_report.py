"""The columns of a usage report."""

from __future__ import annotations

import csv

from confapi.usage.v1 import usage_pb2
from confclient.usage_report import COLUMNS, cells, to_csv

ROW = usage_pb2.UsageReportRow(
    tenant="acme",
    item="seat_voice",
    day="2026-11-24",
    peak=9,
    peak_time_ms=1_795_521_600_000,
    seconds_at_peak=5,
    entitled=5,
    burst=2,
    licensed=True,
    over_use=4,
    over_use_seconds=15,
    over_use_first_ms=1_795_521_590_000,
    over_burst=2,
    sessions=11,
)


def test_columns_begin_as_existing_readers_expect_and_every_row_fills_them() -> None:
    # B-25
    first = ("Tenant", "Sellable Item", "Start of Period (GMT)", "Day", "Peak (time)", "Peak Value")
    assert (*first, "Provisioned", "Provisioned Effective Date") == COLUMNS[:8]
    expected = (
        "acme",
        "seat_voice",
        "2026-11-24T00:00:00Z",
        "2026-11-24",
        "2026-11-24T12:00:00Z",
        "9",
        "",
        "",
    )
    assert (*expected, "5", "2", "4", "15", "2026-11-24T11:59:50Z", "2", "5", "11") == cells(ROW)
    assert len(COLUMNS) == len(cells(ROW))


def test_what_is_not_known_is_empty_and_the_system_has_a_name() -> None:
    # B-25
    row = usage_pb2.UsageReportRow(item="seat_voice", day="2026-11-24", entitled=-1)
    shown = dict(zip(COLUMNS, cells(row), strict=True))
    assert ("(system)", "", "") == (shown["Tenant"], shown["Entitled"], shown["Peak (time)"])
    row.licensed = True
    assert "unlimited" == dict(zip(COLUMNS, cells(row), strict=True))["Entitled"]


def test_csv_can_be_read_back_whatever_names_hold() -> None:
    # B-60
    odd = usage_pb2.UsageReportRow(tenant='a,"b"\n;', item="seat", day="2026-11-24")
    names, first, second = csv.reader(to_csv([ROW, odd]).splitlines(keepends=True))
    assert list(COLUMNS) == names
    assert list(cells(ROW)) == first
    assert 'a,"b"\n;' == second[0]
