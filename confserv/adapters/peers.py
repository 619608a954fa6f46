"""Asking another member of the pair whether it is ready to succeed."""

from __future__ import annotations

import grpc.aio

from confapi.ha.v1 import ha_pb2, ha_pb2_grpc
from confclient.credentials import TlsFiles, open_channel
from confkit.election.types import Member


class Peers:
    """Keeps one channel to each member that was asked, so that the next question costs no handshake."""

    def __init__(self, tls: TlsFiles) -> None:
        """Prove this server with `tls`."""
        self._tls = tls
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def is_ready(self, member: Member, *, timeout_s: float) -> bool:
        """Ask a member itself whether it would promote itself now; no answer within `timeout_s` seconds is no."""
        for endpoint in member.facts.endpoints:
            stub = ha_pb2_grpc.MemberServiceStub(self._channel(endpoint))
            try:
                status = await stub.GetStatus(ha_pb2.GetStatusRequest(), timeout=timeout_s)
            except grpc.aio.AioRpcError:
                continue
            return bool(status.self.instance == member.instance and status.self.promotable)
        return False

    async def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    def _channel(self, endpoint: str) -> grpc.aio.Channel:
        if endpoint not in self._channels:
            self._channels[endpoint] = open_channel(endpoint, self._tls)
        return self._channels[endpoint]
