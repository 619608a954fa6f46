"""`confctl app …`: applications as Solution Control sees them, started, stopped and switched over through it."""

from __future__ import annotations

from typing import Annotated

import typer

from confapi.control.v1 import agent_pb2, control_pb2
from confclient.documents import Document, enum_name
from confclient.rpcs import (
    LIST_APPLICATIONS,
    START_APPLICATION,
    STOP_APPLICATION,
    SWITCH_OVER_APPLICATION,
)
from confctl.connection import Connection, run
from confctl.output import Columns, iso

app = typer.Typer(help="Applications, through Solution Control.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the Application object.")]
_CONTROL = "solution-control"

_COLUMNS = Columns(
    ("APPLICATION", "TYPE", "HOST", "STATE", "CONNECTED", "ROLE", "PID", "RESTARTS", "DETAIL"),
    lambda row: (
        row["application"],
        row["type"],
        row["host"],
        row["state"],
        row["connected"],
        row["role"],
        row["pid"] or "",
        row["restarts"] or "",
        row["detail"],
    ),
)


def application_document(status: control_pb2.ApplicationStatus) -> Document:
    """The state of an application as a document; keys are stable."""
    known = status.HasField("process")
    state = enum_name(agent_pb2.RunState.DESCRIPTOR, status.state)
    return {
        "application": status.application,
        "type": status.application_type.removeprefix("APPLICATION_TYPE_").lower(),
        "host": status.host,
        "state": "unknown" if state == "unspecified" else state,
        "connected": status.connected,
        "role": status.role,
        "pid": status.process.process.pid,
        "exit_status": status.process.exit_status if known else None,
        "restarts": status.process.restarts,
        "changed": iso(status.process.changed_ms),
        "detail": status.detail,
    }


@app.command("list")
def list_applications(context: typer.Context) -> None:
    """List all applications and what they are doing."""

    async def work(connection: Connection) -> None:
        answer = await connection.component(_CONTROL).unary(
            LIST_APPLICATIONS, control_pb2.ListApplicationsRequest()
        )
        rows = [application_document(one) for one in answer.applications]
        connection.printer.document(
            {"applications": rows}, lambda printer: printer.rows(rows, _COLUMNS, nothing="no applications")
        )

    run(context, work)


@app.command("start")
def start(context: typer.Context, name: Name) -> None:
    """Start an application through the agent of its host."""

    async def work(connection: Connection) -> None:
        answer = await connection.component(_CONTROL).unary(
            START_APPLICATION, control_pb2.StartApplicationRequest(application=name)
        )
        _tell(connection, answer.application)

    run(context, work)


@app.command("stop")
def stop(context: typer.Context, name: Name) -> None:
    """Stop an application through the agent of its host."""

    async def work(connection: Connection) -> None:
        answer = await connection.component(_CONTROL).unary(
            STOP_APPLICATION, control_pb2.StopApplicationRequest(application=name)
        )
        _tell(connection, answer.application)

    run(context, work)


@app.command("switchover")
def switchover(
    context: typer.Context,
    name: Name,
    to: Annotated[str, typer.Option("--to", help="Who is to become primary; default: any.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the log event.")] = "",
) -> None:
    """Switch an elected pair over; needs the feature ha_redundancy."""

    async def work(connection: Connection) -> None:
        request = control_pb2.SwitchOverApplicationRequest(application=name, to=to, reason=reason)
        answer = await connection.component(_CONTROL).unary(SWITCH_OVER_APPLICATION, request)
        document = {
            "application": name,
            "primary": answer.primary,
            "duration_ms": round(answer.duration_ms, 3),
        }
        line = f"{answer.primary} is primary after {answer.duration_ms:.1f} ms"
        connection.printer.document(document, lambda printer: printer.line(line))

    run(context, work)


def _tell(connection: Connection, status: control_pb2.ApplicationStatus) -> None:
    document = application_document(status)
    pid = f", pid {document['pid']}" if document["pid"] else ""
    line = f"{document['application']} is {document['state']}{pid}"
    connection.printer.document(document, lambda printer: printer.line(line))
