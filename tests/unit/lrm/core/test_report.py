"""The daily report: peaks beside the entitlement valid at each instant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from lrm.core.entitlement import Entitlement, EntitlementLine, EntitlementRevision
from lrm.core.intervals import DAY_S, Peak, Period, Step, Steps
from lrm.core.overuse import NO_OVER_USE, OverUse
from lrm.core.report import SYSTEM, DailyReport, PeakRow, daily_report, day_number, day_period
from lrm.core.sessions import ItemName, TenantName

DAY = day_number(date(2026, 11, 24))
START_S = DAY * DAY_S
NOON_S = START_S + DAY_S // 2
ACME = TenantName("acme")
SEATS = ItemName("seat_voice")


def entitled(quantity: int, burst: int = 0, effective_s: int = 0, number: int = 1) -> EntitlementRevision:
    return EntitlementRevision(
        number, "sha", effective_s, lines=(EntitlementLine(SEATS, quantity, burst=burst),)
    )


def use_of(*steps: Step) -> Callable[[TenantName, ItemName, Period], Steps]:
    def answer(tenant: TenantName, item: ItemName, period: Period) -> Steps:
        assert (ACME, SEATS, START_S) == (tenant, item, period.start_s)
        return steps

    return answer


def never(tenant: TenantName, item: ItemName, period: Period) -> Steps:
    raise AssertionError(f"the use of {tenant} {item} was asked for without need")


def test_use_within_the_entitlement_is_reported_without_looking_closer() -> None:
    # B-25
    peaks = [PeakRow(ACME, SEATS, DAY, Peak(5, NOON_S, 60), 3)]
    expected = DailyReport(ACME, SEATS, DAY, Peak(5, NOON_S, 60), 5, 2, NO_OVER_USE, NO_OVER_USE, True, 3)
    assert [expected] == daily_report(peaks, Entitlement((entitled(5, 2),)), never, as_of_s=START_S + DAY_S)


def test_over_use_is_flagged_beyond_entitled_and_beyond_burst() -> None:
    # B-25
    steps = (Step(START_S, 0), Step(NOON_S, 6), Step(NOON_S + 10, 9), Step(NOON_S + 15, 0))
    peaks = [PeakRow(ACME, SEATS, DAY, Peak(9, NOON_S + 10, 5), 3)]
    entitlement = Entitlement((entitled(5, 2),))
    [row] = daily_report(peaks, entitlement, use_of(*steps), as_of_s=START_S + DAY_S)
    assert OverUse(4, 15, NOON_S) == row.over_entitled
    assert OverUse(2, 5, NOON_S + 10) == row.over_burst


def test_a_license_loaded_at_noon_counts_from_noon() -> None:
    # B-25
    steps = (Step(START_S, 8),)
    peaks = [PeakRow(ACME, SEATS, DAY, Peak(8, START_S, DAY_S), 3)]
    entitlement = Entitlement((entitled(5), entitled(10, effective_s=NOON_S, number=2)))
    [row] = daily_report(peaks, entitlement, use_of(*steps), as_of_s=START_S + DAY_S)
    assert OverUse(3, DAY_S // 2, START_S) == row.over_entitled
    assert 5 == row.entitled


def test_a_day_that_is_not_over_is_reported_up_to_now() -> None:
    # B-25
    assert Period(START_S, NOON_S) == day_period(DAY, as_of_s=NOON_S)
    assert None is day_period(DAY, as_of_s=START_S)
    assert Period(START_S, START_S + DAY_S) == day_period(DAY, as_of_s=START_S + 9 * DAY_S)


def test_rows_of_the_whole_system_come_last_and_an_item_nobody_bought_is_all_over_use() -> None:
    # B-25
    peak = Peak(1, NOON_S, 60)
    peaks = [PeakRow(tenant, SEATS, DAY, peak, 1) for tenant in (SYSTEM, ACME)]

    def one_at_noon(tenant: TenantName, item: ItemName, period: Period) -> Steps:
        return (Step(period.start_s, 0), Step(NOON_S, 1), Step(NOON_S + 60, 0))

    rows = daily_report(peaks, Entitlement(), one_at_noon, as_of_s=START_S + DAY_S)
    assert [ACME, SYSTEM] == [row.tenant for row in rows]
    assert [(False, OverUse(1, 60, NOON_S))] * 2 == [(row.licensed, row.over_entitled) for row in rows]
