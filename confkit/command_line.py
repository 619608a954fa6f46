"""The command line that servers have in common: -c, -s, -V, --print-config, and what becomes of errors.

A process whose options are its own (`confserv`) writes its own; what an error means is here for all (`B-60`).
"""

from __future__ import annotations

import importlib.metadata
import pathlib
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from confclient.credentials import CredentialsError
from confkit.database import DatabaseRefused
from confkit.election.ports import CoordinationRefused, CoordinationUnavailable, StoreUnreachable
from confkit.election.timing import TimingImpossible
from confkit.process import ExitStatus, Shutdown, run
from confkit.server import BindError
from confkit.settings import ProcessSettings, SettingsError, dump_settings, load_settings

S = TypeVar("S", bound=ProcessSettings)

Serve = Callable[[S, Shutdown, bool], Awaitable[int]]
"""Runs a process: settings, shutdown, and whether an operator orders it to take the role over."""

_REFUSED = (SettingsError, DatabaseRefused, TimingImpossible, CredentialsError)
_FAILED = (BindError, CoordinationRefused, CoordinationUnavailable)


def command_line(
    program: str, about: str, model: type[S], serve: Serve[S], *, elected: bool = True
) -> typer.Typer:
    """Make the command of a server.

    `program` is its name, `about` one line for its help, `model` its settings; `elected` is false for a process
    that has no role to take over.
    """
    cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

    @cli.command(help=about, context_settings={"help_option_names": ["-h", "--help"]})
    def command(
        config: Annotated[
            pathlib.Path | None, typer.Option("-c", "--config", help="Settings (TOML).")
        ] = None,
        name: Annotated[
            str | None,
            typer.Option("-s", "--name", help="Name of the server, and of its table in the settings."),
        ] = None,
        # a default instead of an annotation, which would be evaluated where `elected` is not known
        take_over: bool = typer.Option(
            False,
            "--take-over",
            help="Take the role from the last primary without the HA feature. Logged.",
            hidden=not elected,
        ),
        print_config: Annotated[
            bool, typer.Option("--print-config", help="Print the settings, and end.")
        ] = False,
        version: Annotated[bool, typer.Option("-V", "--version", help="Print the version, and end.")] = False,
    ) -> None:
        if version:
            typer.echo(f"{program} {importlib.metadata.version('confserv')}")
            raise typer.Exit
        try:
            settings = load_settings(model, file=config, name=name)
        except SettingsError as error:
            typer.echo(f"{program}: {error}", err=True)
            raise typer.Exit(ExitStatus.REFUSED) from None
        if print_config:
            typer.echo(dump_settings(settings))
            raise typer.Exit
        main = explained(program, lambda shutdown: serve(settings, shutdown, take_over))
        raise typer.Exit(run(main, log=settings.log))

    return cli


def explained(
    program: str, main: Callable[[Shutdown], Awaitable[int]]
) -> Callable[[Shutdown], Awaitable[int]]:
    """Give `main` with its known errors turned into one sentence and an exit status; others pass."""

    async def run_main(shutdown: Shutdown) -> int:
        try:
            return await main(shutdown)
        except _REFUSED as error:
            typer.echo(f"{program}: {error}", err=True)
            return ExitStatus.REFUSED
        except _FAILED as error:
            typer.echo(f"{program}: {error}", err=True)
            return ExitStatus.FAILED
        except StoreUnreachable as error:
            why = " ".join(str(error).split())
            cure = "check `database` in the settings, and that it runs"
            typer.echo(f"{program}: the database does not answer: {why}; {cure}", err=True)
            return ExitStatus.FAILED

    return run_main
