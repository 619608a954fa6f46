"""The fence row over real databases: the same rules, the same row, and a transaction that is serialized with
a promotion.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from confkit.election.types import (
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    InstanceName,
    Permission,
    ProcessFacts,
    Refusal,
)
from confkit.fence import FenceCheck, FenceRow, RaiseCheck
from confkit.fence_sql import (
    FENCE,
    Raise,
    begin_immediately,
    check_fence,
    mark_failsafe,
    past_blockers,
    raise_fence,
    raise_generation,
    read_fence,
    renew_history,
)

E1, E2 = EtcdIdentity("etcd-1"), EtcdIdentity("etcd-2")


@dataclass
class Store:
    """A database with an empty table `fence`."""

    engine: sa.Engine

    def raise_to(
        self, epoch: Epoch, name: str = "a", *, waited_s: float = 0.0, identity: str = E1, **more: object
    ) -> Raise:
        """Raise in a transaction of its own."""
        with self.engine.begin() as conn:
            return raise_fence(
                conn,
                epoch=epoch,
                waited_s=waited_s,
                facts=ProcessFacts(InstanceName(name), host="h", pid=7, process_start_ticks=9, boot_id="b"),
                granted_ttl_s=5.0,
                identity=EtcdIdentity(identity),
                etcd_revision=epoch.mod_revision,
                fresh_history_id="h1",
                **more,  # type: ignore[arg-type]
            )

    def row(self) -> FenceRow | None:
        """Read."""
        with self.engine.connect() as conn:
            return read_fence(conn)

    def check(self, epoch: Epoch, history_id: str = "h1") -> FenceCheck:
        """Check in a transaction of its own."""
        with self.engine.begin() as conn:
            return check_fence(conn, epoch=epoch, history_id=history_id)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    if request.param == "sqlite":
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'fence.db'}")
    else:
        engine = sa.create_engine(request.getfixturevalue("postgresql_server").fresh_database())
    begin_immediately(engine)
    FENCE.metadata.create_all(engine)
    yield Store(engine)
    engine.dispose()


def test_a_new_store_has_no_row_and_takes_the_first_token(store: Store) -> None:
    # ha.md, Fencing in the database
    assert None is store.row()
    outcome = store.raise_to(Epoch(1, 5))
    expected = FenceRow(Epoch(1, 5), 5.0, E1, 5, InstanceName("a"), "h", 7, 9, "b", False, "h1", 0)
    assert (True, expected) == (outcome.raised, store.row())


def test_only_a_greater_token_is_taken_and_the_row_stays_as_it_was(store: Store) -> None:
    # B-50
    store.raise_to(Epoch(1, 5))
    before = store.row()
    for refused in (store.raise_to(Epoch(1, 5), "b"), store.raise_to(Epoch(1, 4), "b")):
        assert (RaiseCheck.FENCED, False, before) == (refused.check, refused.raised, refused.row)
    assert before == store.row()
    assert store.raise_to(Epoch(1, 6), "b").raised
    assert "b" == (store.row() or before).instance  # type: ignore[union-attr]


def test_a_promotion_that_the_license_forbids_changes_nothing(store: Store) -> None:
    # B-40: checked in the same transaction
    store.raise_to(Epoch(1, 5))
    before, seen = store.row(), []

    def forbid(row: FenceRow | None) -> Permission:
        seen.append(row)
        return Permission(Refusal.NOT_LICENSED, "no ha_redundancy")

    outcome = store.raise_to(Epoch(1, 6), "b", permit=forbid)
    assert (False, "no ha_redundancy") == (outcome.raised, outcome.permission.detail)
    assert (before, [before]) == (store.row(), seen)


def test_a_token_from_a_restored_etcd_is_refused(store: Store) -> None:
    # ha.md, What a model of this text has shown
    store.raise_to(Epoch(1, 50))
    assert RaiseCheck.FENCED is store.raise_to(Epoch(1, 60), "b", prior_revision=49).check
    assert RaiseCheck.FENCED is store.raise_to(Epoch(1, 60), "b", identity=E2).check
    assert store.raise_to(Epoch(1, 60), "b", prior_revision=50).raised


@pytest.mark.parametrize(
    ("epoch", "history_id", "expected"),
    [
        pytest.param(Epoch(1, 5), "h1", FenceCheck.HOLDS, id="own token"),
        pytest.param(Epoch(1, 4), "h1", FenceCheck.FENCED, id="an earlier token"),
        pytest.param(Epoch(1, 5), "h0", FenceCheck.WENT_BACK, id="another history"),
    ],
)
def test_a_write_transaction_checks_token_and_history(
    store: Store, epoch: Epoch, history_id: str, expected: FenceCheck
) -> None:
    # B-50, B-51
    store.raise_to(Epoch(1, 5))
    assert expected is store.check(epoch, history_id)


def test_a_restore_stops_the_sitting_primary(store: Store) -> None:
    # ha.md, Fencing in the database: a restore makes a new history id
    store.raise_to(Epoch(1, 5))
    with store.engine.begin() as conn:
        renew_history(conn, history_id="h2")
    assert FenceCheck.WENT_BACK is store.check(Epoch(1, 5), "h1")


def test_the_generation_is_raised_once_by_compare_and_set(store: Store) -> None:
    # ha.md, etcd rebuilt from nothing
    store.raise_to(Epoch(1, 5))
    seen = store.row()
    assert seen is not None

    def raise_it(expected: FenceRow, now_ms: int) -> GenerationRaise:
        with store.engine.begin() as conn:
            return raise_generation(conn, expected=expected, identity=E2, revision=2, now_ms=now_ms)

    assert GenerationRaise.RAISED is raise_it(seen, 1000)
    assert GenerationRaise.LOST is raise_it(seen, 1000)
    raised = store.row()
    assert (
        replace(seen, token=Epoch(2, 0), etcd_identity=E2, etcd_revision=2, raised_generation_ms=1000)
        == raised
    )
    assert raised is not None
    assert GenerationRaise.TOO_SOON is raise_it(raised, 2000)
    assert GenerationRaise.RAISED is raise_it(raised, 1000 + 3_600_000)


def test_after_a_wipe_the_token_is_taken_only_after_one_ttl(store: Store) -> None:
    # ha.md, etcd rebuilt from nothing
    store.raise_to(Epoch(1, 5))
    seen = store.row()
    assert seen is not None
    with store.engine.begin() as conn:
        raise_generation(conn, expected=seen, identity=E2, revision=2, now_ms=1)
    assert RaiseCheck.MUST_WAIT is store.raise_to(Epoch(2, 4), identity=E2, waited_s=4.9).check
    assert store.raise_to(Epoch(2, 4), identity=E2, waited_s=5.0).raised


def test_whoever_raises_a_marked_row_is_told_and_the_mark_is_gone(store: Store) -> None:
    # ha.md, When etcd itself is away
    store.raise_to(Epoch(1, 5))
    with store.engine.begin() as conn:
        assert FenceCheck.HOLDS is mark_failsafe(conn, epoch=Epoch(1, 5), history_id="h1", marked=True)
        assert FenceCheck.FENCED is mark_failsafe(conn, epoch=Epoch(1, 4), history_id="h1", marked=False)
    assert store.raise_to(Epoch(1, 6), "b").was_failsafe
    assert not store.raise_to(Epoch(1, 7), "a").was_failsafe


def test_a_promotion_waits_for_a_commit_in_flight(store: Store) -> None:
    # ha.md, Fencing in the database: FOR SHARE, an immediate transaction
    store.raise_to(Epoch(1, 5))
    order: list[str] = []
    checked = threading.Event()

    def write() -> None:
        with store.engine.begin() as conn:
            check_fence(conn, epoch=Epoch(1, 5), history_id="h1")
            checked.set()
            promotion_waits.wait(0.3)
            order.append("commit")

    promotion_waits = threading.Event()
    writer = threading.Thread(target=write)
    writer.start()
    assert checked.wait(10)
    outcome = store.raise_to(Epoch(1, 6), "b")
    order.append("promotion")
    writer.join()
    assert (["commit", "promotion"], True) == (order, outcome.raised)


def test_two_first_promotions_leave_one_row(store: Store) -> None:
    # ha.md, Fencing in the database: one row per store
    outcomes: list[Raise] = []
    threads = [
        threading.Thread(target=lambda n=number: outcomes.append(store.raise_to(Epoch(1, n), f"s{n}")))
        for number in (3, 4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome.row.token for outcome in outcomes if outcome.raised and outcome.row]
    row = store.row()
    assert row is not None
    assert max(winners) == row.token
    with store.engine.connect() as conn:
        assert 1 == conn.execute(sa.select(sa.func.count()).select_from(FENCE)).scalar_one()


def test_sqlite_refuses_a_check_outside_an_immediate_transaction(tmp_path: Path) -> None:
    # ha.md, Fencing in the database: SQLite, an immediate transaction
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'plain.db'}")
    FENCE.metadata.create_all(engine)
    with engine.begin() as conn, pytest.raises(RuntimeError, match="begin_immediately"):
        check_fence(conn, epoch=Epoch(1, 5), history_id="h1")
    engine.dispose()


@pytest.mark.postgresql
def test_a_holder_stopped_inside_its_transaction_is_terminated(request: pytest.FixtureRequest) -> None:
    # ha.md, Fencing in the database: a promoter that waits longer than 200 ms terminates the backends that block it
    engine = sa.create_engine(request.getfixturevalue("postgresql_server").fresh_database())
    FENCE.metadata.create_all(engine)
    store = Store(engine)
    store.raise_to(Epoch(1, 5))
    stopped = engine.connect()
    check_fence(stopped, epoch=Epoch(1, 5), history_id="h1")  # and never goes on
    began_s = time.monotonic()
    outcome = past_blockers(
        engine,
        lambda conn: raise_fence(
            conn,
            epoch=Epoch(1, 6),
            waited_s=0.0,
            facts=ProcessFacts(InstanceName("b")),
            granted_ttl_s=5.0,
            identity=E1,
            etcd_revision=6,
            fresh_history_id="x",
        ),
    )
    assert outcome.raised
    assert time.monotonic() - began_s < 5.0
    with pytest.raises(sa.exc.OperationalError):
        stopped.execute(sa.text("SELECT 1"))
    stopped.invalidate()
    engine.dispose()
