"""What Solution Control looks at, and through whom it acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from confapi.control.v1 import agent_pb2
from solution_control.core.model import AgentReport, Application, ApplicationName, Host, HostName, Kind


class Directory(Protocol):
    """The configuration as it stands now."""

    def applications(self) -> Mapping[ApplicationName, Application]:
        """Give all applications by name."""

    def hosts(self) -> Mapping[HostName, Host]:
        """Give all hosts by name."""


class Agents(Protocol):
    """The agents of all hosts."""

    def reports(self) -> Mapping[HostName, AgentReport]:
        """Give what each agent said last."""

    def process(self, host: HostName, application: ApplicationName) -> agent_pb2.AgentProcess | None:
        """Give a process as its agent said last."""

    async def start(self, host: Host, application: ApplicationName) -> agent_pb2.AgentProcess:
        """Start an application. Raises ConfservError, AgentUnreachableError among them."""

    async def stop(self, host: Host, application: ApplicationName) -> agent_pb2.AgentProcess:
        """Stop an application. Raises as `start`."""


@dataclass(frozen=True, slots=True)
class Switched:
    """A switchover that took place: the new primary, and how long nothing was admitted, in milliseconds."""

    primary: str
    duration_ms: float


class Pairs(Protocol):
    """The elected pairs."""

    async def roles(self) -> Mapping[ApplicationName, str]:
        """Give the role of each member of each pair that answers."""

    async def switch_over(self, kind: Kind, *, to: ApplicationName, reason: str) -> Switched:
        """Have the primary of a pair give its role away. Raises ConfservError."""


class Sessions(Protocol):
    """The Configuration Server's sessions."""

    async def open_now(self) -> frozenset[ApplicationName] | None:
        """Give the applications that hold a session, None when the Configuration Server does not say."""
