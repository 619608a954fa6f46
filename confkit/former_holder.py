"""Ends a former holder of a store that serves one host, through the Local Control Agent of that host.

A process that was stopped inside its transaction would block its successor for as long as it is stopped. The agent
kills exactly the process that the fence row names, and no other (`ha.md`, Fencing in the database).
"""

from __future__ import annotations

import grpc.aio

from confapi.control.v1 import agent_pb2, agent_pb2_grpc
from confapi.ha.v1 import ha_pb2
from confclient.credentials import TlsFiles, open_channel
from confkit.fence import FenceRow

_TIMEOUT_S = 3.0


class AgentFormerHolder:
    """Asks the agent at `endpoint` (host:port) to kill exactly the process that a fence row names."""

    def __init__(self, endpoint: str, tls: TlsFiles) -> None:
        self._endpoint = endpoint
        self._tls = tls

    async def end(self, row: FenceRow, *, reason: str) -> bool:
        """Have it killed; False when the agent does not answer or refuses."""
        process = ha_pb2.ProcessIdentity(
            host=row.host, boot_id=row.boot_id, pid=row.pid, start_time_ticks=row.process_start_ticks
        )
        async with open_channel(self._endpoint, self._tls) as channel:
            stub = agent_pb2_grpc.LocalAgentServiceStub(channel)
            try:
                answer = await stub.KillProcess(
                    agent_pb2.KillProcessRequest(process=process, reason=reason), timeout=_TIMEOUT_S
                )
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.gone)
