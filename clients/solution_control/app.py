"""Composition root: the only module that names the real adapters of Solution Control."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata

from confapi.config.v1 import objects_pb2
from confapi.control.v1 import control_pb2_grpc
from confclient.cache import Cache
from confkit.attachment import Attachment
from confkit.coordination import coordination, etcd_client, reach_etcd
from confkit.elected import ElectedServer, Program
from confkit.election.types import InstanceName
from confkit.events import EventLog
from confkit.member_service import not_primary
from confkit.notices import announcer
from confkit.process import Shutdown
from confkit.tasks import end
from solution_control.adapters.agents import AgentLinks
from solution_control.adapters.configuration import TYPES, CachedDirectory, ListedSessions
from solution_control.adapters.pairs import MemberPairs
from solution_control.api import POLICY, SERVICE, SolutionControlService
from solution_control.component import SolutionControl
from solution_control.control import Control, Sources
from solution_control.settings import SolutionControlSettings

COMPONENT = "solution-control"


async def serve(settings: SolutionControlSettings, shutdown: Shutdown, *, take_over: bool = False) -> int:
    """Run Solution Control until `shutdown`; gives the exit status. `take_over` is an operator's order (B-40).

    Raises BindError, CoordinationRefused, CoordinationUnavailable, TimingImpossible: see their texts.
    """
    events = EventLog(application=settings.name, component=COMPONENT)
    version = importlib.metadata.version("confserv")
    program = Program(COMPONENT, version, POLICY, take_over=take_over, announce=announcer(events))
    server = ElectedServer(settings, program)
    endpoint = server.bind()
    async with contextlib.AsyncExitStack() as stack:
        etcd = etcd_client(settings.required_etcd())
        stack.push_async_callback(etcd.close)
        coordinated = coordination(settings, etcd, component=COMPONENT)
        await reach_etcd(coordinated, settings.required_etcd())
        attachment = Attachment(
            settings,
            application_type=objects_pb2.APPLICATION_TYPE_SOLUTION_CONTROL_SERVER,
            version=version,
            endpoints=(endpoint,),
            events=events,
        )
        cache = Cache(attachment.channel, types=TYPES)
        directory = CachedDirectory(cache)
        agents = AgentLinks(settings.tls.files(), events)
        stack.push_async_callback(agents.close)
        pairs = MemberPairs(directory, settings.tls.files())
        stack.push_async_callback(pairs.close)
        component = SolutionControl(
            instance=InstanceName(settings.name),
            ha_licensed=lambda: attachment.license.ha_licensed,
            status=lambda: {"applications": str(len(directory.applications()))},
            events=events,
            take_over=take_over,
        )
        election = server.elect(component, coordinated)

        def require_primary() -> None:
            if election.epoch_now() is None:
                raise not_primary(election.primary(), here=settings.name)

        control = Control(
            Sources(directory, agents, pairs, ListedSessions(attachment.channel)),
            ha_licensed=lambda: attachment.license.ha_licensed,
            events=events,
        )
        server.add(
            control_pb2_grpc.add_SolutionControlServiceServicer_to_server,
            SolutionControlService(control=control, require_primary=require_primary),
            SERVICE,
        )
        await stack.enter_async_context(attachment)
        stack.push_async_callback(end, asyncio.create_task(_configure(attachment, cache, directory, agents)))
        stack.push_async_callback(cache.close)
        events.emit("00-25000", version=version)
        return await server.run(shutdown)


async def _configure(
    attachment: Attachment, cache: Cache, directory: CachedDirectory, agents: AgentLinks
) -> None:
    """Follow the configuration; the agents are those of its hosts."""
    cache.listen(lambda _: agents.configure(directory.hosts()))
    await attachment.follow(cache)
