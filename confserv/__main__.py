"""`confserv`: arguments, settings, exit status.

The long options of the original with one dash (`-license FILE`) are the same as those with two.
"""

from __future__ import annotations

import importlib.metadata
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from confkit.command_line import explained
from confkit.process import ExitStatus, run
from confkit.settings import SettingsError, dump_settings, load_settings
from confserv.settings import ConfservSettings, UploadSettings

_ONE_DASH = ("license",)

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@cli.command(context_settings={"help_option_names": ["-h", "--help"]})
def confserv(
    license_file: Annotated[
        pathlib.Path | None,
        typer.Option("--license", metavar="FILE", help="Verify FILE, store it in the database, and end."),
    ] = None,
    config: Annotated[pathlib.Path | None, typer.Option("-c", "--config", help="Settings (TOML).")] = None,
    name: Annotated[
        str | None, typer.Option("-s", "--name", help="Name of the server, and of its table in the settings.")
    ] = None,
    database: Annotated[
        str | None, typer.Option("--database", metavar="URL", help="Configuration Database.")
    ] = None,
    trust: Annotated[
        pathlib.Path | None, typer.Option("--trust", metavar="FILE", help="Trusted vendor keys (TOML).")
    ] = None,
    accept_expired: Annotated[
        bool,
        typer.Option("--accept-expired", help="With --license: load a file whose every line has expired."),
    ] = False,
    accept_older: Annotated[
        bool,
        typer.Option("--accept-older", help="With --license: load a file issued before the current one."),
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="Take the role from the last primary without the HA feature. Logged."
        ),
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the settings, and end.")
    ] = False,
    version: Annotated[bool, typer.Option("-V", "--version", help="Print the version, and end.")] = False,
) -> None:
    """Configuration Server: primary or backup of a pair."""
    if version:
        typer.echo(f"confserv {importlib.metadata.version('confserv')}")
        raise typer.Exit
    options = {"database": database, "trust": trust}
    try:
        if license_file is not None:
            settings = load_settings(UploadSettings, file=config, name=name, options=options)
            raise typer.Exit(
                _upload(settings, license_file, accept_expired=accept_expired, accept_older=accept_older)
            )
        raise typer.Exit(_serve(config, name, options, take_over=take_over, print_config=print_config))
    except SettingsError as error:
        typer.echo(f"confserv: {error}", err=True)
        raise typer.Exit(ExitStatus.REFUSED) from None


def _upload(
    settings: UploadSettings, file: pathlib.Path, *, accept_expired: bool, accept_older: bool
) -> ExitStatus:
    from confserv.upload_command import upload

    return upload(settings, file, accept_expired=accept_expired, accept_older=accept_older)


def _serve(
    config: pathlib.Path | None,
    name: str | None,
    options: dict[str, Any],
    *,
    take_over: bool,
    print_config: bool,
) -> int:
    from confserv.app import serve

    def read() -> ConfservSettings:
        return load_settings(ConfservSettings, file=config, name=name, options=options)

    settings = read()
    if print_config:
        typer.echo(dump_settings(settings))
        return ExitStatus.DONE
    main = explained("confserv", lambda shutdown: serve(settings, shutdown, take_over, read_again=read))
    return run(main, log=settings.log)


def with_two_dashes(arguments: Sequence[str]) -> list[str]:
    """Give the arguments with `-license` written `--license`; the parser would read it as -l -i -c … ."""
    spellings = {f"-{option}": f"--{option}" for option in _ONE_DASH}
    return [
        spellings.get(head, head) + equals + tail
        for head, equals, tail in (argument.partition("=") for argument in arguments)
    ]


def main() -> None:
    """Run the command."""
    cli(args=with_two_dashes(sys.argv[1:]), prog_name="confserv")


if __name__ == "__main__":
    main()
