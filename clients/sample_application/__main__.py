"""`confserv-sample-application`: arguments, signals, exit status."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from confapi.config.v1 import objects_pb2
from confclient.documents import enum_number
from confkit.exit_status import ExitStatus
from confkit.tool import REFUSALS, UsageError, told
from confkit.tool_targets import target_of
from sample_application.application import run
from sample_application.plan import Plan

PROGRAM = "confserv-sample-application"

_LEAVE_S = 5.0


def command(
    application: Annotated[str, typer.Argument(help="Name of its Application object and certificate.")],
    cluster: Annotated[Path | None, typer.Option("--cluster", help="Directory of a local cluster.")] = None,
    endpoints: Annotated[str, typer.Option("--endpoints", help="Configuration Servers, by commas.")] = "",
    ca: Annotated[Path | None, typer.Option("--ca", help="Authority that is trusted (PEM).")] = None,
    certificate: Annotated[Path | None, typer.Option("--cert", help="Its certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Its key (PEM).")] = None,
    type_: Annotated[str, typer.Option("--type", help="Type that it claims.")] = "generic_server",
    spool_dir: Annotated[
        Path | None, typer.Option("--spool", help="Where usage and log events wait.")
    ] = None,
    run_for_s: Annotated[float, typer.Option("--run-for", help="Seconds; 0: until SIGTERM.")] = 0.0,
    session_timeout_s: Annotated[
        float,
        typer.Option("--session-timeout", help="Seconds to wait for a session; 0: as long as it takes."),
    ] = 0.0,
    follow: Annotated[bool, typer.Option("--follow", help="Print every transaction.")] = False,
    write_every_s: Annotated[
        float, typer.Option("--write-every", help="Write an own option each so many seconds; 0: never.")
    ] = 0.0,
    tenant: Annotated[str, typer.Option("--tenant", help="Tenant of the use.")] = "Environment",
    item: Annotated[str, typer.Option("--item", help="Sellable item to use while running.")] = "",
    seats: Annotated[int, typer.Option("--seats", min=1, help="Seats that use it at once.")] = 1,
    feature: Annotated[str, typer.Option("--feature", help="Technical key to hold while running.")] = "",
    count: Annotated[int, typer.Option("--count", min=1, help="How many of it.")] = 1,
    log_text: Annotated[str, typer.Option("--log", help="Log one event with this text.")] = "",
) -> None:
    """A business application that uses all of the client library, and prints what it sees, a JSON line each."""
    try:
        number = enum_number(objects_pb2.ApplicationType.DESCRIPTOR, type_)
        if not number:
            raise UsageError(f"{type_!r} is no type of applications: try generic_server")
        target = target_of(
            tool=application,
            cluster=cluster,
            endpoints=[one.strip() for one in endpoints.split(",") if one.strip()],
            ca=ca,
            certificate=certificate,
            key=key,
        )
        plan = Plan(
            endpoints=target.endpoints,
            tls=target.tls,
            application=application,
            application_type=objects_pb2.ApplicationType.Name(number),  # type: ignore[arg-type]
            spool_dir=spool_dir,
            run_for_s=run_for_s,
            session_timeout_s=session_timeout_s or None,
            follow=follow,
            write_every_s=write_every_s,
            tenant=tenant,
            item=item,
            seats=seats,
            feature=feature,
            count=count,
            log_text=log_text,
        )
        uvloop.run(_until_told(plan))
    except REFUSALS as error:
        raise typer.Exit(told(PROGRAM, error)) from None
    raise typer.Exit(ExitStatus.DONE)


async def _until_told(plan: Plan) -> None:
    """Run until SIGTERM or SIGINT; also while the session is still being waited for."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(run(plan, stop))

    def told_to_stop() -> None:
        if stop.is_set():
            running.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await asyncio.wait({running}, timeout=_LEAVE_S)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def main() -> None:
    """Run the application."""
    typer.run(command)


if __name__ == "__main__":
    main()
