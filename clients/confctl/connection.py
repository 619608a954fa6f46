"""What every command shares: the chosen cluster, its connections, the form of output, the deadline."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import typer

from confapi.config.v1 import objects_pb2
from confclient.channel import ServiceChannel
from confclient.objects import Objects
from confclient.services import ServiceDirectory
from confctl.output import Format, Printer
from confkit.exit_status import ExitStatus
from confkit.tool import REFUSALS, UsageError, told
from confkit.tool_targets import Target, target_of


@dataclass(frozen=True, slots=True)
class Globals:
    """Options that stand before every command."""

    cluster: Path | None = None
    endpoints: tuple[str, ...] = ()
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    form: Format = Format.TABLE
    timeout_s: float = 10.0

    def target(self) -> Target:
        """The chosen cluster; raises TargetError."""
        return target_of(
            tool="administrator",
            cluster=self.cluster,
            endpoints=self.endpoints,
            ca=self.ca,
            certificate=self.certificate,
            key=self.key,
        )


_TYPES = {
    "lrm": objects_pb2.APPLICATION_TYPE_LICENSE_REPORTING_MANAGER,
    "licman": objects_pb2.APPLICATION_TYPE_LICENSE_MANAGER,
    "message-server": objects_pb2.APPLICATION_TYPE_MESSAGE_SERVER,
    "solution-control": objects_pb2.APPLICATION_TYPE_SOLUTION_CONTROL_SERVER,
}
COMPONENTS = ("confserv", *_TYPES)
"""Elected components, by the names of their processes."""


@dataclass(slots=True)
class Connection:
    """Connections of one command.

    Attributes:
        config: to the Configuration Server.
        objects: its objects.
        printer: where results go.
    """

    target: Target
    printer: Printer
    timeout_s: float
    config: ServiceChannel = field(init=False)
    objects: Objects = field(init=False)
    _directory: ServiceDirectory = field(init=False)
    _others: dict[str, ServiceChannel] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.config = ServiceChannel(
            self.target.endpoints, self.target.tls, component="Configuration Server", timeout_s=self.timeout_s
        )
        self.objects = Objects(self.config)
        self._directory = ServiceDirectory(self.config)

    def component(self, name: str) -> ServiceChannel:
        """A channel to a component by the name of its processes; raises UsageError for an unknown one."""
        if name == "confserv":
            return self.config
        if name not in _TYPES:
            raise UsageError(f"no component {name!r}; there are {', '.join(COMPONENTS)}")
        channel = self._others.get(name)
        if channel is None:
            known = self.target.components.get(name, ())
            endpoints = self._directory.endpoints(_TYPES[name], given=known)
            channel = self._others[name] = ServiceChannel(
                endpoints, self.target.tls, component=name, timeout_s=self.timeout_s
            )
        return channel

    async def close(self) -> None:
        """Close everything."""
        await self._directory.close()
        for channel in (*self._others.values(), self.config):
            await channel.close()


Work = Callable[[Connection], Awaitable[None]]


def run(context: typer.Context, work: Work) -> None:
    """Carry out a command and end the process with its exit status."""
    options = context.find_object(Globals) or Globals()
    status = ExitStatus.DONE
    try:
        asyncio.run(_connected(options, work))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except REFUSALS as error:
        status = told("confctl", error)
    raise typer.Exit(status)


async def _connected(options: Globals, work: Work) -> None:
    connection = Connection(options.target(), Printer(options.form), options.timeout_s)
    try:
        await work(connection)
    finally:
        await connection.close()


def stop_with(error: Exception) -> typer.Exit:
    """Say what was wrong; gives what ends the process with its exit status."""
    return typer.Exit(told("confctl", error))
