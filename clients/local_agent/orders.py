"""Registrations and orders from outside: what they claim is checked, then the machine is told.

The rules are in `core.registration`; here are the books that they are held against: the kernel's, and etcd's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from confclient.errors import (
    InvalidError,
    NotFoundError,
    RegistrationRefusedError,
    UnavailableError,
    WrongHostError,
)
from confclient.identity import Principal
from confkit.election.ports import CoordinationRefused, CoordinationUnavailable
from confkit.election.types import Member
from local_agent.agent import Agent, settled
from local_agent.core.model import (
    Application,
    ApplicationName,
    KillOrdered,
    ProcessKey,
    Registered,
    RunState,
    StartOrdered,
    StopOrdered,
)
from local_agent.core.registration import Books, kill_refusal, registration_refusal
from local_agent.ports import Directory, HostProcesses, Leases

MEMBER_KEY_PATIENCE_S = 3.0
"""How long a registration waits for its member key, in seconds: a server writes it right after its lease."""

SPAWN_PATIENCE_S = 10.0
KILL_PATIENCE_S = 5.0

_RETRY_S = 0.05


class Orders:
    """What others may ask of this agent. `host` and `boot_id` are this host's own."""

    def __init__(
        self,
        *,
        agent: Agent,
        processes: HostProcesses,
        leases: Leases,
        directory: Directory,
        host: str,
        host_name: str,
        boot_id: str,
    ) -> None:
        self._agent = agent
        self._processes = processes
        self._leases = leases
        self._directory = directory
        self._host = host
        self._host_name = host_name
        self._boot_id = boot_id

    async def register(self, claim: Registered, principal: Principal) -> None:
        """Check a registration and have the process watched; returns once that is on disk.

        Raises RegistrationRefusedError, UnavailableError.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + MEMBER_KEY_PATIENCE_S
        while True:
            refusal = registration_refusal(
                claim, name=principal.name, role=principal.role, books=await self._books(claim)
            )
            if refusal is None:
                break
            if not claim.lease_ids or loop.time() >= deadline_s:
                raise RegistrationRefusedError(
                    f"process {claim.process.pid} is not watched: {refusal}", pid=claim.process.pid
                )
            await asyncio.sleep(_RETRY_S)
        self._agent.handle(claim)
        await self._agent.saved()

    async def start(self, name: ApplicationName) -> Application:
        """Start an application; returns once its process exists, or could not be made.

        Raises NotFoundError, WrongHostError, InvalidError.
        """
        self._check_is_here(name)
        spec = self._agent.machine.applications.spec(name)
        if spec is not None and not spec.command_line:
            raise InvalidError(
                f"{name} has no command line: set `command_line` of its Application object", application=name
            )
        self._agent.handle(StartOrdered(name))
        await settled(self._agent, lambda: self._exists(name), timeout_s=SPAWN_PATIENCE_S)
        return self._agent.machine.applications.get(name)

    async def stop(self, name: ApplicationName) -> Application:
        """Order an application to stop, and give it as it is now. Raises NotFoundError, WrongHostError."""
        if self._agent.machine.applications.get(name).process is None:
            self._check_is_here(name)
        self._agent.handle(StopOrdered(name))
        return self._agent.machine.applications.get(name)

    async def kill(self, process: ProcessKey, principal: Principal, reason: str) -> bool:
        """Kill a registered process for its successor; gives whether it is gone. Raises RegistrationRefusedError."""
        entry = self._agent.machine.watched(process)
        if entry is None and not self._runs(process):
            return True
        refusal = kill_refusal(entry, role=principal.role)
        if refusal is not None:
            raise RegistrationRefusedError(f"process {process.pid} is not killed: {refusal}", pid=process.pid)
        assert entry is not None, "what is not watched is refused"
        self._agent.handle(KillOrdered(process, str(principal), reason))
        return await settled(
            self._agent,
            lambda: self._agent.machine.watched(process) is None,
            timeout_s=KILL_PATIENCE_S,
        )

    def _exists(self, name: ApplicationName) -> bool:
        application = self._agent.machine.applications.get(name)
        return application.process is not None or application.state in (RunState.FAILED, RunState.STOPPED)

    def _runs(self, process: ProcessKey) -> bool:
        if (process.host, process.boot_id) != (self._host, self._boot_id):
            return process.host != self._host  # of another host nothing is known
        return self._processes.start_time_ticks(process.pid) == process.start_time_ticks

    def _check_is_here(self, name: ApplicationName) -> None:
        host = self._directory.host_of(name)
        if host is None:
            raise NotFoundError(f"there is no application {name!r}", application=name)
        if host != self._host_name:
            raise WrongHostError(
                f"{name} is to run on {host or 'no host'}, this agent is of {self._host_name}: "
                "ask the agent of its host, or set `host` of its Application object",
                application=name,
                host=host,
            )

    async def _books(self, claim: Registered) -> Books:
        members: Sequence[Member] = ()
        if claim.lease_ids and claim.component:
            try:
                members = await self._leases.members(claim.component)
            except (CoordinationUnavailable, CoordinationRefused) as error:
                raise UnavailableError(f"the member key cannot be read: {error}; try again") from error
        return Books(self._host, self._boot_id, self._processes.start_time_ticks(claim.process.pid), members)
