"""Planted mistakes that the simulator must find, so that its silence about the real rules means something."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sim.election import mutants
from tests.sim.election.faults import simulate
from tests.sim.election.world import Broken

pytestmark = pytest.mark.sim

MOST_SEEDS = 1000
Plant = Callable[[pytest.MonkeyPatch], None]


def search(seeds: range) -> None:
    for seed in seeds:
        simulate(seed)


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(mutants.ignore_the_guard, id="the guard is ignored"),
        pytest.param(
            mutants.let_unknown_renewals_extend, id="a renewal that was not answered extends the guard"
        ),
        pytest.param(mutants.count_from_the_answer, id="the guard counts from the answer, not from sending"),
        pytest.param(
            mutants.resume_when_the_key_still_looks_ours, id="an unknown hand-over is read, not rewritten"
        ),
        pytest.param(mutants.open_at_once_after_a_wipe, id="nobody waits after a wipe"),
        pytest.param(mutants.resume_without_asking_the_fence_row, id="the fence row is not asked"),
    ],
)
def test_the_simulator_finds(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    # architecture.md, Proving it: planted mutants prove that the simulator finds what it should
    plant(monkeypatch)
    with pytest.raises(Broken):
        search(range(MOST_SEEDS))
