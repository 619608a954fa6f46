"""An agent on a real etcd, with real processes, over TLS."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc.aio
import pytest

from confapi.config.v1 import objects_pb2
from confapi.control.v1 import agent_pb2, agent_pb2_grpc
from confapi.ha.v1 import ha_pb2
from confclient.errors import (
    NotFoundError,
    PermissionDeniedError,
    RegistrationRefusedError,
    WrongHostError,
    from_rpc_error,
)
from confclient.processes import process_identity
from confcluster.ports import free_ports
from confkit.election.etcd import EtcdCoordination
from confkit.election.etcd_client import EtcdClient
from confkit.election.types import InstanceName, LeaseId, Member, MemberState, ProcessFacts, State
from local_agent.app import serve
from local_agent.settings import LocalAgentSettings
from tests.support.elected import Surroundings, around, authority, config_object, etcd, eventually

__all__ = ["around", "authority", "etcd"]

pytestmark = pytest.mark.etcd

HOST = "host-1"
PROGRAM = "import signal, time; from confkit.process import notify_ready; notify_ready(); time.sleep(60)"


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process that plays a server; a child of the test."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


class Host:
    """One agent and what surrounds it."""

    def __init__(self, around: Surroundings) -> None:
        self.around, self.stub = around, around.stub
        self.endpoint = f"127.0.0.1:{free_ports(1)[0]}"
        self.client = EtcdClient([around.etcd])
        self.coordination = EtcdCoordination(
            self.client, cluster=self.stub.cluster, component="message-server"
        )

    def start(self) -> None:
        self.around.run(
            LocalAgentSettings, serve, name="lca-1", role="lca", listen=self.endpoint, host_name=HOST
        )

    async def stop(self) -> None:
        await self.around.stop("lca-1")

    async def agent(self, role: str = "solution-control", name: str = "sc-1") -> Any:
        """A stub of the agent's service for whoever has this certificate."""
        connection = await self.around.connection(self.endpoint, role=role, name=name)
        return agent_pb2_grpc.LocalAgentServiceStub(connection)

    async def lease(self, process: ha_pb2.ProcessIdentity, name: str = "message-server-1") -> int:
        """A lease with the member key of a process, as its election would make it; it runs for a minute."""
        lease = (await self.coordination.grant(60)).lease
        facts = ProcessFacts(
            InstanceName(name),
            host=process.host,
            pid=process.pid,
            process_start_ticks=process.start_time_ticks,
            boot_id=process.boot_id,
        )
        await self.coordination.put_member(Member(facts, State.LEADER, MemberState(), lease))
        return lease

    async def is_registered(self, name: str = "message-server-1") -> bool:
        """Whether the member key stands."""
        view = await self.coordination.view()
        return any(member.instance == name for member in view.members)

    async def register(
        self, process: ha_pb2.ProcessIdentity, leases: list[int], *, hang_timeout_ms: int = 0
    ) -> Any:
        """Register and keep the stream open; gives it."""
        stub = await self.agent("message-server", "message-server-1")
        stream = stub.RegisterProcess(wait_for_ready=True)
        await stream.write(
            agent_pb2.RegisterProcessRequest(
                application="message-server-1",
                component="message-server",
                process=process,
                lease_ids=leases,
                hang_timeout_ms=hang_timeout_ms,
            )
        )
        try:
            answer = await asyncio.wait_for(stream.read(), 20)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        assert answer.watching
        return stream

    def configure(self, program: str = PROGRAM, *, host: int = 7, **body: Any) -> None:
        """Configure host 7 as this one, host 8, and application voice-1."""
        application = objects_pb2.Application(
            host=host, command_line=sys.executable, arguments=["-c", program], **body
        )
        self.stub.configure(
            config_object("Host", 7, HOST, objects_pb2.Host(address="127.0.0.1")),
            config_object("Host", 8, "host-2", objects_pb2.Host(address="127.0.0.2")),
            config_object("Application", 21, "voice-1", application),
        )


@pytest.fixture
async def host(around: Surroundings) -> AsyncIterator[Host]:
    made = Host(around)
    yield made
    await made.client.close()


async def call(method: Any, request: Any) -> Any:
    try:
        return await method(request, timeout=20, wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


async def test_the_lease_of_a_killed_process_is_gone_within_milliseconds_and_its_exit_reported(  # P-2, B-17, B-53
    host: Host, victim: subprocess.Popen[bytes]
) -> None:
    host.start()
    process = process_identity(victim.pid)
    await host.register(process, [await host.lease(process)])
    other = await host.lease(process_identity(), "message-server-2")
    victim.kill()
    killed_s = time.monotonic()

    async def gone() -> bool:
        return not await host.is_registered()

    await eventually(gone, within_s=2.0)
    assert time.monotonic() - killed_s < 0.5
    assert await host.is_registered("message-server-2")
    assert (await host.coordination.renew(LeaseId(other))).ttl_s > 0

    async def reported() -> bool:
        return [process] == host.stub.exits

    await eventually(reported)


async def test_the_end_of_the_stream_changes_nothing(  # B-53
    host: Host, victim: subprocess.Popen[bytes]
) -> None:
    host.start()
    process = process_identity(victim.pid)
    stream = await host.register(process, [await host.lease(process)])
    stream.cancel()
    listed = await call((await host.agent()).ListProcesses, agent_pb2.ListProcessesRequest())
    assert ["message-server-1"] == [entry.application for entry in listed.processes]
    assert await host.is_registered()


async def test_a_registration_with_the_lease_of_another_process_is_refused(  # B-53, B-60
    host: Host, victim: subprocess.Popen[bytes]
) -> None:
    host.start()
    await host.lease(process_identity(victim.pid))
    foreign = await host.lease(process_identity(), "message-server-2")
    with pytest.raises(RegistrationRefusedError, match="stands on lease"):
        await host.register(process_identity(victim.pid), [foreign])


async def test_a_process_that_died_while_the_agent_was_away_loses_its_lease_when_it_is_back(  # B-53
    host: Host, victim: subprocess.Popen[bytes]
) -> None:
    host.start()
    process = process_identity(victim.pid)
    await host.register(process, [await host.lease(process)])
    await host.stop()
    victim.kill()
    victim.wait()
    assert await host.is_registered()
    host.start()

    async def gone() -> bool:
        return not await host.is_registered()

    await eventually(gone)


async def test_a_process_that_hangs_is_killed_and_loses_its_lease(  # B-53
    host: Host, victim: subprocess.Popen[bytes]
) -> None:
    host.start()
    process = process_identity(victim.pid)
    await host.register(process, [await host.lease(process)], hang_timeout_ms=500)

    async def gone() -> bool:
        return not await host.is_registered()

    await eventually(gone)
    assert -9 == victim.wait()


async def test_a_successor_has_the_process_that_blocks_it_killed_and_no_other_may(  # B-53
    host: Host, victim: subprocess.Popen[bytes]
) -> None:
    host.start()
    process = process_identity(victim.pid)
    await host.register(process, [await host.lease(process)])
    request = agent_pb2.KillProcessRequest(process=process, reason="blocks the promotion")
    with pytest.raises(RegistrationRefusedError, match="role lrm may not"):
        await call((await host.agent("lrm", "lrm-1")).KillProcess, request)
    successor = await host.agent("message-server", "message-server-2")
    assert (await call(successor.KillProcess, request)).gone
    assert -9 == victim.wait()
    assert (await call(successor.KillProcess, request)).gone


async def test_what_has_not_registered_is_not_killed(
    host: Host, victim: subprocess.Popen[bytes]
) -> None:  # B-53
    host.start()
    request = agent_pb2.KillProcessRequest(process=process_identity(victim.pid))
    with pytest.raises(RegistrationRefusedError, match="has not registered"):
        await call((await host.agent("confserv", "confserv-1")).KillProcess, request)
    assert victim.poll() is None


async def test_an_application_is_started_followed_restarted_after_a_crash_and_stopped(host: Host) -> None:
    host.configure(auto_restart=True)
    host.start()
    agent = await host.agent()
    states: list[tuple[int, int]] = []
    pids: list[int] = []

    async def follow() -> None:
        async for told in agent.WatchProcesses(agent_pb2.WatchProcessesRequest(), wait_for_ready=True):
            for process in told.processes:
                if not states or states[-1] != (process.state, process.restarts):
                    states.append((process.state, process.restarts))
                if process.state == agent_pb2.RUN_STATE_RUNNING:
                    pids.append(process.process.pid)

    following = asyncio.create_task(follow())

    async def is_known() -> bool:
        return bool(states)

    await eventually(is_known)
    started = await call(agent.StartProcess, agent_pb2.StartProcessRequest(application="voice-1"))
    assert started.process.state in (agent_pb2.RUN_STATE_STARTING, agent_pb2.RUN_STATE_RUNNING)

    async def runs(count: int) -> bool:
        return len(pids) == count

    await eventually(lambda: runs(1))
    os.kill(pids[0], signal.SIGKILL)
    await eventually(lambda: runs(2))
    again = await call(agent.StartProcess, agent_pb2.StartProcessRequest(application="voice-1"))
    assert pids[1] == again.process.process.pid
    await call(agent.StopProcess, agent_pb2.StopProcessRequest(application="voice-1"))

    async def stopped() -> bool:
        return (agent_pb2.RUN_STATE_STOPPED, 1) == states[-1]

    await eventually(stopped)
    following.cancel()
    told = [name for name, _ in states]
    assert [
        agent_pb2.RUN_STATE_STOPPED,
        agent_pb2.RUN_STATE_STARTING,
        agent_pb2.RUN_STATE_RUNNING,
        agent_pb2.RUN_STATE_FAILED,
        agent_pb2.RUN_STATE_STARTING,
        agent_pb2.RUN_STATE_RUNNING,
        agent_pb2.RUN_STATE_STOPPING,
        agent_pb2.RUN_STATE_STOPPED,
    ] == told


async def test_an_application_runs_on_while_the_agent_is_away_and_is_found_again(host: Host) -> None:
    host.configure()
    host.start()
    agent = await host.agent()
    started = await call_until_known(agent)
    pid = started.process.process.pid
    await host.stop()
    host.start()

    async def found() -> bool:
        listed = await call(agent.ListProcesses, agent_pb2.ListProcessesRequest())
        return [(pid, agent_pb2.RUN_STATE_RUNNING)] == [(p.process.pid, p.state) for p in listed.processes]

    await eventually(found)
    await call(agent.StopProcess, agent_pb2.StopProcessRequest(application="voice-1"))


async def call_until_known(agent: Any) -> Any:
    """Start voice-1 as soon as the agent has read its configuration."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await call(agent.StartProcess, agent_pb2.StartProcessRequest(application="voice-1"))
            except NotFoundError:
                await asyncio.sleep(0.02)


async def test_what_is_not_of_this_host_is_not_started(host: Host) -> None:  # B-60
    host.configure(host=8)
    host.start()
    agent = await host.agent()
    with pytest.raises(WrongHostError, match="host-2"):
        await call_until_known(agent)
    with pytest.raises(NotFoundError, match="nobody"):
        await call(agent.StartProcess, agent_pb2.StartProcessRequest(application="nobody"))


async def test_an_application_may_not_start_others(host: Host) -> None:  # B-60
    host.start()
    with pytest.raises(PermissionDeniedError):
        await call(
            (await host.agent("application", "voice-1")).StartProcess,
            agent_pb2.StartProcessRequest(application="voice-1"),
        )
