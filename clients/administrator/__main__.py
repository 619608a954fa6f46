"""`administrator`: registers with its type and shows the state of the cluster.

A thin command line client; the web console takes its place.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer

from confapi.config.v1 import objects_pb2, sessions_pb2
from confapi.ha.v1 import ha_pb2
from confapi.license.v1 import license_pb2
from confclient.client import Client
from confclient.documents import enum_name
from confclient.rpcs import GET_COMPLIANCE, GET_STATUS, LIST_SESSIONS
from confkit.exit_status import ExitStatus
from confkit.tool_session import tool_with_session

app, _tool = tool_with_session(
    "administrator", "Administrate a Confserv cluster.", objects_pb2.APPLICATION_TYPE_ADMINISTRATOR
)


@app.command("status")
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    hold: Annotated[float, typer.Option("--hold", min=0, help="Stay connected for so many seconds.")] = 0.0,
) -> None:
    """Register, and show stage, compliance, members and open sessions."""

    async def work(client: Client) -> ExitStatus:
        document = await _document(client)
        typer.echo(json.dumps(document) if as_json else _text(document))
        await asyncio.sleep(hold)
        return ExitStatus.DONE

    _tool.run(work)


async def _document(client: Client) -> dict[str, Any]:
    answer = await client.channel.unary(GET_STATUS, ha_pb2.GetStatusRequest())
    compliance = await client.channel.unary(GET_COMPLIANCE, license_pb2.GetComplianceRequest())
    sessions = await client.channel.unary(LIST_SESSIONS, sessions_pb2.ListSessionsRequest())
    return {
        "cluster": answer.cluster,
        "primary": answer.self.instance,
        "stage": compliance.stage.lower(),
        "compliance": enum_name(license_pb2.Compliance.DESCRIPTOR, compliance.compliance),
        "lrm_bound": list(compliance.lrm_bound),
        "members": {
            member.instance: enum_name(ha_pb2.Role.DESCRIPTOR, member.role) for member in answer.members
        },
        "sessions": [
            {
                "application": one.application,
                "type": enum_name(objects_pb2.ApplicationType.DESCRIPTOR, one.application_type),
                "peer": one.peer,
                "host": one.process.host,
                "pid": one.process.pid,
            }
            for one in sessions.sessions
        ],
    }


def _text(document: dict[str, Any]) -> str:
    lines = [
        f"cluster {document['cluster']}: stage {document['stage']}, compliance {document['compliance']}",
        "LRM: " + (", ".join(document["lrm_bound"]) or "none is bound"),
        *(f"{name}: {role}" for name, role in document["members"].items()),
        f"{len(document['sessions'])} sessions:",
        *(f"  {one['application']} ({one['type']}) from {one['peer']}" for one in document["sessions"]),
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the tool."""
    app(prog_name="administrator")


if __name__ == "__main__":
    main()
