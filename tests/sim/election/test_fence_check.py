"""The fence check has a test of its own: unique revisions hide that it is missing from most drawn executions."""

from __future__ import annotations

import pytest

from tests.sim.election.mutants import write_without_asking_the_fence_row
from tests.sim.election.world import Broken, Network, World

pytestmark = pytest.mark.sim


def stop_between_admission_and_transaction(world: World) -> None:
    """Stop the primary when it has admitted a write and not yet sent it, for longer than its lease."""
    world.start()
    world.run(1.5)
    primary = world.servers[world.primary()]  # type: ignore[index]
    assert world.run_until(world.now_s + 2.0, lambda: primary.writing == 0)
    assert world.run_until(world.now_s + 2.0, lambda: primary.writing > 0)
    world.pause(primary.name)
    world.run(4.0)
    successor = world.primary()
    assert successor not in (None, primary.name)
    world.resume(primary.name)
    world.run(1.0)
    assert successor == world.primary()


def test_a_write_that_was_admitted_before_the_stop_is_not_committed_after_it() -> None:
    # B-50; ha.md, Faults: SIGSTOP longer than the TTL, before BEGIN
    world = World("ab", network=Network(delay_s=0.001))
    stop_between_admission_and_transaction(world)
    assert sorted(world.store.log) == world.store.log
    assert len(world.store.log) == world.acknowledged


def test_without_the_fence_check_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    # architecture.md, Proving it: planted mutants
    write_without_asking_the_fence_row(monkeypatch)
    with pytest.raises(Broken, match="I-1"):
        stop_between_admission_and_transaction(World("ab", network=Network(delay_s=0.001)))
