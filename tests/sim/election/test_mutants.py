"""Planted mistakes that the simulator must find, so that its silence about the real rules means something."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from confkit import fence
from confkit.election import core, machine, tenure, upkeep
from confkit.election import messages as msg
from confkit.election.machine import Machine
from confkit.election.types import Confirmation, LeaderRecord
from tests.sim.election.faults import simulate
from tests.sim.election.store import Store
from tests.sim.election.world import Broken

pytestmark = pytest.mark.sim

MOST_SEEDS = 1000
Plant = Callable[[pytest.MonkeyPatch], None]


def ignore_the_guard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Machine, "guard_of", lambda self, held: machine.NEVER)


def let_unknown_renewals_extend(patch: pytest.MonkeyPatch) -> None:
    def on_renewed(m: Machine, event: msg.Renewed, now_s: float) -> None:
        if event.grant is None and event.lease == m.lease:
            m.renewed_s = max(m.renewed_s, event.sent_s)
        upkeep.on_renewed(m, event, now_s)

    patch.setitem(core._HANDLERS, msg.Renewed, on_renewed)


def count_from_the_answer(patch: pytest.MonkeyPatch) -> None:
    def on_renewed(m: Machine, event: msg.Renewed, now_s: float) -> None:
        upkeep.on_renewed(m, msg.Renewed(event.lease, event.grant, now_s), now_s)

    patch.setitem(core._HANDLERS, msg.Renewed, on_renewed)


def resume_when_the_key_still_looks_ours(patch: pytest.MonkeyPatch) -> None:
    def rewrite(m: Machine, found: LeaderRecord | None) -> None:
        if found is None or not m.is_own(found):
            tenure.lose(m, "handed over", successor=found)
        else:
            tenure.suspend(m, "read, not rewritten")

    patch.setattr(tenure, "rewrite", rewrite)


def open_at_once_after_a_wipe(patch: pytest.MonkeyPatch) -> None:
    real = fence.may_raise
    patch.setattr(fence, "may_raise", lambda row, **known: real(row, **{**known, "waited_s": machine.NEVER}))


def resume_without_asking_the_fence_row(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Store, "confirm", lambda self, epoch, history_id: Confirmation.HOLDS)


def search(seeds: range) -> None:
    for seed in seeds:
        simulate(seed)


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(ignore_the_guard, id="the guard is ignored"),
        pytest.param(let_unknown_renewals_extend, id="a renewal that was not answered extends the guard"),
        pytest.param(count_from_the_answer, id="the guard counts from the answer, not from sending"),
        pytest.param(resume_when_the_key_still_looks_ours, id="an unknown hand-over is read, not rewritten"),
        pytest.param(open_at_once_after_a_wipe, id="nobody waits after a wipe"),
        pytest.param(resume_without_asking_the_fence_row, id="the fence row is not asked"),
    ],
)
def test_the_simulator_finds(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    # architecture.md, Proving it: planted mutants prove that the simulator finds what it should
    plant(monkeypatch)
    with pytest.raises(Broken):
        search(range(MOST_SEEDS))
