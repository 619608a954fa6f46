"""Sessions that were never ended."""

from __future__ import annotations

import pytest

from lrm.core.closing import end_ms_of
from lrm.core.sessions import ItemName, SessionFact, SessionId, SourceId, TenantName

TIMEOUT_MS = 1_000


def fact(end_ms: int | None = None, last_seen_ms: int | None = None) -> SessionFact:
    return SessionFact(
        SourceId("desk"),
        SessionId("s"),
        1,
        TenantName("acme"),
        ItemName("seat"),
        start_ms=5_000,
        end_ms=end_ms,
        last_seen_ms=last_seen_ms,
        device="d",
    )


@pytest.mark.parametrize(
    ("session", "source_ms", "expected"),
    [
        pytest.param(fact(end_ms=5_500), 99_000, 5_500, id="a stated end is the end"),
        pytest.param(fact(), 6_000, None, id="a source that went on for exactly the timeout closes nothing"),
        pytest.param(
            fact(), 6_001, 6_000, id="behind the timeout, the end is the last sign of life and the timeout"
        ),
        pytest.param(fact(last_seen_ms=5_900), 6_800, None, id="a sign of life keeps it running"),
        pytest.param(fact(last_seen_ms=5_900), 7_000, 6_900, id="and counts from there"),
        pytest.param(fact(last_seen_ms=1), 6_001, 6_000, id="a sign of life before the start is none"),
        pytest.param(
            fact(), 0, None, id="a source that has said nothing else closes nothing, however late it is"
        ),
    ],
)
def test_when_a_session_has_ended(session: SessionFact, source_ms: int, expected: int | None) -> None:
    # B-25
    assert expected == end_ms_of(session, source_ms=source_ms, timeout_ms=TIMEOUT_MS)
