"""What the monitor logs when: transcripts of facts over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from confkit.events import EVENTS
from confkit.license.terms import LicenseState
from confserv.core.compliance import Announced, Compliance, ComplianceRules, Facts, Monitor, assess, step
from confserv.core.license import Expiry, LicenseFacts

RULES = ComplianceRules(log_interval_s=60, absence_warning_s=86_400)
NOW_MS = 1_800_000_000_000
SINCE = datetime(2026, 11, 24, tzinfo=UTC)
VALID = Facts(LicenseFacts(1, LicenseState.VALID))
EXPIRED = Facts(LicenseFacts(1, LicenseState.EXPIRED, expiry=Expiry(("config_server",), SINCE)))
FEATURE = Facts(LicenseFacts(1, LicenseState.FEATURE_EXPIRED, expiry=Expiry(("routing", "voice"), SINCE)))
ALTERED = Facts(LicenseFacts(1, LicenseState.NO_RIGHT_TO_USE, "line 3 is altered"))
NO_RIGHT = Facts(LicenseFacts(1, LicenseState.NO_RIGHT_TO_USE))
CLOCK = replace(VALID, clock_behind_ms=3_601_000)
TRUST = replace(VALID, trust_differs=("confserv-2",))
ABSENT = replace(VALID, lrm_away_since_ms=NOW_MS - 86_400_000)
KNOWN = Monitor(Announced(revision=1))


def newer(facts: Facts) -> Facts:
    assert facts.license is not None
    return replace(facts, license=replace(facts.license, revision=2))


def soon(days: int) -> Facts:
    return Facts(LicenseFacts(1, LicenseState.VALID, days_left=days, expiring=("routing",)))


def play(looks: Iterable[tuple[float, Facts]], monitor: Monitor = KNOWN) -> tuple[Monitor, list[list[str]]]:
    seen = []
    for now_s, facts in looks:
        monitor, logged = step(monitor, facts, now_s=now_s, now_ms=NOW_MS, rules=RULES)
        for one in logged:
            EVENTS[one.event].text.format_map(one.attributes)  # every placeholder has its attribute
        seen.append([one.event for one in logged])
    return monitor, seen


@pytest.mark.parametrize(
    ("facts", "expected", "reasons"),
    [
        # B-33
        pytest.param(VALID, Compliance.OK, [], id="all is well"),
        pytest.param(EXPIRED, Compliance.EXPIRED, ["EXPIRED"], id="the right to use has expired"),
        pytest.param(FEATURE, Compliance.FEATURE_EXPIRED, ["FEATURE_EXPIRED"], id="some line has expired"),
        pytest.param(ALTERED, Compliance.INVALID, ["LICENSE_ALTERED"], id="the stored text is altered"),
        pytest.param(NO_RIGHT, Compliance.INVALID, ["NO_RIGHT_TO_USE"], id="the right to use is missing"),
        pytest.param(Facts(None), Compliance.INVALID, ["NO_RIGHT_TO_USE"], id="no license is stored"),
        pytest.param(soon(30), Compliance.WARNING, ["EXPIRES_SOON"], id="a line expires soon"),
        pytest.param(soon(31), Compliance.OK, [], id="a line expires, but not soon"),
        pytest.param(
            CLOCK, Compliance.INVALID, ["CLOCK_BEHIND"], id="the clock was set back by more than 1 h"
        ),
        pytest.param(
            replace(VALID, clock_behind_ms=3_600_000), Compliance.OK, [], id="the clock was set back by 1 h"
        ),
        pytest.param(TRUST, Compliance.INVALID, ["TRUST_DIFFERS"], id="members trust different keys"),
        pytest.param(ABSENT, Compliance.WARNING, ["LRM_ABSENT"], id="LRM has been away for a day"),
        pytest.param(
            replace(FEATURE, clock_behind_ms=3_601_000),
            Compliance.INVALID,
            ["CLOCK_BEHIND", "FEATURE_EXPIRED"],
            id="the worst of several counts",
        ),
    ],
)
def test_assessment(facts: Facts, expected: Compliance, reasons: list[str]) -> None:
    found = assess(facts, now_ms=NOW_MS, rules=RULES)
    assert expected is found.compliance
    assert reasons == [problem.reason for problem in found.problems]


@pytest.mark.parametrize("facts", [EXPIRED, FEATURE], ids=["EXPIRED", "FEATURE_EXPIRED"])
def test_expiry_is_logged_at_once_and_again_at_every_interval(facts: Facts) -> None:
    # B-30
    _, seen = play([(0, facts), (59.9, facts), (60, facts), (119, facts), (120, facts)])
    assert [["21-25111"], [], ["21-25111"], [], ["21-25111"]] == seen


def test_the_message_names_the_features_and_since_when() -> None:
    # B-30
    _, logged = step(KNOWN, FEATURE, now_s=0, now_ms=NOW_MS, rules=RULES)
    text = EVENTS["21-25111"].text.format_map(logged[0].attributes)
    assert "License expired: routing, voice since 2026-11-24T00:00:00Z" == text


def test_a_new_revision_ends_the_messages() -> None:
    # B-30
    _, seen = play([(0, EXPIRED), (1, newer(VALID)), (61, newer(VALID))])
    assert [["21-25111"], ["21-25110", "21-25112"], []] == seen


def test_a_new_revision_that_has_expired_too_is_loaded_and_ends_nothing() -> None:
    # B-30
    _, seen = play([(0, EXPIRED), (1, newer(EXPIRED)), (60, newer(EXPIRED))])
    assert [["21-25111"], ["21-25110"], ["21-25111"]] == seen


def test_a_revision_is_announced_once_over_all_primaries() -> None:
    # B-1
    monitor, seen = play([(0, VALID)], Monitor())
    assert [["21-25110"]] == seen
    assert [[]] == play([(0, VALID)], Monitor(monitor.announced))[1]


def test_the_next_primary_clears_what_the_former_one_raised() -> None:
    # B-30
    raised, _ = play([(0, EXPIRED)])
    assert [["21-25110", "21-25112"]] == play([(0, newer(VALID))], Monitor(raised.announced))[1]


def test_the_next_primary_repeats_what_goes_on() -> None:
    # B-30
    raised, _ = play([(0, EXPIRED)])
    assert [["21-25111"], []] == play([(5, EXPIRED), (6, EXPIRED)], Monitor(raised.announced))[1]


def test_an_expiry_is_warned_of_30_7_and_1_days_ahead() -> None:
    # B-32
    days = [31, 30, 29, 8, 7, 6, 2, 1, 0]
    _, seen = play([(number, soon(left)) for number, left in enumerate(days)])
    warned = [left for left, events in zip(days, seen, strict=True) if events == ["21-25113"]]
    assert [30, 7, 1] == warned


def test_a_new_revision_is_warned_of_anew() -> None:
    # B-32
    _, seen = play([(0, soon(7)), (1, newer(soon(7)))])
    assert [["21-25113"], ["21-25110", "21-25113"]] == seen


@pytest.mark.parametrize(
    ("trouble", "raised", "ended"),
    [
        # B-32
        pytest.param(CLOCK, "21-25115", ["21-25116"], id="clock set back"),
        pytest.param(TRUST, "21-25119", ["21-25129"], id="different trust sets"),
        pytest.param(ALTERED, "21-25114", ["21-25110"], id="altered text"),
        pytest.param(NO_RIGHT, "21-25118", ["21-25112"], id="no right to use"),
        # B-24: 21-25100 clears it, and is logged by the bond
        pytest.param(ABSENT, "21-25117", [], id="LRM away"),
    ],
)
def test_each_compliance_error_has_its_event_and_its_clearing_event(
    trouble: Facts, raised: str, ended: list[str]
) -> None:
    _, seen = play([(0, trouble), (1, trouble), (2, VALID), (3, VALID)])
    assert [[raised], [], ended, []] == seen


@pytest.mark.parametrize(
    "number", ["21-25111", "21-25113", "21-25114", "21-25115", "21-25117", "21-25118", "21-25119"]
)
def test_what_clears_an_event_stands_in_the_catalogue(number: str) -> None:
    # B-32
    assert EVENTS[number].cleared_by in EVENTS
