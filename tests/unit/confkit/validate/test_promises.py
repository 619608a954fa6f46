"""The validators: a history that keeps a promise passes, each way of breaking it is named."""

from __future__ import annotations

import pytest

from confkit.election.types import Epoch
from confkit.validate import (
    Grant,
    LogChange,
    LogEntry,
    Outcome,
    Release,
    Seen,
    Tenure,
    WatchHistory,
    WriteAttempt,
    grants_stay_within_counts,
    nothing_under_a_lower_token,
    only_the_last_primary_without_the_feature,
    revisions_have_no_holes,
    the_stage_never_goes_back,
    tokens_grow_with_each_tenure,
    tokens_never_decrease,
    watcher_sees_the_log,
    writes_happen_once,
)

A, B = ("Host", 1), ("Host", 2)


def entry(revision, *, token=(1, 5), request=None, changes=((A, "x"),)):
    return LogEntry(
        revision=revision,
        epoch=Epoch(*token),
        request=request or f"r{revision}",
        changes=tuple(LogChange(object_id, value) for object_id, value in changes),
    )


LOG = [entry(1), entry(2, changes=[(B, "y")]), entry(3, token=(1, 9), changes=[(A, None), (B, "z")])]


def said(violations):
    return [str(violation) for violation in violations]


def test_a_log_with_growing_tokens_and_no_holes_keeps_its_promises():
    # B-50 B-51
    assert [] == tokens_never_decrease(LOG) + revisions_have_no_holes(LOG)


def test_a_lower_token_after_a_higher_one_is_a_second_writer():
    # B-50
    log = [entry(1, token=(1, 9)), entry(2, token=(1, 5)), entry(3, token=(2, 0))]
    assert ["I-1: revision 2 was written under token 1.5, below 1.9 of revision 1"] == said(
        tokens_never_decrease(log)
    )


def test_a_hole_in_the_revisions_is_named():
    assert ["I-3: revision 3 follows 1"] == said(revisions_have_no_holes([entry(1), entry(3)]))


@pytest.mark.parametrize(
    ("attempt", "says"),
    [
        pytest.param(
            WriteAttempt("r2", Outcome.ACKNOWLEDGED, 2), "", id="an acknowledged write in its place"
        ),
        pytest.param(WriteAttempt("r2", Outcome.UNKNOWN), "", id="an unknown outcome that took place"),
        pytest.param(WriteAttempt("gone", Outcome.UNKNOWN), "", id="an unknown outcome that did not"),
        pytest.param(WriteAttempt("gone", Outcome.NOT_ADMITTED), "", id="a refusal that did not take place"),
        pytest.param(WriteAttempt("gone", Outcome.ACKNOWLEDGED, 2), "a lost write", id="a lost write"),
        pytest.param(
            WriteAttempt("r2", Outcome.ACKNOWLEDGED, 1), "the log has it at [2]", id="another revision"
        ),
        pytest.param(
            WriteAttempt("r2", Outcome.NOT_ADMITTED), "answered not_admitted", id="refused, and done"
        ),
    ],
)
def test_a_write_is_judged_by_what_its_caller_was_told(attempt, says):
    # B-51
    found = " ".join(said(writes_happen_once(LOG, [attempt])))
    assert (says in found) if says else found == ""


def test_a_doubled_write_is_named_whatever_its_caller_was_told():
    # B-51
    log = [entry(1, request="same"), entry(2, request="same")]
    assert ["I-2: request 'same' is in the log 2 times: revisions [1, 2]"] == said(
        writes_happen_once(log, [WriteAttempt("same", Outcome.UNKNOWN)])
    )


def seen(revision, *changes):
    return Seen(revision, tuple(LogChange(object_id, value) for object_id, value in changes))


FULL = (seen(1, (A, "x")), seen(2, (B, "y")), seen(3, (A, None), (B, "z")))


@pytest.mark.parametrize(
    ("watch", "says"),
    [
        pytest.param(WatchHistory("w", 0, FULL, 3), [], id="everything, in order"),
        pytest.param(WatchHistory("w", 1, FULL[1:], 3), [], id="from where it started"),
        pytest.param(WatchHistory("w", 0, FULL[:2], 2), [], id="up to where it has confirmed"),
        pytest.param(
            WatchHistory("w", 0, (seen(2, (B, "y")), seen(3, (B, "z"))), 3, frozenset([B])),
            [],
            id="only what its filter lets through",
        ),
        pytest.param(WatchHistory("w", 0, FULL[::2], 3), ["w was not told revision 2: a gap"], id="a gap"),
        pytest.param(WatchHistory("w", 0, (*FULL, FULL[2]), 3), ["w was told revision 3 twice"], id="twice"),
        pytest.param(
            WatchHistory("w", 0, (FULL[1], FULL[0], FULL[2]), 3), ["w was told 1 after 2"], id="out of order"
        ),
        pytest.param(
            WatchHistory("w", 0, (*FULL[:2], seen(3, (A, None))), 3),
            ["w was told revision 3 otherwise than the log has it"],
            id="half a transaction",
        ),
        pytest.param(
            WatchHistory("w", 0, (*FULL, seen(4, (A, "q"))), 4),
            ["w was told revision 4, which the log does not have"],
            id="what never was",
        ),
    ],
)
def test_a_watcher_is_told_its_view_of_the_log(watch, says):
    # B-52
    found = said(watcher_sees_the_log(LOG, watch))
    assert len(says) == len(found)
    assert all(f"I-4: {expected}" in text for expected, text in zip(says, found, strict=True))


def tenure(instance, revision, *, licensed=True, by_hand=False):
    return Tenure(Epoch(1, revision), instance, licensed, by_hand)


def test_without_the_feature_only_the_last_primary_returns():
    # B-40
    kept = [
        tenure("a", 1),
        tenure("a", 2, licensed=False),
        tenure("b", 3),
        tenure("a", 4, licensed=False, by_hand=True),
    ]
    broken = [tenure("a", 1), tenure("b", 2, licensed=False)]
    assert ([], 1) == (
        only_the_last_primary_without_the_feature(kept),
        len(only_the_last_primary_without_the_feature(broken)),
    )


def test_a_token_taken_up_again_is_named():
    assert ["I-1: b promoted itself under 1.2, not above 1.2"] == said(
        tokens_grow_with_each_tenure([tenure("a", 2), tenure("b", 2)])
    )


def test_lrm_that_believes_a_former_primary_is_named():
    # B-20
    assert ([], 1) == (
        nothing_under_a_lower_token([Epoch(1, 1), Epoch(1, 1), Epoch(2, 0)]),
        len(nothing_under_a_lower_token([Epoch(1, 7), Epoch(1, 6)])),
    )


def test_a_stage_that_goes_back_is_named():
    # B-10
    stages = ["FIRST_STARTUP", "OPERATIONAL", "OPERATIONAL"]
    assert ([], 1) == (
        the_stage_never_goes_back(stages),
        len(the_stage_never_goes_back([*stages, "FIRST_STARTUP"])),
    )


@pytest.mark.parametrize(
    ("journal", "broken"),
    [
        pytest.param([Grant("h", "f", 2, 2)], 0, id="all of it"),
        pytest.param([Grant("h", "f", 2, 2), Grant("h", "f", 2, 2)], 0, id="a handle repeated counts once"),
        pytest.param([Grant("h", "f", 2, 2), Release("h"), Grant("i", "f", 1, 2)], 0, id="after a release"),
        pytest.param([Grant("h", "f", 2, 2), Grant("i", "g", 1, 1)], 0, id="features are apart"),
        pytest.param([Grant("h", "f", 9, None)], 0, id="uncounted"),
        pytest.param([Grant("h", "f", 2, 2), Grant("h", "f", 2, 1)], 0, id="held while the count shrinks"),
        pytest.param([Grant("h", "f", 2, 2), Grant("i", "f", 1, 2)], 1, id="one too many"),
    ],
)
def test_grants_stay_within_what_was_issued(journal, broken):
    # B-42
    assert broken == len(grants_stay_within_counts(journal))
