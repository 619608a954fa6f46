"""What the demo stands on: a cluster, applications that use it, and eyes on it.

It waits for conditions and reads what people would read: the central log, the status of servers, the output of
commands. It claims nothing; `story` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from confapi.config.v1 import objects_pb2
from confapi.license.v1 import license_pb2
from confapi.message.v1 import message_pb2
from confclient.channel import ServiceChannel
from confclient.client import Client, connect
from confclient.errors import ConfservError
from confclient.rpcs import GET_COMPLIANCE, QUERY_EVENTS, RequestT, ResponseT, Rpc
from confclient.session_rules import SessionState

from confcluster.cluster import Cluster
from confcluster.report import ClaimBroken
from confcluster.status import ask

_POLL_S = 0.02
_COLUMNS = 116


class Stage:
    """A cluster and the applications that play in it."""

    def __init__(self, cluster: Cluster) -> None:
        """`cluster` is planned; nothing of it has to run."""
        self.cluster = cluster
        self.applications: dict[str, Client] = {}
        self.told: dict[str, list[tuple[SessionState, str]]] = {}
        self._channels: dict[str, ServiceChannel] = {}
        self._open = contextlib.AsyncExitStack()
        self._connecting: dict[str, asyncio.Task[Client]] = {}

    async def close(self) -> None:
        """Close every application and connection."""
        for task in self._connecting.values():
            task.cancel()
        await asyncio.gather(*self._connecting.values(), return_exceptions=True)
        with contextlib.suppress(ConfservError):
            await self._open.aclose()
        for channel in self._channels.values():
            await channel.close()

    # applications

    def connect(self, name: str) -> asyncio.Task[Client]:
        """Begin to connect the business application `name`; the task ends once its session is open."""
        self.cluster.authority.issue("application", name, cluster=self.cluster.options.cluster)
        self.told[name] = []
        self._connecting[name] = asyncio.create_task(self._connect(name))
        return self._connecting[name]

    async def _connect(self, name: str) -> Client:
        client = await self._open.enter_async_context(
            connect(
                endpoints=self.cluster.endpoints("confserv"),
                tls=self.cluster.tls(name),
                application=name,
                application_type=objects_pb2.APPLICATION_TYPE_GENERIC_SERVER,
                spool_dir=self.cluster.places.data(name),
                on_session=lambda state, detail: self.told[name].append((state, detail)),
            )
        )
        self.applications[name] = client
        return client

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

    async def until_pair(self) -> None:
        """Wait for one primary and one backup of the Configuration Server."""

        async def stands() -> bool:
            return {"primary", "backup"} == set((await self.roles()).values())

        await self.until(stands, within_s=20, what="a primary and a warm backup")

    # hands

    async def start(self, *names: str) -> float:
        """Start processes and wait until they are ready; the seconds that it took."""
        began_s = time.monotonic()
        await asyncio.to_thread(self.cluster.start, *names)
        return time.monotonic() - began_s

    async def run(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one of the programs that are installed, and give what it said and its exit status."""
        command = [installed(program), *map(str, arguments)]
        environment = {**os.environ, "COLUMNS": str(_COLUMNS)}
        return await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=False, env=environment
        )

    async def confctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `confctl` on the cluster."""
        return await self.run("confctl", "--cluster", self.cluster.directory, *arguments)

    async def upload(self, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `confserv -license FILE`."""
        return await asyncio.to_thread(self.cluster.load_license, file, *options)


def installed(program: str) -> str:
    """Path of a program that is installed beside this one's interpreter."""
    return str(Path(sys.executable).with_name(program))


def last_line(lines: str) -> str:
    """The last line of what a command said."""
    return (lines.strip().splitlines() or [""])[-1]


def numbers(events: Sequence[message_pb2.LogEvent]) -> list[str]:
    """Numbers of events, in their order."""
    return [event.event_id for event in events]
