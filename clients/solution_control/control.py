"""Status, start, stop and switchover: looks around, asks the core, acts through agents and primaries.

Every order is logged with who gave it, and a switchover that the license does not allow is logged with why (B-40).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confapi.control.v1 import agent_pb2
from confclient.errors import (
    ConfservError,
    InvalidError,
    LicenseRequiredError,
    NoHostError,
    NoSuccessorError,
    NotFoundError,
    PreconditionError,
)
from confkit.events import EventLog
from solution_control.core.model import Application, ApplicationName, Host, Observations, Status
from solution_control.core.orders import Obstacle, Refusal, agent_order, switchover_order
from solution_control.core.status import status_of
from solution_control.ports import Agents, Directory, Pairs, Sessions, Switched

_ERRORS: dict[Obstacle, type[ConfservError]] = {
    Obstacle.NOT_FOUND: NotFoundError,
    Obstacle.NO_HOST: NoHostError,
    Obstacle.NOT_ELECTED: InvalidError,
    Obstacle.NOT_LICENSED: LicenseRequiredError,
    Obstacle.NOT_PRIMARY: PreconditionError,
    Obstacle.NO_SUCCESSOR: NoSuccessorError,
}


@dataclass(frozen=True, slots=True)
class Sources:
    """Where it looks, and through whom it acts."""

    directory: Directory
    agents: Agents
    pairs: Pairs
    sessions: Sessions


class Control:
    """What the primary Solution Control does. `ha_licensed` says whether the license allows switchover."""

    def __init__(self, sources: Sources, *, ha_licensed: Callable[[], bool], events: EventLog) -> None:
        self._sources = sources
        self._ha_licensed = ha_licensed
        self._events = events

    async def all(self) -> Sequence[Status]:
        """Give the status of every application, by name."""
        seen = await self._look()
        applications = self._sources.directory.applications()
        return [status_of(applications[name], seen) for name in sorted(applications)]

    async def one(self, application: Application) -> Status:
        """Give the status of one application."""
        return status_of(application, await self._look())

    def process(self, application: Application) -> agent_pb2.AgentProcess | None:
        """Give an application's process as its agent said last."""
        return self._sources.agents.process(application.host, application.name)

    async def start(self, name: ApplicationName, *, by: str) -> Status:
        """Start an application through the agent of its host. Raises NotFoundError, NoHostError,
        AgentUnreachableError, and what the agent refuses.
        """
        return await self._order(name, "43-25020", self._sources.agents.start, by=by)

    async def stop(self, name: ApplicationName, *, by: str) -> Status:
        """Stop an application through the agent of its host. Raises as `start`."""
        return await self._order(name, "43-25021", self._sources.agents.stop, by=by)

    async def switch_over(
        self, name: ApplicationName, *, to: ApplicationName, reason: str, by: str
    ) -> Switched:
        """Have `name` give its role to `to`, or to any that may. Raises LicenseRequiredError, NotFoundError,
        NoSuccessorError, PreconditionError, InvalidError, and what the primary refuses.
        """
        order = switchover_order(
            name,
            to=to,
            applications=self._sources.directory.applications(),
            roles=await self._sources.pairs.roles(),
            ha_licensed=self._ha_licensed(),
        )
        if isinstance(order, Refusal):
            if order.obstacle is Obstacle.NOT_LICENSED:
                self._events.emit("43-25032", client=name, by=by)
                raise LicenseRequiredError(order.message, feature="ha_redundancy")
            raise _error(order, name)
        self._events.emit("43-25030", client=name, by=by, detail=reason or "no reason given")
        try:
            switched = await self._sources.pairs.switch_over(order.kind, to=order.to, reason=reason)
        except ConfservError as error:
            self._events.emit("43-25033", client=name, detail=error)
            raise
        self._events.emit("43-25031", client=name, primary=switched.primary)
        return switched

    async def _order(
        self,
        name: ApplicationName,
        number: str,
        act: Callable[[Host, ApplicationName], object],
        *,
        by: str,
    ) -> Status:
        directory = self._sources.directory
        order = agent_order(name, applications=directory.applications(), hosts=directory.hosts())
        if isinstance(order, Refusal):
            raise _error(order, name)
        self._events.emit(number, client=name, by=by)
        try:
            await act(order.host, name)  # type: ignore[misc]
        except ConfservError as error:
            self._events.emit("43-25022", client=name, detail=error)
            raise
        return await self.one(order.application)

    async def _look(self) -> Observations:
        sessions, roles = await asyncio.gather(self._sources.sessions.open_now(), self._sources.pairs.roles())
        return Observations(
            hosts=self._sources.directory.hosts(),
            agents=self._sources.agents.reports(),
            sessions=sessions,
            roles=roles,
        )


def _error(refusal: Refusal, name: ApplicationName) -> ConfservError:
    return _ERRORS[refusal.obstacle](refusal.message, application=name)
