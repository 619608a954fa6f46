"""LocalAgentService on the wire: messages to orders and back, nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from confapi.control.v1 import agent_pb2, agent_pb2_grpc
from confclient.identity import CertificateRole
from confkit.server import EVERYBODY, Policy, caller
from local_agent.agent import Agent
from local_agent.core.model import Application, ApplicationName, Heard
from local_agent.orders import Orders
from local_agent.wire import claim_of, key_of, process_message

SERVICE = "confapi.control.v1.LocalAgentService"
_OPERATORS = frozenset({CertificateRole.SOLUTION_CONTROL, CertificateRole.ADMINISTRATOR})
_SERVERS = EVERYBODY - {CertificateRole.ADMINISTRATOR, CertificateRole.ITC}
_SUCCESSORS = frozenset(
    {
        CertificateRole.CONFSERV,
        CertificateRole.LRM,
        CertificateRole.LICMAN,
        CertificateRole.MESSAGE_SERVER,
        CertificateRole.SOLUTION_CONTROL,
    }
)
POLICY: Policy = {
    f"/{SERVICE}/RegisterProcess": _SERVERS,
    f"/{SERVICE}/StartProcess": _OPERATORS,
    f"/{SERVICE}/StopProcess": _OPERATORS,
    f"/{SERVICE}/KillProcess": _SUCCESSORS,
    f"/{SERVICE}/ListProcesses": _OPERATORS,
    f"/{SERVICE}/WatchProcesses": _OPERATORS,
}

Context = grpc.aio.ServicerContext[Any, Any]


class LocalAgentService(agent_pb2_grpc.LocalAgentServiceServicer):
    """The agent of one host."""

    def __init__(self, *, agent: Agent, orders: Orders) -> None:
        self._agent = agent
        self._orders = orders

    async def RegisterProcess(
        self, request_iterator: AsyncIterator[agent_pb2.RegisterProcessRequest], context: Context
    ) -> AsyncIterator[agent_pb2.RegisterProcessResponse]:
        """A request that says what the one before it said is a heartbeat; another one is checked anew."""
        known = None
        async for request in request_iterator:
            if request != known:
                await self._orders.register(claim_of(request), caller())
                known = request
            self._agent.handle(Heard(key_of(request.process)))
            yield agent_pb2.RegisterProcessResponse(watching=True)

    async def StartProcess(
        self, request: agent_pb2.StartProcessRequest, context: Context
    ) -> agent_pb2.StartProcessResponse:
        """Start an application of this host."""
        application = await self._orders.start(ApplicationName(request.application))
        return agent_pb2.StartProcessResponse(process=self._message(application))

    async def StopProcess(
        self, request: agent_pb2.StopProcessRequest, context: Context
    ) -> agent_pb2.StopProcessResponse:
        """Stop an application of this host."""
        application = await self._orders.stop(ApplicationName(request.application))
        return agent_pb2.StopProcessResponse(process=self._message(application))

    async def KillProcess(
        self, request: agent_pb2.KillProcessRequest, context: Context
    ) -> agent_pb2.KillProcessResponse:
        """Kill a registered process."""
        gone = await self._orders.kill(key_of(request.process), caller(), request.reason)
        return agent_pb2.KillProcessResponse(gone=gone)

    async def ListProcesses(
        self, request: agent_pb2.ListProcessesRequest, context: Context
    ) -> agent_pb2.ListProcessesResponse:
        """List applications of this host."""
        return agent_pb2.ListProcessesResponse(processes=self._all())

    async def WatchProcesses(
        self, request: agent_pb2.WatchProcessesRequest, context: Context
    ) -> AsyncIterator[agent_pb2.WatchProcessesResponse]:
        """All applications at once, then each that changes."""
        follower = self._agent.follow()
        try:
            yield agent_pb2.WatchProcessesResponse(processes=self._all())
            while True:
                names = await follower.next()
                applications = [self._agent.machine.applications.get(name) for name in sorted(names)]
                yield agent_pb2.WatchProcessesResponse(processes=[self._message(a) for a in applications])
        finally:
            follower.close()

    def _all(self) -> list[agent_pb2.AgentProcess]:
        return [self._message(application) for application in self._agent.machine.applications.all()]

    def _message(self, application: Application) -> agent_pb2.AgentProcess:
        process = application.process
        watched = self._agent.machine.watched(process) if process is not None else None
        return process_message(application, watched)
