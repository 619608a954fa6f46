"""A process's registration with the Local Control Agent of its host.

The agent watches the process by its pidfd and revokes its leases the moment it exits, so that its successor
need not wait for them to run out. Heartbeats let the agent kill a process that hangs. Losing the agent changes
nothing but that: the process registers again whenever it can.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import grpc.aio
import structlog

from confapi.control.v1 import agent_pb2, agent_pb2_grpc
from confclient.credentials import TlsFiles, open_channel
from confclient.processes import process_identity

_HEARTBEATS_PER_TIMEOUT = 4
_RETRY_S = 0.5
_log = structlog.get_logger()


class AgentRegistration:
    """Keeps one process registered.

    Args:
        endpoint: host:port of the agent.
        tls: the process's files.
        application: name of its Application object, as in its certificate.
        component: kind of its member key in etcd, as lrm; empty when it has none.
        leases: gives its leases in etcd as they are now.
        hang_timeout_s: time without heartbeat after which the agent kills it, in seconds; 0: never.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        tls: TlsFiles,
        application: str,
        component: str,
        leases: Callable[[], Sequence[int]],
        hang_timeout_s: float = 0.0,
    ) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._first = agent_pb2.RegisterProcessRequest(
            application=application,
            component=component,
            process=process_identity(),
            hang_timeout_ms=int(hang_timeout_s * 1000),
        )
        self._leases = leases
        self._interval_s = hang_timeout_s / _HEARTBEATS_PER_TIMEOUT if hang_timeout_s else 5.0
        self._changed = asyncio.Event()
        self.watching = False

    def leases_changed(self) -> None:
        """Tell the agent of new leases at once instead of with the next heartbeat."""
        self._changed.set()

    async def run(self) -> None:
        """Register, and again after each loss of the agent, until cancelled."""
        async with open_channel(self._endpoint, self._tls) as channel:
            stub = agent_pb2_grpc.LocalAgentServiceStub(channel)
            while True:
                try:
                    async for answer in stub.RegisterProcess(self._requests(), wait_for_ready=True):
                        self.watching = answer.watching
                except grpc.aio.AioRpcError as error:
                    _log.warning(
                        "no agent watches this process", agent=self._endpoint, detail=error.details()
                    )
                self.watching = False
                await asyncio.sleep(_RETRY_S)

    async def _requests(self) -> AsyncIterator[agent_pb2.RegisterProcessRequest]:
        while True:
            self._changed.clear()
            request = agent_pb2.RegisterProcessRequest()
            request.CopyFrom(self._first)
            request.lease_ids.extend(self._leases())
            yield request
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
