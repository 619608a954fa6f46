"""What follows a refused session, and how often an open one is kept."""

from __future__ import annotations

import pytest

from confclient.session_rules import Refused, Wait, after_refusal, keep_interval_s


@pytest.mark.parametrize(
    ("reason", "was_open", "tries", "expected"),
    [
        pytest.param("LRM_NOT_STARTED", False, 0, Wait(0.1), id="waits for LRM, soon at first"),
        pytest.param("LRM_NOT_STARTED", False, 9, Wait(2.0), id="waits for LRM, every two seconds at most"),
        pytest.param("SESSION_HELD", False, 9, Wait(1.0), id="waits for the session of a dead process"),
        pytest.param("LICENSE_REQUIRED", False, 0, Refused(), id="a missing feature is told at once"),
        pytest.param("UNKNOWN_APPLICATION", False, 3, Refused(), id="an unknown application is told at once"),
        pytest.param("APPLICATION_DISABLED", True, 0, Wait(0.1), id="one that worked goes on asking"),
        pytest.param(
            "APPLICATION_DISABLED", True, 99, Wait(5.0), id="one that worked asks slowly in the end"
        ),
    ],
)
def test_decides_after_a_refusal(reason: str, was_open: bool, tries: int, expected: Wait | Refused) -> None:
    # B-12, B-16, B-17
    assert expected == after_refusal(reason, was_open=was_open, tries=tries, draw=1.0)


@pytest.mark.parametrize(("ttl_ms", "expected"), [(3000, 1.0), (0, 0.05)])
def test_keeps_each_third_of_the_lease(ttl_ms: int, expected: float) -> None:
    # B-17
    assert expected == keep_interval_s(ttl_ms)
