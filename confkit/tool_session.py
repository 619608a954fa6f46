"""How a command line client of its own application type connects: settings or a launcher's directory, then a session.

Why it exists: administrator and installer register with the Configuration Server like every process, and are told
where it is like every tool.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import pathlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from confapi.config.v1 import objects_pb2
from confclient.client import Client, connect
from confkit.exit_status import ExitStatus
from confkit.settings import ProcessSettings, SettingsError, dump_settings, load_settings
from confkit.tool import REFUSALS, UsageError, told
from confkit.tool_targets import Target, target_of

Result = TypeVar("Result")


class Tool:
    """A command line client with its own application type.

    `program` is its name, that of its certificate and, unless told otherwise, of its Application object.
    """

    def __init__(self, program: str, application_type: objects_pb2.ApplicationType) -> None:
        self._program = program
        self._type = application_type
        self._config: pathlib.Path | None = None
        self._name: str | None = None
        self._cluster: pathlib.Path | None = None
        self._timeout_s = 10.0

    def configure(
        self,
        *,
        config: pathlib.Path | None,
        name: str | None,
        cluster: pathlib.Path | None,
        timeout_s: float,
        print_config: bool,
    ) -> None:
        """Take the options that stand before the command; prints the settings and ends when that is asked for."""
        self._config, self._name, self._cluster, self._timeout_s = config, name, cluster, timeout_s
        if print_config:
            self.run_local(lambda: typer.echo(dump_settings(self._settings())))
            raise typer.Exit

    def run_local(self, work: Callable[[], Result]) -> Result:
        """Do something that needs no server; refusals end the process with their exit status."""
        try:
            return work()
        except (*REFUSALS, SettingsError) as error:
            raise typer.Exit(told(self._program, error)) from None

    def run(self, work: Callable[[Client], Awaitable[ExitStatus]]) -> None:
        """Connect, open a session, work, and end the process with the exit status."""
        try:
            status = asyncio.run(self._run(work))
        except (*REFUSALS, SettingsError) as error:
            status = told(self._program, error)
        raise typer.Exit(status)

    async def _run(self, work: Callable[[Client], Awaitable[ExitStatus]]) -> ExitStatus:
        async with self._connected() as client:
            return await work(client)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncGenerator[Client, None]:
        target, application = self._target()
        async with connect(
            endpoints=target.endpoints,
            tls=target.tls,
            application=application,
            application_type=self._type,
            version=importlib.metadata.version("confserv"),
            session_timeout_s=self._timeout_s,
            timeout_s=self._timeout_s,
        ) as client:
            yield client

    def _target(self) -> tuple[Target, str]:
        if self._config is None:
            target = target_of(
                tool=self._program, cluster=self._cluster, endpoints=(), ca=None, certificate=None, key=None
            )
            return target, self._name or self._program
        settings = self._settings()
        if not settings.config_servers:
            raise UsageError(f"{self._config}: config_servers is missing: name the Configuration Servers")
        return Target(endpoints=settings.config_servers, tls=settings.tls.files()), settings.name

    def _settings(self) -> ProcessSettings:
        return load_settings(ProcessSettings, file=self._config, name=self._name or self._program)


def tool_with_session(
    program: str, about: str, application_type: objects_pb2.ApplicationType
) -> tuple[typer.Typer, Tool]:
    """Make the command line of a tool, with the options that stand before its commands (cli.md).

    Gives the command line, to which commands are added, and the tool, through which they connect.
    """
    tool = Tool(program, application_type)
    app = typer.Typer(
        help=about,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def show_version(asked: bool) -> None:
        if asked:
            typer.echo(f"{program} {importlib.metadata.version('confserv')}")
            raise typer.Exit

    @app.callback()
    def options(
        config: Annotated[
            pathlib.Path | None, typer.Option("-c", "--config", help="Settings (TOML).")
        ] = None,
        name: Annotated[
            str | None, typer.Option("-s", "--name", help="Name of the Application object, and of its table.")
        ] = None,
        cluster: Annotated[
            pathlib.Path | None,
            typer.Option("--cluster", help="Directory of a local cluster, instead of -c."),
        ] = None,
        timeout: Annotated[float, typer.Option("--timeout", min=0.01, help="Deadline in seconds.")] = 10.0,
        print_config: Annotated[
            bool, typer.Option("--print-config", help="Print the settings, and end.")
        ] = False,
        # a default instead of an annotation, which would be evaluated where `show_version` is not known
        version: bool = typer.Option(
            False,
            "-V",
            "--version",
            help="Print the version, and end.",
            callback=show_version,
            is_eager=True,
        ),
    ) -> None:
        tool.configure(
            config=config, name=name, cluster=cluster, timeout_s=timeout, print_config=print_config
        )

    return app, tool
