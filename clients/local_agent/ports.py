"""What the agent needs from the world. Adapters answer by events, given to the agent in the event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from confkit.election.types import Member
from local_agent.core.model import ApplicationName, ApplicationSpec, Durable, ProcessKey


class SpawnError(Exception):
    """A program could not be started: says which and why."""


class HostProcesses(Protocol):
    """Processes of this host."""

    def start_time_ticks(self, pid: int) -> int | None:
        """Give when the process with this number was started, None when there is none."""

    def watch(self, process: ProcessKey, on_exit: Callable[[int | None], None]) -> None:
        """Call `on_exit` once, when exactly this process has exited, or at once when it has. It is given the exit
        status, minus the signal's number, or None when the process is not the agent's child.
        """

    def signal(self, process: ProcessKey, number: int) -> None:
        """Send a signal to exactly this watched process; one that is gone gets none."""

    async def spawn(self, spec: ApplicationSpec, on_ready: Callable[[], None]) -> ProcessKey:
        """Start a program in a session of its own; `on_ready` is called when it says READY=1. Raises SpawnError."""


class Leases(Protocol):
    """Leases and member keys in etcd."""

    async def revoke(self, lease_id: int) -> None:
        """Revoke a lease; one that does not exist is no error. Raises CoordinationUnavailable."""

    async def members(self, component: str) -> Sequence[Member]:
        """Give the registered members of a component. Raises CoordinationUnavailable."""


class Reports(Protocol):
    """The Configuration Server, as far as exits are reported to it."""

    async def report_exit(self, process: ProcessKey) -> None:
        """Report it once. Raises ConfservError when the Configuration Server has not accepted it."""


class Ledger(Protocol):
    """The agent's list on disk."""

    def load(self) -> Durable:
        """Read it; empty when there is none."""

    def save(self, durable: Durable) -> None:
        """Replace it as a whole; blocking."""


class Directory(Protocol):
    """The configuration, as far as this agent needs it."""

    def host_of(self, application: ApplicationName) -> str | None:
        """Give the host of an application, "" for none, None when there is no such application."""
