"""`confctl status`, `members` and `switchover`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from confapi.ha.v1 import ha_pb2
from confapi.license.v1 import license_pb2
from confclient.documents import enum_name
from confclient.errors import ConfservError
from confclient.rpcs import GET_COMPLIANCE, GET_STATUS, SWITCH_OVER
from confctl.connection import COMPONENTS, Connection, run
from confctl.output import Columns, Printer, iso
from confkit.tool import UsageError

_ASK_S = 1.0

COMPONENT = typer.Option("--component", help=f"One of {', '.join(COMPONENTS)}, or all.")


def role_name(role: int) -> str:
    """A role as people read it."""
    return enum_name(ha_pb2.Role.DESCRIPTOR, role)


def epoch_text(epoch: ha_pb2.Epoch) -> str:
    """A token as people read it; empty when there is none."""
    return f"{epoch.generation}.{epoch.mod_revision}" if epoch.generation or epoch.mod_revision else ""


def member_document(member: ha_pb2.Member, epoch: ha_pb2.Epoch, *, reachable: bool) -> dict[str, Any]:
    """A member as a document; keys are stable."""
    return {
        "component": member.component,
        "instance": member.instance,
        "role": role_name(member.role),
        "token": epoch_text(epoch),
        "applied_revision": member.applied_revision,
        "lag_revisions": member.lag_revisions,
        "promotable": member.promotable,
        "not_promotable_reason": member.not_promotable_reason,
        "reachable": reachable,
        "version": member.version,
        "endpoints": list(member.endpoints),
        "host": member.process.host,
        "pid": member.process.pid,
    }


def compliance_document(answer: license_pb2.GetComplianceResponse) -> dict[str, Any]:
    """The state of compliance as a document (B-33); keys are stable."""
    return {
        "compliance": enum_name(license_pb2.Compliance.DESCRIPTOR, answer.compliance),
        "stage": answer.stage.lower(),
        "findings": [
            {"reason": one.reason, "message": one.message, "since": iso(one.since_ms)}
            for one in answer.findings
        ],
        "lrm": {"bound": list(answer.lrm_bound), "away_since": iso(answer.lrm_away_since_ms)},
    }


def lrm_text(lrm: dict[str, Any]) -> str:
    """Whether LRM is there, in words."""
    if lrm["bound"]:
        return "bound: " + ", ".join(lrm["bound"])
    return f"away since {lrm['away_since']}" if lrm["away_since"] else "never seen"


MEMBER_COLUMNS = Columns(
    ("COMPONENT", "MEMBER", "ROLE", "TOKEN", "APPLIED", "LAG", "PROMOTABLE", "ENDPOINTS", "PID"),
    lambda row: (
        row["component"],
        row["instance"],
        row["role"] if row["reachable"] else f"{row['role']} (does not answer)",
        row["token"],
        row["applied_revision"],
        row["lag_revisions"],
        "yes" if row["promotable"] else f"no: {row['not_promotable_reason']}".rstrip(": "),
        row["endpoints"],
        row["pid"] or "",
    ),
)


async def members_of(
    connection: Connection, component: str
) -> tuple[ha_pb2.GetStatusResponse, list[dict[str, Any]]]:
    """The primary's status, and every member as it describes itself now."""
    channel = connection.component(component)
    status = await channel.unary(GET_STATUS, ha_pb2.GetStatusRequest())

    async def ask(member: ha_pb2.Member) -> dict[str, Any]:
        for endpoint in member.endpoints:
            try:
                own = await channel.unary_at(
                    endpoint, GET_STATUS, ha_pb2.GetStatusRequest(), timeout_s=_ASK_S
                )
            except ConfservError:
                continue
            if own.self.instance == member.instance:
                return member_document(_with_lag(own.self, status.self), own.epoch, reachable=True)
        return member_document(_with_lag(member, status.self), status.epoch, reachable=False)

    members = {member.instance: member for member in (*status.members, status.self)}
    rows = await asyncio.gather(*(ask(member) for _, member in sorted(members.items())))
    return status, rows


def _with_lag(member: ha_pb2.Member, primary: ha_pb2.Member) -> ha_pb2.Member:
    """A Configuration Server that follows knows its own revision best, and the primary how far the log has come."""
    if member.component == "confserv" and not member.lag_revisions and member.instance != primary.instance:
        member.lag_revisions = max(0, primary.applied_revision - member.applied_revision)
    return member


def status(context: typer.Context) -> None:
    """Show cluster, stage, compliance, LRM, and each member of the Configuration Server."""

    async def work(connection: Connection) -> None:
        answer, members = await members_of(connection, "confserv")
        compliance = compliance_document(
            await connection.config.unary(GET_COMPLIANCE, license_pb2.GetComplianceRequest())
        )
        document = {
            "cluster": answer.cluster,
            "primary": answer.self.instance,
            "token": epoch_text(answer.epoch),
            **compliance,
            "attributes": dict(sorted(answer.attributes.items())),
            "members": members,
        }
        connection.printer.document(document, lambda printer: _show_status(printer, document))

    run(context, work)


def _show_status(printer: Printer, document: dict[str, Any]) -> None:
    printer.facts(
        {
            "Cluster": document["cluster"],
            "Stage": document["stage"],
            "Compliance": document["compliance"],
            "LRM": lrm_text(document["lrm"]),
            "Primary": f"{document['primary']}, token {document['token']}",
        }
    )
    for finding in document["findings"]:
        printer.line(f"  {finding['reason']}: {finding['message']} (since {finding['since']})")
    printer.line()
    printer.rows(document["members"], MEMBER_COLUMNS)


def members(context: typer.Context, component: Annotated[str, COMPONENT] = "confserv") -> None:
    """Show the members of a component: role, token, applied revision, lag."""

    async def work(connection: Connection) -> None:
        names = COMPONENTS if component == "all" else (component,)
        rows: list[dict[str, Any]] = []
        for name in names:
            try:
                rows += (await members_of(connection, name))[1]
            except ConfservError:
                if component != "all":
                    raise
        connection.printer.document(
            {"members": rows}, lambda printer: printer.rows(rows, MEMBER_COLUMNS, nothing="no members")
        )

    run(context, work)


def switchover(
    context: typer.Context,
    to: Annotated[str, typer.Option("--to", help="Member that is to become primary; default: any.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the log event.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    component: Annotated[str, COMPONENT] = "confserv",
) -> None:
    """Hand the role of primary to another member; needs the feature ha_redundancy."""

    async def work(connection: Connection) -> None:
        if component == "all":
            raise UsageError("switch components over one by one")
        request = ha_pb2.SwitchOverRequest(to=to, reason=reason, dry_run=dry_run)
        answer = await connection.component(component).unary(SWITCH_OVER, request)
        document = {
            "component": component,
            "primary": answer.primary,
            "token": epoch_text(answer.epoch),
            "duration_ms": round(answer.duration_ms, 3),
            "dry_run": dry_run,
        }
        line = (
            f"{answer.primary} would become primary"
            if dry_run
            else f"{answer.primary} is primary, token {document['token']}, after {answer.duration_ms:.1f} ms"
        )
        connection.printer.document(document, lambda printer: printer.line(line))

    run(context, work)
