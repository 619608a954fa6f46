"""Composition root: the only module that names the real adapters of a Local Control Agent."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata

from confapi.config.v1 import objects_pb2
from confapi.control.v1 import agent_pb2_grpc
from confclient.cache import Cache
from confclient.processes import process_identity
from confkit.attachment import Attachment
from confkit.clock import SystemClock
from confkit.coordination import etcd_client
from confkit.election.ports import CoordinationRefused, CoordinationUnavailable
from confkit.events import EventLog
from confkit.process import ExitStatus, Shutdown, notify_ready
from confkit.server import GrpcServer
from confkit.tasks import end
from local_agent.adapters.configuration import TYPES, CachedDirectory, ExitReports
from local_agent.adapters.etcd_leases import EtcdLeases
from local_agent.adapters.host_processes import PidfdProcesses
from local_agent.adapters.ledger import FileLedger
from local_agent.agent import Agent, Hands
from local_agent.api import POLICY, SERVICE, LocalAgentService
from local_agent.core.model import Configured
from local_agent.orders import Orders
from local_agent.settings import LocalAgentSettings

COMPONENT = "lca"
WARM_S = 5.0
"""How often etcd is asked something, in seconds, so that the connection for the next revocation stands."""

_GRACE_S = 1.0


async def serve(settings: LocalAgentSettings, shutdown: Shutdown) -> int:
    """Run an agent until `shutdown`; gives the exit status. What it has started runs on.

    Raises BindError, SettingsError: see their texts.
    """
    events = EventLog(application=settings.name, component=COMPONENT)
    version = importlib.metadata.version("confserv")
    server = GrpcServer(
        listen=settings.listen, tls=settings.tls.files(), cluster=settings.cluster, policy=POLICY
    )
    bound = server.bind()
    endpoint = settings.advertise or bound
    async with contextlib.AsyncExitStack() as stack:
        attachment = Attachment(
            settings,
            application_type=objects_pb2.APPLICATION_TYPE_LOCAL_CONTROL_AGENT,
            version=version,
            endpoints=(endpoint,),
            events=events,
            follows_license=False,
        )
        living = await _start(settings, server, attachment, events, stack)
        await server.start()
        stack.push_async_callback(server.stop, _GRACE_S)
        await server.set_serving(serving=True)
        events.emit("00-25000", version=version)
        notify_ready(f"{COMPONENT} {settings.name} at {endpoint}")
        asked = asyncio.create_task(shutdown.wait())
        stack.push_async_callback(end, asked)
        await asyncio.wait({living, asked}, return_when=asyncio.FIRST_COMPLETED)
        if living.done():
            living.result()  # a broken invariant ends the process
        events.emit("00-25001", detail=shutdown.reason)
    return ExitStatus.DONE


async def _start(
    settings: LocalAgentSettings,
    server: GrpcServer,
    attachment: Attachment,
    events: EventLog,
    stack: contextlib.AsyncExitStack,
) -> asyncio.Task[None]:
    """Join agent, etcd and configuration, and start them; gives the agent's task. The stack ends everything."""
    own = process_identity()
    etcd = etcd_client(settings.required_etcd())
    stack.push_async_callback(etcd.close)
    leases = EtcdLeases(etcd, cluster=settings.cluster)
    processes = PidfdProcesses(output_dir=settings.data_dir / "output")
    stack.callback(processes.close)
    agent = Agent(
        hands=Hands(
            processes,
            leases,
            ExitReports(attachment.channel),
            FileLedger(settings.data_dir / f"{settings.name}.processes.json"),
        ),
        clock=SystemClock(),
        events=events,
    )
    cache = Cache(attachment.channel, types=TYPES)
    directory = CachedDirectory(cache)
    orders = Orders(
        agent=agent,
        processes=processes,
        leases=leases,
        directory=directory,
        host=own.host,
        host_name=settings.host_name,
        boot_id=own.boot_id,
    )
    server.add(
        agent_pb2_grpc.add_LocalAgentServiceServicer_to_server,
        LocalAgentService(agent=agent, orders=orders),
        SERVICE,
    )
    await stack.enter_async_context(attachment)
    stack.push_async_callback(agent.close)
    agent.start()
    living = asyncio.create_task(agent.run())
    configuring = _configure(attachment, cache, directory, agent, settings.host_name)
    for work in (living, asyncio.create_task(_warm(leases)), asyncio.create_task(configuring)):
        stack.push_async_callback(end, work)
    stack.push_async_callback(cache.close)
    return living


async def _configure(
    attachment: Attachment, cache: Cache, directory: CachedDirectory, agent: Agent, host_name: str
) -> None:
    """Follow the applications of this host."""
    cache.listen(lambda _: agent.handle(Configured(directory.specs(host_name))))
    await attachment.follow(cache)


async def _warm(leases: EtcdLeases) -> None:
    while True:
        with contextlib.suppress(CoordinationUnavailable, CoordinationRefused):
            await leases.members(COMPONENT)
        await asyncio.sleep(WARM_S)
