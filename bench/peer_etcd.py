"""The peer: three etcd members over TLS, default timings, a client that knows all three.

The client does what a careful application does: one connection to each member, a write is tried at the next
member when one fails or has not answered within half a second.
"""

from __future__ import annotations

import asyncio
import pathlib
import signal
import subprocess
import time
from types import TracebackType

import grpc
import grpc.aio
from aetcd import rpc

from confclient.credentials import channel_credentials
from confcluster.etcd import EtcdMember, EtcdTls, command, find_etcd, wait_ready
from confcluster.pki import CertificateAuthority
from confcluster.ports import free_ports

ATTEMPT_S = 0.5


class EtcdCluster:
    """Three members below `folder`."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._program = find_etcd()
        tls = CertificateAuthority.open(folder / "pki").issue("etcd", "peer", cluster="bench")
        self._credentials = channel_credentials(tls)
        files = EtcdTls(ca=tls.ca, certificate=tls.certificate, key=tls.key)
        ports = free_ports(6)
        self._members = [
            EtcdMember(
                name=f"peer-{number}",
                data_dir=folder / f"peer-{number}",
                client_port=ports[2 * number],
                peer_port=ports[2 * number + 1],
                tls=files,
            )
            for number in range(3)
        ]
        self._log = (folder / "etcd-peer.log").open("ab")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._preferred = 0

    @property
    def description(self) -> str:
        """What the peer is, for the results."""
        return f"etcd {self._program.version_text}, 3 members on this machine, TLS, default timings"

    async def __aenter__(self) -> EtcdCluster:
        for member in self._members:
            self._start(member)
        self._wait_ready()
        for member in self._members:
            self._channels[member.name] = grpc.aio.secure_channel(
                member.client_endpoint,
                self._credentials,
                options=[("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 500)],
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels.values():
            await channel.close()
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._log.close()

    def _start(self, member: EtcdMember) -> None:
        arguments = command(self._program, member, self._members, cluster="bench")
        self._processes[member.name] = subprocess.Popen(arguments, stdout=self._log, stderr=self._log)

    def _wait_ready(self) -> None:
        wait_ready(
            [member.client_endpoint for member in self._members], credentials=self._credentials, timeout_s=30
        )

    async def put(self, number: int) -> None:
        """One acknowledged write of 1 KB."""
        request = rpc.PutRequest(key=b"/bench/key", value=number.to_bytes(8, "big") * 128)
        while True:
            channel = self._channels[self._members[self._preferred].name]
            try:
                await rpc.KVStub(channel).Put(request, timeout=ATTEMPT_S)
            except grpc.aio.AioRpcError:
                self._preferred = (self._preferred + 1) % len(self._members)
                await asyncio.sleep(0.01)
            else:
                return

    async def leader(self) -> EtcdMember:
        """The member that leads now."""
        deadline_s = time.monotonic() + 30
        while time.monotonic() < deadline_s:
            for member in self._members:
                try:
                    stub = rpc.MaintenanceStub(self._channels[member.name])
                    status = await stub.Status(rpc.StatusRequest(), timeout=ATTEMPT_S)
                except grpc.aio.AioRpcError:
                    continue
                if status.leader and status.leader == status.header.member_id:
                    return member
            await asyncio.sleep(0.02)
        raise TimeoutError("etcd has no leader")

    async def move_leader(self) -> None:
        """Hand the lead to another member."""
        leader = await self.leader()
        channel = self._channels[leader.name]
        members = await rpc.ClusterStub(channel).MemberList(rpc.MemberListRequest(), timeout=5)
        target = next(member.ID for member in members.members if member.name != leader.name)
        await rpc.MaintenanceStub(channel).MoveLeader(rpc.MoveLeaderRequest(targetID=target), timeout=10)

    async def kill_leader(self) -> EtcdMember:
        """Kill the leader with SIGKILL."""
        leader = await self.leader()
        process = self._processes[leader.name]
        process.send_signal(signal.SIGKILL)
        process.wait()
        return leader

    async def restart(self, member: EtcdMember) -> None:
        """Start a member again and wait until all are ready."""
        self._start(member)
        await asyncio.to_thread(self._wait_ready)
