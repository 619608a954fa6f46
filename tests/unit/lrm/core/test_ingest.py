"""What is done with a reported fact, and with a batch of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lrm.core.ingest import (
    Batch,
    BatchResult,
    BatchVerdict,
    Judgement,
    RefusedFact,
    Verdict,
    judge,
    judge_batch,
    result_of,
)
from lrm.core.sessions import ItemName, SessionFact, SessionId, SourceId, TenantName

OPEN = SessionFact(
    source=SourceId("desk"),
    id=SessionId("s-1"),
    version=3,
    tenant=TenantName("acme"),
    item=ItemName("seat_voice"),
    start_ms=1_000,
    place="p1",
    device="d1",
)
CLOSED = replace(OPEN, end_ms=9_000)

CASES = [
    pytest.param(None, OPEN, Verdict.NEW, id="a session never heard of is new"),
    pytest.param(OPEN, OPEN, Verdict.REPEAT, id="the same version with the same content repeats"),
    pytest.param(OPEN, CLOSED, Verdict.REFUSED, id="the same version with other content is refused"),
    pytest.param(
        OPEN, replace(CLOSED, version=2), Verdict.BEHIND, id="a lower version is behind what is known"
    ),
    pytest.param(
        OPEN, replace(CLOSED, version=4), Verdict.COMPLETION, id="an end completes a running session"
    ),
    pytest.param(
        OPEN,
        replace(OPEN, version=4, last_seen_ms=5_000),
        Verdict.COMPLETION,
        id="a sign of life completes it too",
    ),
    pytest.param(
        OPEN, replace(CLOSED, version=4, start_ms=900), Verdict.CORRECTION, id="another start is a correction"
    ),
    pytest.param(
        CLOSED, replace(CLOSED, version=4, end_ms=8_000), Verdict.CORRECTION, id="another end is a correction"
    ),
    pytest.param(
        CLOSED,
        replace(CLOSED, version=4),
        Verdict.CORRECTION,
        id="saying the same of a finished session again",
    ),
]


@pytest.mark.parametrize(("known", "fact", "expected"), CASES)
def test_verdict_on_a_fact(known: SessionFact | None, fact: SessionFact, expected: Verdict) -> None:
    # B-60
    assert expected == judge(known, fact).verdict


FAULTS = [
    pytest.param(replace(OPEN, tenant=TenantName("")), "tenant is empty", id="no tenant"),
    pytest.param(replace(OPEN, item=ItemName("")), "item is empty", id="no item"),
    pytest.param(replace(OPEN, id=SessionId("")), "id is empty", id="no id"),
    pytest.param(replace(OPEN, place="", device=""), "place and device are both empty", id="no seat"),
    pytest.param(replace(OPEN, version=0), "versions begin at 1", id="version zero"),
    pytest.param(replace(OPEN, start_ms=0), "later than 1970", id="a start that was never set"),
    pytest.param(replace(OPEN, end_ms=400), "end lies 600 ms before start", id="an end before the start"),
    pytest.param(replace(OPEN, person="x" * 256), "person has 256 characters", id="a name too long to store"),
]


@pytest.mark.parametrize(("fact", "says"), FAULTS)
def test_an_unusable_fact_is_refused_with_what_is_wrong(fact: SessionFact, says: str) -> None:
    # B-60
    judgement = judge(None, fact)
    assert Verdict.REFUSED == judgement.verdict
    assert says in judgement.reason


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param(None, BatchVerdict.TAKE, id="a number never used is taken"),
        pytest.param(b"same", BatchVerdict.REPEAT, id="the same facts under the same number repeat"),
        pytest.param(b"other", BatchVerdict.REFUSE, id="other facts under a used number are refused"),
    ],
)
def test_verdict_on_a_batch(known: bytes | None, expected: BatchVerdict) -> None:
    # B-60
    assert expected == judge_batch(known, Batch(SourceId("desk"), 7, b"same", (OPEN,)))


def test_an_acknowledgement_counts_verdicts_and_names_what_was_refused() -> None:
    # B-60
    verdicts = [Verdict.NEW, Verdict.COMPLETION, Verdict.CORRECTION, Verdict.REPEAT, Verdict.BEHIND]
    judgements = [Judgement(each) for each in verdicts] + [Judgement(Verdict.REFUSED, "why")]
    expected = BatchResult(
        verdict=BatchVerdict.TAKE,
        ingest_number=12,
        stored=3,
        completed=1,
        corrected=1,
        repeated=2,
        refused=(RefusedFact(5, "why"),),
    )
    assert expected == result_of(judgements, ingest_number=12)
