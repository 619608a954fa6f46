"""Messages and what they stand for."""

from __future__ import annotations

import pytest

from confapi.usage.v1 import usage_pb2
from confclient.errors import InvalidError, NotFoundError, TooLargeError
from lrm.api import MOST_ROWS, to_entitlement, to_query, to_report
from lrm.core.entitlement import UNLIMITED, Entitlement, EntitlementLine, EntitlementRevision, ItemKind
from lrm.core.intervals import Peak
from lrm.core.overuse import NO_OVER_USE
from lrm.core.report import DailyReport, PeakQuery
from lrm.core.sessions import ItemName, TenantName


def asked(first: str, last: str, **only: str) -> usage_pb2.GetUsageReportRequest:
    return usage_pb2.GetUsageReportRequest(from_day=first, to_day=last, **only)


def test_a_report_is_asked_for_in_calendar_days_both_included() -> None:
    # B-25
    query = to_query(asked("1970-01-02", "1970-01-03", tenant="acme"), as_of_s=9, longest_days=2)
    assert PeakQuery(first_day=1, last_day=2, as_of_s=9, tenant="acme", item=None) == query


@pytest.mark.parametrize(
    ("request_", "error", "says"),
    [
        pytest.param(asked("", "2026-11-24"), InvalidError, "from_day is ''", id="a day left out"),
        pytest.param(
            asked("2026-11-24", "2026-02-30"), InvalidError, "to_day is '2026-02-30'", id="no such day"
        ),
        pytest.param(
            asked("2026-11-24", "2026-11-23"), InvalidError, "lies before", id="days in the wrong order"
        ),
        pytest.param(
            asked("2026-11-01", "2026-11-11"), TooLargeError, "11 days: .* at most 10", id="too many days"
        ),
    ],
)
def test_a_report_that_cannot_be_given(
    request_: usage_pb2.GetUsageReportRequest, error: type[Exception], says: str
) -> None:
    # B-60
    with pytest.raises(error, match=says):
        to_query(request_, as_of_s=0, longest_days=10)


def test_a_report_that_fits_no_answer_says_what_to_ask_for_instead() -> None:
    # B-60
    row = DailyReport(
        TenantName("acme"),
        ItemName("a"),
        1,
        Peak(0, None, 1),
        0,
        0,
        NO_OVER_USE,
        NO_OVER_USE,
        licensed=False,
        sessions=1,
    )
    assert ["1970-01-02", "1970-01-02"] == [each.day for each in to_report([row, row]).rows]
    with pytest.raises(TooLargeError, match="ask for fewer days"):
        to_report([row] * (MOST_ROWS + 1))


ENTITLEMENT = Entitlement(
    (
        EntitlementRevision(1, "aa", 100),
        EntitlementRevision(
            2,
            "bb",
            200,
            lines=(
                EntitlementLine(ItemName("z"), UNLIMITED, kind=ItemKind.ENABLED),
                EntitlementLine(ItemName("a"), 5, "0001-2", burst=1, valid_from_s=7, valid_until_s=9),
            ),
        ),
    )
)


def test_the_newest_entitlement_is_given_by_item_with_times_in_milliseconds() -> None:
    # B-25
    expected = usage_pb2.GetEntitlementResponse(
        license_revision=2,
        license_sha256="bb",
        effective_ms=200_000,
        lines=[
            usage_pb2.EntitlementLine(
                order="0001-2",
                item="a",
                type="concurrent",
                unit="seat",
                quantity=5,
                burst=1,
                start_ms=7_000,
                end_ms=9_000,
            ),
            usage_pb2.EntitlementLine(item="z", type="enabled", unit="seat", quantity=-1),
        ],
    )
    assert expected == to_entitlement(ENTITLEMENT, 0)
    assert 1 == to_entitlement(ENTITLEMENT, 1).license_revision


@pytest.mark.parametrize(
    ("entitlement", "revision", "says"),
    [
        pytest.param(ENTITLEMENT, 7, "license revision 7", id="a revision that never was"),
        pytest.param(Entitlement(), 0, "load one with confserv -license", id="before any license"),
    ],
)
def test_an_entitlement_that_is_not_known(entitlement: Entitlement, revision: int, says: str) -> None:
    # B-60
    with pytest.raises(NotFoundError, match=says):
        to_entitlement(entitlement, revision)
