"""The rules of the fence row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from confkit.election.types import Epoch, EtcdIdentity, InstanceName, ProcessFacts, Refusal
from confkit.fence import (
    FenceCheck,
    FenceRow,
    RaiseCheck,
    check_write,
    etcd_was_rebuilt,
    may_raise,
    may_raise_generation,
    may_take_role,
    raised,
    raised_generation,
)

A, B = InstanceName("a"), InstanceName("b")
E1, E2 = EtcdIdentity("etcd-1"), EtcdIdentity("etcd-2")
ROW = FenceRow(
    token=Epoch(1, 50), granted_ttl_s=5.0, etcd_identity=E1, etcd_revision=60, instance=A, history_id="h1"
)
RAISED = raised_generation(ROW, identity=E2, revision=3, now_ms=1000)


@pytest.mark.parametrize(
    ("row", "epoch", "waited_s", "expected"),
    [
        pytest.param(
            None, Epoch(1, 1), 0.0, RaiseCheck.MAY, id="a store without a row takes the first token"
        ),
        pytest.param(ROW, Epoch(1, 51), 0.0, RaiseCheck.MAY, id="a greater token is taken"),
        pytest.param(ROW, Epoch(2, 1), 0.0, RaiseCheck.MAY, id="a greater generation is taken"),
        pytest.param(ROW, Epoch(1, 50), 9.0, RaiseCheck.FENCED, id="the same token is never taken again"),
        pytest.param(ROW, Epoch(1, 49), 9.0, RaiseCheck.FENCED, id="a lower token is refused"),
        pytest.param(
            RAISED, Epoch(1, 99), 9.0, RaiseCheck.FENCED, id="a token of the old generation is refused"
        ),
        pytest.param(
            RAISED, Epoch(2, 4), 4.9, RaiseCheck.MUST_WAIT, id="after a wipe nobody opens within one TTL"
        ),
        pytest.param(
            RAISED, Epoch(2, 4), 5.0, RaiseCheck.MAY, id="after a wipe and one TTL the token is taken"
        ),
    ],
)
def test_raising(row: FenceRow | None, epoch: Epoch, waited_s: float, expected: RaiseCheck) -> None:
    # ha.md, Fencing in the database; etcd rebuilt from nothing; B-50
    assert expected == may_raise(row, epoch=epoch, waited_s=waited_s)


@pytest.mark.parametrize(
    ("identity", "prior", "expected"),
    [
        pytest.param(E1, 50, RaiseCheck.MAY, id="etcd knew the tenure on record"),
        pytest.param(E1, 55, RaiseCheck.MAY, id="etcd knew a later tenure, which never raised its token"),
        pytest.param(E1, 49, RaiseCheck.FENCED, id="etcd did not know the tenure on record: it was restored"),
        pytest.param(E2, 50, RaiseCheck.FENCED, id="etcd is another one"),
    ],
)
def test_a_token_from_another_etcd_is_refused_though_it_is_greater(
    identity: EtcdIdentity, prior: int, expected: RaiseCheck
) -> None:
    # ha.md, What a model of this text has shown: etcd restored from a snapshot
    found = may_raise(ROW, epoch=Epoch(1, 61), waited_s=0.0, identity=identity, prior_revision=prior)
    assert expected == found


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(ROW, FenceCheck.HOLDS, id="own token and history"),
        pytest.param(replace(ROW, token=Epoch(1, 51)), FenceCheck.FENCED, id="a higher token"),
        pytest.param(
            replace(ROW, token=Epoch(1, 49)), FenceCheck.FENCED, id="a lower token, of a restored database"
        ),
        pytest.param(RAISED, FenceCheck.FENCED, id="a raised generation"),
        pytest.param(
            replace(ROW, history_id="h2"), FenceCheck.WENT_BACK, id="a restore under a sitting primary"
        ),
        pytest.param(None, FenceCheck.WENT_BACK, id="no row at all"),
    ],
)
def test_checking_a_write(row: FenceRow | None, expected: FenceCheck) -> None:
    # B-50, B-51
    assert expected == check_write(row, epoch=Epoch(1, 50), history_id="h1")


@pytest.mark.parametrize(
    ("identity", "revision", "last_tenure", "expected"),
    [
        pytest.param(E1, 60, 50, False, id="the same etcd at the recorded revision"),
        pytest.param(E1, 900, 70, False, id="the same etcd later"),
        pytest.param(E2, 900, 70, True, id="another identity"),
        pytest.param(E1, 59, 50, True, id="a lower revision"),
        pytest.param(E1, 900, 49, True, id="a restored etcd whose revision has caught up"),
    ],
)
def test_recognizing_a_rebuilt_etcd(
    identity: EtcdIdentity, revision: int, last_tenure: int, expected: bool
) -> None:
    # ha.md, etcd rebuilt from nothing
    found = etcd_was_rebuilt(ROW, identity=identity, revision=revision, last_tenure=last_tenure)
    assert expected == found


def test_a_store_without_a_row_knows_no_etcd_that_could_have_been_rebuilt() -> None:
    # ha.md, etcd rebuilt from nothing
    assert not etcd_was_rebuilt(None, identity=E1, revision=1, last_tenure=0)


def test_a_raised_generation_keeps_the_holder_and_its_ttl() -> None:
    # ha.md, etcd rebuilt from nothing: leaves the holder's fields
    expected = replace(ROW, token=Epoch(2, 0), etcd_identity=E2, etcd_revision=3, raised_generation_ms=1000)
    assert expected == RAISED


@pytest.mark.parametrize(
    ("row", "now_ms", "expected"),
    [
        pytest.param(ROW, 0, True, id="never raised before"),
        pytest.param(RAISED, 1000 + 3_599_999, False, id="within an hour an operator decides"),
        pytest.param(RAISED, 1000 + 3_600_000, True, id="after an hour"),
    ],
)
def test_two_etcds_cannot_take_turns(row: FenceRow, now_ms: int, expected: bool) -> None:
    # ha.md, etcd rebuilt from nothing
    assert expected == may_raise_generation(row, now_ms=now_ms)


@pytest.mark.parametrize(
    ("row", "instance", "licensed", "take_over", "allowed"),
    [
        pytest.param(None, B, False, False, True, id="the first election ever is always allowed"),
        pytest.param(ROW, A, False, False, True, id="the last primary may always return"),
        pytest.param(ROW, B, False, False, False, id="without the feature nobody else may"),
        pytest.param(ROW, B, True, False, True, id="with the feature another may"),
        pytest.param(ROW, B, False, True, True, id="an operator may take over by hand"),
    ],
)
def test_who_may_take_the_role(
    row: FenceRow | None, instance: InstanceName, licensed: bool, take_over: bool, allowed: bool
) -> None:
    # B-40, I-6
    permission = may_take_role(row, instance=instance, ha_licensed=licensed, take_over=take_over)
    assert (allowed, None if allowed else Refusal.NOT_LICENSED) == (permission.allowed, permission.refusal)


def test_a_promotion_records_the_process_and_clears_the_failsafe_mark() -> None:
    # ha.md, Fencing in the database
    facts = ProcessFacts(B, host="h", pid=7, process_start_ticks=9, boot_id="boot")
    row = raised(
        replace(ROW, failsafe=True, raised_generation_ms=5),
        epoch=Epoch(1, 70),
        facts=facts,
        granted_ttl_s=2.0,
        identity=E1,
        etcd_revision=71,
        fresh_history_id="new",
    )
    assert FenceRow(Epoch(1, 70), 2.0, E1, 71, B, "h", 7, 9, "boot", False, "h1", 5) == row
