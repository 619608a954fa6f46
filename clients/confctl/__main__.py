"""`confctl`: the operator's tool."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import Annotated

import typer

from confctl.arguments import hoisted
from confctl.commands import applications, licenses, logs, objects, options, status, usage
from confctl.connection import Globals
from confctl.output import Format

app = typer.Typer(
    help="Operate a Confserv cluster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"confctl {importlib.metadata.version('confserv')}")
        raise typer.Exit


@app.callback()
def chosen(
    context: typer.Context,
    cluster: Annotated[
        Path | None,
        typer.Option("--cluster", help="Directory of a local cluster; default: .cluster, if it exists."),
    ] = None,
    endpoints: Annotated[
        str, typer.Option("--endpoints", help="Configuration Servers, host:port, separated by commas.")
    ] = "",
    ca: Annotated[Path | None, typer.Option("--ca", help="Authority that is trusted (PEM).")] = None,
    certificate: Annotated[
        Path | None, typer.Option("--cert", help="Certificate of an administrator (PEM).")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Its key (PEM).")] = None,
    form: Annotated[Format, typer.Option("-o", "--output", help="Form of the output.")] = Format.TABLE,
    timeout: Annotated[float, typer.Option("--timeout", min=0.01, help="Deadline in seconds.")] = 10.0,
    version: Annotated[
        bool,
        typer.Option("-V", "--version", help="Show the version and end.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Options before or after every command."""
    context.obj = Globals(
        cluster=cluster,
        endpoints=tuple(one.strip() for one in endpoints.split(",") if one.strip()),
        ca=ca,
        certificate=certificate,
        key=key,
        form=form,
        timeout_s=timeout,
    )


app.command("status")(status.status)
app.command("members")(status.members)
app.command("switchover")(status.switchover)
app.command("watch")(options.watch_command)
app.add_typer(objects.app, name="object")
app.add_typer(options.app, name="option")
app.add_typer(licenses.app, name="license")
app.add_typer(applications.app, name="app")
app.add_typer(logs.app, name="log")
app.add_typer(usage.app, name="usage")


def main() -> None:
    """Run the tool."""
    app(args=hoisted(sys.argv[1:]), prog_name="confctl")


if __name__ == "__main__":
    main()
