"""Thousands of drawn executions of the election; a seed that fails is printed with its transcript."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sim.election.faults import simulate
from tests.sim.election.world import Broken

pytestmark = pytest.mark.sim

CHUNK = 100


def simulate_all(seeds: range, play: Callable[[int], object] = simulate) -> None:
    """Play each seed; a failure says which, and how to see it again."""
    for seed in seeds:
        try:
            play(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}; see it with: make sim SEED={seed}") from error


@pytest.mark.parametrize("first", range(0, 3000, CHUNK))
def test_no_drawn_execution_breaks_a_promise(first: int) -> None:
    # B-50, B-51: I-1, I-5, I-6, never two that serve; I-9 once faults end
    simulate_all(range(first, first + CHUNK))


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(69, id="identity gone between permission and campaign"),
        pytest.param(5437, id="restored etcd in which the row was read before its first raise"),
        pytest.param(9438, id="restored etcd whose revision has caught up"),
        pytest.param(1177, id="key rewritten in an etcd restored to before an unknown hand-over"),
        pytest.param(11863, id="idle primary fenced after a restored etcd"),
    ],
)
def test_executions_that_once_broke_a_promise_hold(seed: int) -> None:
    # B-50: found by earlier runs
    simulate_all(range(seed, seed + 1))


def test_one_seed_is_one_execution() -> None:
    # architecture.md, Proving it: a failure can be seen again
    one, two = simulate(7, tracing=True), simulate(7, tracing=True)
    assert one.trace == two.trace


def test_seeds_show_what_they_should() -> None:
    # architecture.md, Proving it: drawn faults reach all corners
    words = {
        word for seed in range(150) for line in simulate(seed, tracing=True).trace for word in line.split()
    }
    wanted = {
        "BECAME_PRIMARY",
        "SUSPENDED",
        "RESUMED",
        "FENCED",
        "REFUSED",
        "GENERATION_RAISED",
        "DONE",
        "UNKNOWN",
    }
    assert set() == wanted - words


def test_a_broken_promise_is_told_with_its_seed() -> None:
    # architecture.md, Proving it: a failing run prints its seed
    def broken(seed: int) -> None:
        raise Broken(f"two serve in {seed}")

    with pytest.raises(AssertionError, match="seed 3: two serve in 3; see it with: make sim SEED=3"):
        simulate_all(range(3, 4), broken)
