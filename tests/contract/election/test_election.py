"""Whole elections, runner and all, over memory and over real etcds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from confkit.election.etcd import EtcdCoordination
from confkit.election.etcd_client import EtcdClient
from confkit.election.messages import Announce, Notice
from confkit.election.ports import Coordination
from confkit.election.runner import Election
from confkit.election.timing import Timing
from confkit.election.types import HandOverResult, InstanceName, ProcessFacts, State
from tests.support.etcd import running_etcd
from tests.support.waiting import eventually

from .component import RecordingComponent, SharedRow
from .conftest import Place

TIMING = Timing(lease_ttl_s=2)


@dataclass
class Running:
    """Members that take part in one election."""

    elections: dict[str, Election]
    components: dict[str, RecordingComponent]
    tasks: dict[str, asyncio.Task[None]]
    notices: list[tuple[str, Announce]]

    def primary(self) -> str | None:
        """Who serves now."""
        return next((name for name, one in self.elections.items() if one.epoch_now() is not None), None)

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> float:
        """Wait; give the milliseconds that it took."""
        began_s = time.monotonic()
        await eventually(condition, timeout_s=timeout_s, pause_s=0.0005)
        return (time.monotonic() - began_s) * 1000

    async def kill(self, name: str) -> None:
        """End a member as SIGKILL would: nothing is handed over or revoked."""
        self.tasks[name].cancel()
        await asyncio.gather(self.tasks[name], return_exceptions=True)


@asynccontextmanager
async def elect(connect: Callable[[], Coordination], names: str = "ab") -> AsyncIterator[Running]:
    """Run members until the end of the test, and wait until one serves and knows all."""
    store, running = SharedRow(), Running({}, {}, {}, [])
    for name in names:
        component = RecordingComponent(InstanceName(name), store)
        election = Election(
            coordination=connect(),
            component=component,
            facts=ProcessFacts(InstanceName(name), (f"{name}:1",)),
            timing=TIMING,
            announce=lambda announce, name=name: running.notices.append((name, announce)),
        )
        running.elections[name], running.components[name] = election, component
        running.tasks[name] = asyncio.create_task(election.run())
    try:
        await running.until(
            lambda: (
                running.primary() is not None
                and all(len(election.members()) == len(names) for election in running.elections.values())
            )
        )
        yield running
    finally:
        for task in running.tasks.values():
            task.cancel()
        await asyncio.gather(*running.tasks.values(), return_exceptions=True)


async def test_exactly_one_of_three_serves_and_all_know_it(place: Place) -> None:
    # B-50
    async with elect(place.connect, "abc") as running:
        primary = running.primary()
        leads = [name for name, one in running.elections.items() if one.state is State.LEADER]
        assert [primary] == leads
        await running.until(
            lambda: (
                {primary}
                == {str(one.primary() and one.primary().instance) for one in running.elections.values()}
            )  # type: ignore[union-attr]
        )


async def test_a_successor_opens_at_once_when_the_lease_is_revoked(place: Place) -> None:
    # B-53: the loss of a process under an agent costs milliseconds
    async with elect(place.connect) as running:
        primary = running.primary()
        assert primary is not None
        lease = running.elections[primary].lease_id
        assert lease is not None
        await running.kill(primary)
        await place.connect().revoke(lease)
        successor = "b" if primary == "a" else "a"
        took_ms = await running.until(lambda: running.elections[successor].epoch_now() is not None)
        assert took_ms < 1000  # the lease alone would have taken more


async def test_a_handover_leaves_the_successor_serving_under_a_higher_token(place: Place) -> None:
    # B-53
    async with elect(place.connect) as running:
        primary = running.primary()
        assert primary is not None
        before = running.elections[primary].epoch_now()
        answer = await running.elections[primary].hand_over(reason="maintenance")
        assert (HandOverResult.DONE, None) == (answer.result, running.elections[primary].epoch_now())
        await running.until(lambda: running.primary() == answer.successor)
        after = running.elections[str(answer.successor)].epoch_now()
        assert before is not None
        assert after is not None
        assert after > before
        assert "demote" == running.components[primary].calls[-1]


async def test_a_backup_refuses_to_hand_over(place: Place) -> None:
    # B-53
    async with elect(place.connect) as running:
        backup = "b" if running.primary() == "a" else "a"
        answer = await running.elections[backup].hand_over()
        assert HandOverResult.NOT_PRIMARY == answer.result


async def test_a_primary_whose_component_is_not_ready_goes_on_serving(place: Place) -> None:
    # ha.md, Switching over: the successor has answered that it is ready
    async with elect(place.connect) as running:
        primary = running.primary()
        assert primary is not None
        running.components[primary].ready = False
        answer = await running.elections[primary].hand_over()
        assert HandOverResult.NOT_READY == answer.result
        assert primary == running.primary()
        await running.until(lambda: "resume" == running.components[primary].calls[-1])


async def test_leaving_hands_over_and_takes_the_member_key_along(place: Place) -> None:
    # cli.md, Processes: SIGTERM hands over, finishes, leaves
    async with elect(place.connect) as running:
        primary = running.primary()
        assert primary is not None
        other = "b" if primary == "a" else "a"
        await running.elections[primary].stop()
        await running.until(lambda: running.primary() == other)
        await running.until(lambda: 1 == len(running.elections[other].members()))
        assert running.tasks[primary].done() or await running.until(running.tasks[primary].done) >= 0


async def test_a_paused_pair_waits_for_its_operator(place: Place) -> None:
    # ha.md, Switching over: automatic switchover can be paused and resumed
    async with elect(place.connect) as running:
        primary = running.primary()
        assert primary is not None
        other = "b" if primary == "a" else "a"
        await running.elections[other].pause_failover(reason="new disks", by="anna")
        await running.until(lambda: running.elections[other].paused() is not None)
        await running.elections[primary].stop(hand_over=False)
        await running.until(lambda: (other, Notice.REFUSED) in [(n, a.notice) for n, a in running.notices])
        assert None is running.primary()
        await running.elections[other].resume_failover()
        await running.until(lambda: running.primary() == other)


async def test_a_component_that_raises_ends_the_process(place: Place) -> None:
    # architecture.md, One process: a broken invariant crashes the process
    async with elect(place.connect) as running:
        primary = running.primary()
        assert primary is not None

        async def break_down(*_: object) -> bool:
            raise RuntimeError("broken")

        running.components[primary].prepare_handover = break_down  # type: ignore[method-assign]
        answer = await running.elections[primary].hand_over()
        assert HandOverResult.NOT_PRIMARY == answer.result
        with pytest.raises(RuntimeError, match="broken"):
            await running.tasks[primary]


@pytest.mark.etcd
async def test_an_etcd_that_hangs_suspends_the_primary_which_resumes_under_its_token(tmp_path: Path) -> None:
    # ha.md, Coordination: after the guard SUSPENDED; left by renewal and fence row
    with running_etcd(tmp_path) as etcd:
        client = EtcdClient([etcd.endpoint], timeout_s=0.5)
        async with elect(lambda: EtcdCoordination(client, cluster="c", component="x"), "a") as running:
            election, component = running.elections["a"], running.components["a"]
            epoch = election.epoch_now()
            etcd.pause()
            await running.until(lambda: election.epoch_now() is None)
            await running.until(lambda: "suspend" == component.calls[-1])
            etcd.resume()
            await running.until(lambda: election.epoch_now() is not None)
            resumed = election.epoch_now()
            assert resumed is not None
            assert epoch is not None
            # the lease may have run out meanwhile; then the token is a new one, never the old one again
            assert (resumed == epoch) == ("demote" not in component.calls)
        await client.close()


@pytest.mark.etcd
async def test_a_wiped_etcd_raises_the_generation_and_costs_one_ttl_of_waiting(tmp_path: Path) -> None:
    # ha.md, etcd rebuilt from nothing
    with running_etcd(tmp_path) as etcd:
        client = EtcdClient([etcd.endpoint], timeout_s=0.5)
        async with elect(lambda: EtcdCoordination(client, cluster="c", component="x")) as running:
            primary = running.primary()
            before = running.elections[str(primary)].epoch_now()
            etcd.wipe()
            await running.until(lambda: running.primary() is None)
            took_ms = await running.until(lambda: running.primary() is not None, 20.0)
            after = running.elections[str(running.primary())].epoch_now()
            assert before is not None
            assert after is not None
            assert before.generation + 1 == after.generation
            assert took_ms > 1500
            assert Notice.GENERATION_RAISED in [announce.notice for _, announce in running.notices]
        await client.close()
