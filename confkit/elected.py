"""The life of an elected server, the same for every component: bind, elect, serve, hand over, leave.

A composition root gives it settings, a component and services; it joins them to etcd, to the gRPC server, to
the Local Control Agent and to the metrics, and ends in order: hand the role over, finish calls, close. It
decides nothing: who is primary is the election's business, what that means is the component's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from confapi.ha.v1 import ha_pb2_grpc
from confclient.errors import ConfservError
from confclient.processes import process_identity
from confkit import member_service
from confkit.agent_client import AgentRegistration
from confkit.clock import boottime
from confkit.election.flapping import Flapping
from confkit.election.messages import Announce
from confkit.election.ports import Component, Coordination
from confkit.election.runner import Election
from confkit.election.timing import Timing
from confkit.election.types import InstanceName, Member, ProcessFacts, State
from confkit.metrics import Reading, serve_metrics
from confkit.process import ExitStatus, Shutdown, notify_ready
from confkit.server import GrpcServer, Policy
from confkit.settings import ProcessSettings

_GRACE_S = 2.0


class Served(Protocol):
    """What the life of a server asks of what it serves, besides `Component`."""

    def attributes(self) -> Mapping[str, str]:
        """What the component adds to its status, as name and value."""

    def refuse_switchover(self) -> ConfservError | None:
        """The refusal of a planned switchover that the license does not allow (B-40); logs its own event."""


class ElectedComponent(Component, Served, Protocol):
    """A component of an elected server."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is known of a server before it starts.

    Attributes:
        component: kind of its keys in etcd, as lrm.
        version: of the program.
        policy: who may call its services; MemberService's own is added.
        take_over: an operator orders it to take the role by hand (B-40).
        announce: told of every notice of the election, for the log.
    """

    component: str
    version: str
    policy: Policy
    take_over: bool = False
    announce: Callable[[Announce], None] | None = None


class ElectedServer:
    """One elected server. Use it in this order: `bind`, `elect`, `add`, `run`.

    Args:
        settings: its settings.
        program: what is known of it.
    """

    def __init__(self, settings: ProcessSettings, program: Program) -> None:
        self._settings = settings
        self._program = program
        self._tls = settings.tls.files()
        self._grpc = GrpcServer(
            listen=settings.listen,
            tls=self._tls,
            cluster=settings.cluster,
            policy={**member_service.POLICY, **program.policy},
        )
        self._election: Election | None = None
        self._component: ElectedComponent | None = None
        self._facts = ProcessFacts(instance=InstanceName(settings.name))

    @property
    def election(self) -> Election:
        """Its election, after `elect`."""
        assert self._election is not None, "elect comes first"
        return self._election

    @property
    def facts(self) -> ProcessFacts:
        """Who this process is, after `bind`."""
        return self._facts

    def bind(self) -> str:
        """Bind the address and return the endpoint that others are told. Raises BindError."""
        bound = self._grpc.bind()
        endpoint = self._settings.advertise or bound
        process = process_identity()
        self._facts = ProcessFacts(
            instance=InstanceName(self._settings.name),
            endpoints=(endpoint,),
            version=self._program.version,
            host=process.host,
            pid=process.pid,
            process_start_ticks=process.start_time_ticks,
            boot_id=process.boot_id,
        )
        return endpoint

    def elect(self, component: ElectedComponent, coordination: Coordination) -> Election:
        """Make the election of `component`, and its MemberService.

        Raises:
            TimingImpossible: the lease's times cannot work.
        """
        assert self._facts.endpoints, "bind comes first"
        self._component = component
        etcd = self._settings.required_etcd()
        self._election = Election(
            coordination=coordination,
            component=component,
            facts=self._facts,
            timing=Timing(lease_ttl_s=etcd.lease_ttl_s),
            flapping=Flapping(limit=etcd.role_changes, window_s=etcd.role_window_s),
            first_contact_s=etcd.first_contact_s,
            take_over=self._program.take_over,
            announce=self._program.announce,
        )
        self.add(
            ha_pb2_grpc.add_MemberServiceServicer_to_server,
            member_service.MemberService(
                cluster=self._settings.cluster,
                component=self._program.component,
                facts=self._facts,
                leadership=self._election,
                own=self._member,
                attributes=component.attributes,
                refuse_switchover=component.refuse_switchover,
            ),
            member_service.SERVICE,
        )
        return self._election

    def add(self, register: Callable[[Any, Any], None], servicer: object, service: str) -> None:
        """Add a service; see `GrpcServer.add`."""
        self._grpc.add(register, servicer, service)

    async def run(self, shutdown: Shutdown) -> int:
        """Serve until `shutdown`, then hand over, finish and leave.

        Returns the exit status. What the election or the component raised is raised: it ends the process.
        """
        await self._grpc.start()
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._grpc.stop, _GRACE_S)
            if self._settings.metrics:
                stack.callback(self._serve_metrics())
            election = asyncio.create_task(self.election.run(), name="election")
            stack.push_async_callback(_end, election)
            if self._settings.agent:
                stack.push_async_callback(_end, asyncio.create_task(self._register(), name="agent"))
            await self._grpc.set_serving(serving=True)
            notify_ready(f"{self._program.component} {self._settings.name} at {self._facts.endpoints[0]}")
            asked = asyncio.create_task(shutdown.wait(), name="shutdown")
            stack.push_async_callback(_end, asked)
            await asyncio.wait({election, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not election.done():
                await self.election.stop(hand_over=True)
            await election
        return ExitStatus.DONE

    async def _register(self) -> None:
        registration = AgentRegistration(
            endpoint=self._settings.agent,
            tls=self._tls,
            application=self._settings.name,
            component=self._program.component,
            leases=lambda: () if self.election.lease_id is None else (self.election.lease_id,),
            hang_timeout_s=self._settings.hang_timeout_s,
        )
        unsubscribe = self.election.subscribe(_on_change(lambda: self.election.lease_id, registration))
        try:
            await registration.run()
        finally:
            unsubscribe()

    def _member(self) -> Member:
        assert self._component is not None
        return Member(
            facts=self._facts,
            role=self.election.state,
            state=self._component.member(),
            lease=self.election.lease_id or _NO_LEASE,
        )

    def _serve_metrics(self) -> Callable[[], None]:
        return serve_metrics(
            self._settings.metrics,
            self._tls,
            component=self._program.component,
            instance=self._settings.name,
            read=self._reading,
        )

    def _reading(self) -> Reading:
        own = self._member()
        epoch = self.election.epoch_at(boottime())
        assert self._component is not None
        attributes = dict(self._component.attributes())
        compliance = attributes.get("compliance")
        states: dict[str, tuple[str, tuple[str, ...]]] = {
            "role": (own.role.value, tuple(state.value for state in State))
        }
        if compliance is not None:
            states["compliance"] = (compliance, _COMPLIANCE)
        return Reading(
            states=states,
            numbers={
                "applied_revision": own.state.applied_revision,
                "epoch_generation": epoch.generation if epoch else 0,
                "epoch_mod_revision": epoch.mod_revision if epoch else 0,
            },
            info={"version": self._program.version},
        )


_NO_LEASE: Any = 0
_COMPLIANCE = ("OK", "WARNING", "FEATURE_EXPIRED", "EXPIRED", "INVALID")


def _on_change(lease: Callable[[], int | None], registration: AgentRegistration) -> Callable[[], None]:
    """Tell the agent of a lease only when it is another one."""
    told: list[int | None] = [None]

    def changed() -> None:
        now = lease()
        if now != told[0]:
            told[0] = now
            registration.leases_changed()

    return changed


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
