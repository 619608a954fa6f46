"""What is done with a reported fact, and with a batch of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm.core.ingest import (
    Batch,
    BatchResult,
    BatchVerdict,
    Known,
    ReplacedFact,
    StoredFact,
    Verdict,
    judge,
    judge_batch,
    key_of,
    plan_commit,
)
from lrm.core.sessions import ItemName, SessionFact, SessionId, SourceId, TenantName

DESK = SourceId("desk")
NOW_MS = 100_000
OPEN = SessionFact(
    source=DESK,
    id=SessionId("s-1"),
    version=3,
    tenant=TenantName("acme"),
    item=ItemName("seat_voice"),
    start_ms=1_000,
    place="p1",
    device="d1",
)
CLOSED = replace(OPEN, end_ms=9_000)
CLOSED_LATER = replace(CLOSED, version=4)

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
    pytest.param(
        replace(OPEN, attributes=(("a", "x" * 4096),)), "attributes have 4097", id="too many attributes"
    ),
    pytest.param(replace(OPEN, end_ms=10**15), "behind the year 9999", id="a time in another unit"),
    pytest.param(replace(OPEN, person="x" * 256), "person has 256 characters", id="a name too long to store"),
]


@pytest.mark.parametrize(("fact", "says"), FAULTS)
def test_an_unusable_fact_is_refused_with_what_is_wrong(fact: SessionFact, says: str) -> None:
    # B-60
    judgement = judge(None, fact)
    assert Verdict.REFUSED == judgement.verdict
    assert says in judgement.reason


@pytest.mark.parametrize(
    ("sequence", "known_digest", "expected"),
    [
        pytest.param(8, None, BatchVerdict.TAKE, id="the next number is taken"),
        pytest.param(7, b"same", BatchVerdict.REPEAT, id="the same facts under the same number repeat"),
        pytest.param(
            7, b"other", BatchVerdict.OUT_OF_SEQUENCE, id="other facts under a used number are refused"
        ),
        pytest.param(9, None, BatchVerdict.OUT_OF_SEQUENCE, id="a gap is refused"),
        pytest.param(
            1, None, BatchVerdict.OUT_OF_SEQUENCE, id="a used number that is not on record is refused"
        ),
        pytest.param(0, None, BatchVerdict.OUT_OF_SEQUENCE, id="numbers begin at one"),
    ],
)
def test_verdict_on_a_batch(sequence: int, known_digest: bytes | None, expected: BatchVerdict) -> None:
    # B-60
    batch = Batch(DESK, sequence, b"same", (OPEN,))
    assert expected == judge_batch(batch, last_sequence=7, known_digest=known_digest)


def batch_of(sequence: int, *facts: SessionFact) -> Batch:
    return Batch(DESK, sequence, repr(facts).encode(), facts)


NOTHING = Known(sessions={}, digests={}, last_sequences={}, ingest_number=10)


def test_batches_of_one_commit_are_judged_each_after_those_before_it() -> None:
    # B-60
    closed = replace(CLOSED, version=4)
    corrected = replace(closed, version=5, end_ms=8_000)
    plan = plan_commit(
        [batch_of(1, OPEN), batch_of(2, closed), batch_of(3, corrected, corrected)],
        NOTHING,
        received_ms=NOW_MS,
    )
    assert (StoredFact(13, corrected),) == plan.stored
    assert (ReplacedFact(13, closed),) == plan.replaced
    assert [1, 1, 1] == [result.stored for result in plan.results]
    assert (0, 1, 0) == tuple(result.completed for result in plan.results)
    assert (1, 1) == (plan.results[2].corrected, plan.results[2].repeated)
    assert 13 == plan.ingest_number


def test_a_repeated_batch_writes_nothing_and_a_gap_says_what_is_expected() -> None:
    # B-60
    first = batch_of(1, OPEN)
    plan = plan_commit([first, first, batch_of(3, CLOSED)], NOTHING, received_ms=NOW_MS)
    assert (first,) == plan.taken
    expected = [
        BatchResult(BatchVerdict.TAKE, 2, stored=1),
        BatchResult(BatchVerdict.REPEAT, 2, repeated=1),
        BatchResult(BatchVerdict.OUT_OF_SEQUENCE, 2),
    ]
    assert expected == list(plan.results)


def test_a_refused_fact_does_not_hold_up_the_rest_of_its_batch() -> None:
    # B-60
    broken = replace(OPEN, id=SessionId("s-2"), version=0)
    [result] = plan_commit([batch_of(1, broken, OPEN, CLOSED)], NOTHING, received_ms=NOW_MS).results
    assert 1 == result.stored
    assert [("s-2", False), ("s-1", True)] == [(each.id, each.known) for each in result.refused]


versions = st.integers(1, 4)
facts_drawn = st.builds(
    lambda number, version, length_ms: replace(
        OPEN,
        id=SessionId(f"s-{number}"),
        version=version,
        end_ms=None if length_ms is None else OPEN.start_ms + length_ms,
    ),
    st.integers(1, 3),
    versions,
    st.none() | st.integers(0, 3),
)


@given(st.lists(st.lists(facts_drawn, max_size=4), max_size=6), st.data())
def test_grouping_batches_into_commits_changes_nothing(
    groups: list[list[SessionFact]], data: st.DataObject
) -> None:
    # B-60
    batches = [batch_of(number, *facts) for number, facts in enumerate(groups, start=1)]
    cut = data.draw(st.integers(0, len(batches)))
    together = plan_commit(batches, NOTHING, received_ms=NOW_MS)
    first = plan_commit(batches[:cut], NOTHING, received_ms=NOW_MS)
    between = Known(
        sessions={key_of(each.fact): each.fact for each in first.stored},
        digests={(each.source, each.sequence): each.digest for each in first.taken},
        last_sequences={DESK: cut},
        ingest_number=first.ingest_number,
        clocks=first.clocks,
    )
    second = plan_commit(batches[cut:], between, received_ms=NOW_MS)
    assert together.results == first.results + second.results
    apart = {key_of(each.fact): each for each in first.stored} | {
        key_of(each.fact): each for each in second.stored
    }
    assert {key_of(each.fact): each for each in together.stored} == apart
    assert together.replaced == first.replaced + second.replaced
    assert together.clocks == {**first.clocks, **second.clocks}


def test_a_source_is_as_late_as_the_latest_time_that_it_spoke_of() -> None:
    # B-25
    ahead = replace(OPEN, id=SessionId("s-2"), end_ms=10 * NOW_MS)
    assert {DESK: 9_000} == plan_commit([batch_of(1, OPEN, CLOSED_LATER)], NOTHING, received_ms=NOW_MS).clocks
    assert {DESK: NOW_MS} == plan_commit([batch_of(1, ahead, OPEN)], NOTHING, received_ms=NOW_MS).clocks
