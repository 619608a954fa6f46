"""What the demo stands on: a cluster, applications that use it, and eyes on it.

It waits for conditions and reads what people would read: the central log, the status of servers, the output of
commands. It claims nothing; `story` does.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from confapi.license.v1 import license_pb2
from confapi.message.v1 import message_pb2
from confclient.channel import ServiceChannel
from confclient.rpcs import GET_COMPLIANCE, QUERY_EVENTS, RequestT, ResponseT, Rpc
from confcluster.cluster import Cluster
from confcluster.programs import installed
from confcluster.report import ClaimBroken
from confcluster.shops import Shop
from confcluster.status import ask

_POLL_S = 0.02
_COLUMNS = 116


class Stage:
    """A cluster and the applications that play in it."""

    def __init__(self, cluster: Cluster) -> None:
        """`cluster` is planned; nothing of it has to run."""
        self.cluster = cluster
        self._shops: list[Shop] = []
        self._channels: dict[str, ServiceChannel] = {}

    async def close(self) -> None:
        """End every application and connection."""
        for shop in self._shops:
            await asyncio.to_thread(shop.handle.kill)
        for channel in self._channels.values():
            await channel.close()

    # hands

    async def start(self, *names: str) -> float:
        """Start processes and wait until they are ready; the seconds that it took."""
        began_s = time.monotonic()
        await asyncio.to_thread(self.cluster.start, *names)
        return time.monotonic() - began_s

    async def open_shop(self, name: str, *arguments: str, run: str = "") -> Shop:
        """Start the business application `name`."""
        shop = await asyncio.to_thread(Shop.start, self.cluster, name, *arguments, run=run)
        self._shops.append(shop)
        return shop

    async def run(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one of the programs that are installed, and give what it said and its exit status."""
        command = [installed(program), *map(str, arguments)]
        environment = {**os.environ, "COLUMNS": str(_COLUMNS)}
        return await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=False, env=environment
        )

    async def tool(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one of the tools of people on the cluster: confctl, administrator, itc."""
        return await self.run(program, "--cluster", self.cluster.directory, *arguments)

    async def upload(self, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `confserv -license FILE`."""
        return await asyncio.to_thread(self.cluster.load_license, file, *options)

    # eyes

    async def ask(self, component: str, rpc: Rpc[RequestT, ResponseT], request: RequestT) -> ResponseT:
        """Call the primary of a component as administrator."""
        channel = self._channels.get(component)
        if channel is None:
            channel = self._channels[component] = ServiceChannel(
                self.cluster.endpoints(component), self.cluster.tls("administrator"), component=component
            )
        return await channel.unary(rpc, request)

    async def events(self, *numbers: str) -> list[message_pb2.LogEvent]:
        """Events of the central log with one of `numbers`, in the order in which they were logged."""
        request = message_pb2.QueryEventsRequest(
            filter=message_pb2.EventFilter(event_ids=numbers), limit=1000
        )
        answer = await self.ask("message-server", QUERY_EVENTS, request)
        return sorted((stored.event for stored in answer.events), key=lambda event: event.time_ms)

    async def compliance(self) -> license_pb2.GetComplianceResponse:
        """Stage, compliance, and which License Reporting Managers are bound."""
        return await self.ask("confserv", GET_COMPLIANCE, license_pb2.GetComplianceRequest())

    async def primary(self, component: str = "confserv") -> str:
        """Name of the process that says that it is primary; empty when there is not exactly one."""
        found = [name for name, role in (await self.roles(component)).items() if role == "primary"]
        return found[0] if len(found) == 1 else ""

    async def roles(self, component: str = "confserv") -> dict[str, str]:
        """What each running process of a component says that it is."""
        tls = self.cluster.tls("administrator")
        running = [
            p for p in self.cluster.topology.of(component) if self.cluster.handles[p.name].is_running()
        ]
        answers = await asyncio.gather(
            *(asyncio.to_thread(ask, process.endpoint, tls) for process in running)
        )
        return {process.name: role for process, (role, _) in zip(running, answers, strict=True)}

    async def until(self, condition: Callable[[], Awaitable[object]], *, within_s: float, what: str) -> float:
        """Wait until `condition` gives something true; the seconds that it took. Raises ClaimBroken."""
        began_s = time.monotonic()
        while not await condition():
            if time.monotonic() - began_s > within_s:
                raise ClaimBroken(f"not within {within_s:g} s: {what}")
            await asyncio.sleep(_POLL_S)
        return time.monotonic() - began_s

    async def until_shops(
        self, shops: Sequence[Shop], condition: Callable[[Shop], object], *, within_s: float, what: str
    ) -> float:
        """Wait until `condition` holds for each of `shops`; the seconds that it took. Raises ClaimBroken."""

        async def holds() -> bool:
            return all(condition(shop) for shop in shops)

        return await self.until(holds, within_s=within_s, what=what)

    async def until_pair(self) -> None:
        """Wait for one primary and one backup of the Configuration Server."""

        async def stands() -> bool:
            return {"primary", "backup"} == set((await self.roles()).values())

        await self.until(stands, within_s=20, what="a primary and a warm backup")


def last_line(lines: str) -> str:
    """The last line of what a command said."""
    return (lines.strip().splitlines() or [""])[-1]


def numbers(events: Sequence[message_pb2.LogEvent]) -> list[str]:
    """Numbers of events, in their order, repetitions in a row left out."""
    found = [event.event_id for event in events]
    return [number for index, number in enumerate(found) if index == 0 or found[index - 1] != number]
