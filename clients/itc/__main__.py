"""`itc`: the installer that registers an installation package's application."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from confapi.config.v1 import objects_pb2
from confclient.client import Client
from confkit.exit_status import ExitStatus
from confkit.tool_session import tool_with_session
from itc.install import Installed, install
from itc.package import read_package

app, _tool = tool_with_session(
    "itc", "Install packages: register their applications.", objects_pb2.APPLICATION_TYPE_ITC_UTILITY
)


@app.command("install")
def install_package(
    package: Annotated[Path, typer.Argument(help="Package (TOML).")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Create template, application and options in one transaction; installing again changes nothing."""
    checked = _tool.run_local(lambda: read_package(package))

    async def work(client: Client) -> ExitStatus:
        done = await install(client, checked, dry_run=dry_run)
        typer.echo(_json(done, dry_run=dry_run) if as_json else _text(done, dry_run=dry_run))
        return ExitStatus.DONE

    _tool.run(work)


@app.command("check")
def check_package(package: Annotated[Path, typer.Argument(help="Package (TOML).")]) -> None:
    """Check a package without a server."""
    _tool.run_local(lambda: read_package(package))
    typer.echo(f"{package} is in order")


def _text(done: Installed, *, dry_run: bool) -> str:
    lines = [f"{one.type} {one.name}: {one.outcome}" for one in done.plan.objects]
    if done.revision:
        lines.append(f"installed, revision {done.revision}")
    elif done.plan.operations and dry_run:
        lines.append("nothing was changed: a dry run")
    else:
        lines.append("is installed already; nothing was changed")
    return "\n".join(lines)


def _json(done: Installed, *, dry_run: bool) -> str:
    objects = [{"type": one.type, "name": one.name, "outcome": one.outcome} for one in done.plan.objects]
    return json.dumps({"objects": objects, "revision": done.revision or None, "dry_run": dry_run})


def main() -> None:
    """Run the tool."""
    app(prog_name="itc")


if __name__ == "__main__":
    main()
