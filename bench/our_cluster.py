"""Our side: a local cluster as `confserv-cluster up` makes it, with every default that a user has.

Configuration Server pair, agent and one etcd member, TLS everywhere, SQLite with synchronous=FULL. The client is
the library: it writes one option of 1 KB, each write under its own request id.
"""

from __future__ import annotations

import asyncio
import pathlib
import time
from types import TracebackType

from google.protobuf.any_pb2 import Any as PackedBody

from confapi.config.v1 import objects_pb2
from confapi.ha.v1 import ha_pb2
from confclient.channel import ServiceChannel
from confclient.objects import Objects, key_of
from confclient.rpcs import GET_STATUS, SWITCH_OVER
from confcluster.cluster import Cluster
from confcluster.topology import Options


class OurCluster:
    """A pair below `folder`, and a client that writes to it."""

    def __init__(self, folder: pathlib.Path, *, database: str = "sqlite") -> None:
        self._options = Options(database=database, lrm=0, licman=0, message_servers=0, solution_controls=0)
        self._folder = folder
        self._cluster: Cluster | None = None
        self._channel: ServiceChannel | None = None
        self._dbid = 0

    @property
    def description(self) -> str:
        """What is measured, for the results."""
        return (
            f"pair of Configuration Servers, {self._options.database}, 1 etcd member, agent, TLS, "
            f"lease {self._options.lease_ttl_s} s, one sequential writer of 1 KB through the client library"
        )

    @property
    def cluster(self) -> Cluster:
        """The cluster, inside the with block."""
        assert self._cluster is not None
        return self._cluster

    async def __aenter__(self) -> OurCluster:
        self._cluster = await asyncio.to_thread(Cluster.create, self._folder, self._options)
        try:
            await asyncio.to_thread(self._cluster.up)
        except BaseException:
            await asyncio.to_thread(self._cluster.down)
            raise
        tls = self._cluster.tls("administrator")
        self._channel = ServiceChannel(
            self._cluster.endpoints("confserv"), tls, component="Configuration Server"
        )
        self._channel.warm()
        body = PackedBody()
        body.Pack(objects_pb2.Person())
        person = objects_pb2.ConfigObject(type="Person", name="bench", tenant=1, body=body)
        self._dbid = (await Objects(self._channel).create(person)).object.dbid
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._channel is not None:
            await self._channel.close()
        await asyncio.to_thread(self.cluster.down)

    async def put(self, number: int) -> None:
        """One acknowledged write of 1 KB, at whichever server is primary."""
        assert self._channel is not None
        item = objects_pb2.ConfigObject()
        item.options.sections["bench"].options["value"] = f"{number:08d}" * 128
        await Objects(self._channel).update(
            key_of("Person", dbid=self._dbid), item, mask=["options.bench.value"]
        )

    async def status(self) -> ha_pb2.GetStatusResponse:
        """The status, from whoever is primary."""
        assert self._channel is not None
        return await self._channel.unary(GET_STATUS, ha_pb2.GetStatusRequest())

    async def switch_over(self) -> None:
        """Hand the role to the other server."""
        assert self._channel is not None
        await self._channel.unary(SWITCH_OVER, ha_pb2.SwitchOverRequest(reason="benchmark"), timeout_s=20)

    async def kill_primary(self) -> str:
        """Kill the primary with SIGKILL and return its name."""
        name = (await self.status()).primary.instance
        self.cluster.handle(name).kill()
        return name

    async def restart(self, name: str) -> None:
        """Start a server again and wait until it may be promoted."""
        await asyncio.to_thread(self.cluster.start, name)
        await self.until_warm()

    async def until_warm(self, *, timeout_s: float = 30.0) -> None:
        """Wait until a backup would promote itself, as an operator would before a planned switchover."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            status = await self.status()
            others = [member for member in status.members if member.instance != status.primary.instance]
            if any(member.promotable for member in others):
                return
            if time.monotonic() > deadline_s:
                raise TimeoutError("no backup became warm")
            await asyncio.sleep(0.05)
