"""Links to the agents of all hosts: each is followed all the time, so that a status costs no call.

A link follows its agent by WatchProcesses, and connects again when it is lost; orders go over the same
connection. What an agent said before it was lost does not count as known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio

from confapi.control.v1 import agent_pb2, agent_pb2_grpc
from confclient.credentials import TlsFiles, open_channel
from confclient.errors import AgentUnreachableError, ConfservError, UnavailableError, from_rpc_error
from confkit.events import EventLog
from solution_control.core.model import AgentReport, ApplicationName, Host, HostName, RunState

ORDER_TIMEOUT_S = 15.0
_RETRY_S = 0.5
_CONNECT_S = 2.0

_STATES = {
    agent_pb2.RUN_STATE_STOPPED: RunState.STOPPED,
    agent_pb2.RUN_STATE_STARTING: RunState.STARTING,
    agent_pb2.RUN_STATE_RUNNING: RunState.RUNNING,
    agent_pb2.RUN_STATE_STOPPING: RunState.STOPPING,
    agent_pb2.RUN_STATE_FAILED: RunState.FAILED,
}


class AgentLinks:
    """One link for each host that has an agent. `events` gets 43-25010 and 43-25011."""

    def __init__(self, tls: TlsFiles, events: EventLog) -> None:
        self._tls = tls
        self._events = events
        self._links: dict[HostName, _Link] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def configure(self, hosts: Mapping[HostName, Host]) -> None:
        """Follow exactly these hosts; call it in the event loop whenever the configuration changes."""
        for name, link in list(self._links.items()):
            if hosts.get(name) != link.host:
                del self._links[name]
                closing = asyncio.create_task(link.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        for name, host in hosts.items():
            if host.agent and name not in self._links:
                self._links[name] = _Link(host, self._tls, self._events)

    async def close(self) -> None:
        """Close every link."""
        links, self._links = list(self._links.values()), {}
        await asyncio.gather(*(link.close() for link in links), *self._closing)

    def reports(self) -> Mapping[HostName, AgentReport]:
        """Give what each agent said last."""
        return {name: link.report() for name, link in self._links.items()}

    def process(self, host: HostName, application: ApplicationName) -> agent_pb2.AgentProcess | None:
        """Give a process as its agent said last."""
        link = self._links.get(host)
        return link.processes.get(application) if link is not None else None

    async def start(self, host: Host, application: ApplicationName) -> agent_pb2.AgentProcess:
        """Start an application through its agent."""
        request = agent_pb2.StartProcessRequest(application=application)
        answer = await self._order(host, "StartProcess", request)
        return answer.process  # type: ignore[no-any-return]

    async def stop(self, host: Host, application: ApplicationName) -> agent_pb2.AgentProcess:
        """Stop an application through its agent."""
        request = agent_pb2.StopProcessRequest(application=application)
        answer = await self._order(host, "StopProcess", request)
        return answer.process  # type: ignore[no-any-return]

    async def _order(self, host: Host, method: str, request: Any) -> Any:
        link = self._links.get(host.name)
        if link is None:
            raise _unreachable(host, "it is not followed yet")
        try:
            return await getattr(link.stub, method)(request, timeout=ORDER_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            if isinstance(failure, UnavailableError) and failure.reason == UnavailableError.reason:
                raise _unreachable(host, failure.message) from error
            raise failure from error


class _Link:
    """One agent."""

    def __init__(self, host: Host, tls: TlsFiles, events: EventLog) -> None:
        self.host = host
        self.processes: dict[str, agent_pb2.AgentProcess] = {}
        self._channel = open_channel(host.agent, tls)
        self.stub = agent_pb2_grpc.LocalAgentServiceStub(self._channel)
        self._events = events
        self._reachable = False
        self._detail = "it has not answered yet"
        self._was_lost = False
        self._following = asyncio.create_task(self._follow(), name=f"agent of {host.name}")

    def report(self) -> AgentReport:
        """Give what the agent said last."""
        states = {
            ApplicationName(n): _STATES.get(p.state, RunState.UNKNOWN) for n, p in self.processes.items()
        }
        return AgentReport(self._reachable, self._detail, states)

    async def close(self) -> None:
        """Follow no more."""
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
        await self._channel.close()

    async def _follow(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    await self._channel.channel_ready()
                first = True
                async for told in self.stub.WatchProcesses(agent_pb2.WatchProcessesRequest()):
                    self._take(told, whole=first)
                    first = False
                self._lost("it ended the stream")
            except TimeoutError:
                self._lost(f"nothing answers at {self.host.agent}")
            except grpc.aio.AioRpcError as error:
                self._lost(from_rpc_error(error).message)
            await asyncio.sleep(_RETRY_S)

    def _take(self, told: agent_pb2.WatchProcessesResponse, *, whole: bool) -> None:
        if whole:
            self.processes.clear()
        for process in told.processes:
            self.processes[process.application] = process
        if self._was_lost:
            self._events.emit("43-25011", host_name=self.host.name)
        self._reachable, self._was_lost, self._detail = True, False, ""

    def _lost(self, detail: str) -> None:
        if not self._was_lost:
            self._events.emit("43-25010", host_name=self.host.name, detail=detail)
        self._reachable, self._was_lost, self._detail = False, True, detail
        self.processes.clear()


def _unreachable(host: Host, why: str) -> ConfservError:
    return AgentUnreachableError(
        f"the agent of host {host.name} at {host.agent} cannot be reached: {why}; start it, or check "
        "`address` and `agent_port` of the Host object",
        host=host.name,
    )
