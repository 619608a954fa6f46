"""What every command shares: the chosen cluster, the form of output, the deadline; errors to exit statuses.

A refusal is one sentence on standard error, with what to do and its reason in brackets (B-60).
"""

from __future__ import annotations

import asyncio
import enum
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import typer
from confapi.config.v1 import objects_pb2
from confclient.channel import ServiceChannel
from confclient.credentials import CredentialsError
from confclient.documents import DocumentError
from confclient.errors import ConfservError, InvalidError, LicenseRequiredError, NoPrimaryError
from confclient.objects import Objects
from confclient.services import ServiceDirectory

from confctl.output import Format, Printer
from confctl.targets import Target, TargetError, target_of
from confkit.license.findings import LicenseError


class ExitStatus(enum.IntEnum):
    """Exit statuses of every command (cli.md)."""

    DONE = 0
    FAILED = 1
    REFUSED = 2
    NOT_LICENSED = 3
    NO_PRIMARY = 4


class UsageError(Exception):
    """Arguments or input are refused (exit status 2)."""


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
    except (ConfservError, UsageError, TargetError, CredentialsError, DocumentError, LicenseError) as error:
        status = _told(error)
    raise typer.Exit(status)


async def _connected(options: Globals, work: Work) -> None:
    connection = Connection(options.target(), Printer(options.form), options.timeout_s)
    try:
        await work(connection)
    finally:
        await connection.close()


def stop_with(error: Exception) -> typer.Exit:
    """Say what was wrong; gives what ends the process with its exit status."""
    return typer.Exit(_told(error))


def _told(error: Exception) -> ExitStatus:
    print(f"confctl: {sentence(error)}", file=sys.stderr)
    return exit_status(error)


def exit_status(error: Exception) -> ExitStatus:
    """The exit status for a failure."""
    if isinstance(error, NoPrimaryError):
        return ExitStatus.NO_PRIMARY
    if isinstance(error, LicenseRequiredError):
        return ExitStatus.NOT_LICENSED
    if isinstance(error, ConfservError) and not isinstance(error, InvalidError):
        return ExitStatus.FAILED
    return ExitStatus.REFUSED


def sentence(error: Exception) -> str:
    """What people are told: the sentence, what to do where it is not said, and the reason in brackets."""
    if not isinstance(error, ConfservError):
        return str(error)
    cure = error.metadata.get("cure", "")
    place = ":".join(error.metadata[name] for name in ("source", "line", "column") if name in error.metadata)
    text = error.message
    if place and place not in text:
        text = f"{place}: {text}"
    if cure and cure not in text:
        text = f"{text}; {cure}"
    return f"{text} [{error.reason}]"
