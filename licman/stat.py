"""`licman stat`: who uses what, asked of the primary License Manager.

The table is the layout that readers of `lmstat -a` know; JSON is one stable document.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import pathlib
from enum import StrEnum
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from confapi.ha.v1 import ha_pb2
from confapi.license.v1 import checkout_pb2
from confclient.channel import ServiceChannel
from confclient.credentials import CredentialsError, TlsFiles
from confclient.errors import ConfservError, NoPrimaryError
from confclient.rpcs import GET_STATUS, LIST_USE
from confkit.license.pools import PoolId
from confkit.process import ExitStatus
from confkit.settings import split_address
from licman.core.model import Handle, Holding, Owner, Wanted
from licman.core.use import Place, PoolUse, print_stat

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class Output(StrEnum):
    """How the answer is printed."""

    TABLE = "table"
    JSON = "json"


@cli.callback()
def licman() -> None:
    """Ask a License Manager."""


@cli.command()
def stat(
    endpoints: Annotated[
        list[str],
        typer.Option(
            "--endpoints", envvar="CONFSERV_LICMAN_ENDPOINTS", help="host:port of License Managers."
        ),
    ],
    ca: Annotated[pathlib.Path, typer.Option("--ca", envvar="CONFSERV_TLS__CA", help="Authority (PEM).")],
    certificate: Annotated[
        pathlib.Path,
        typer.Option("--certificate", envvar="CONFSERV_TLS__CERTIFICATE", help="Certificate (PEM)."),
    ],
    key: Annotated[
        pathlib.Path, typer.Option("--key", envvar="CONFSERV_TLS__KEY", help="Private key (PEM).")
    ],
    everything: Annotated[
        bool, typer.Option("-a", "--all", help="All features and holders (default).")
    ] = False,
    feature: Annotated[str, typer.Option("-f", "--feature", help="This feature alone.")] = "",
    output: Annotated[Output, typer.Option("-o", "--output", help="Form of the output.")] = Output.TABLE,
    timeout_s: Annotated[float, typer.Option("--timeout", help="How long to wait, in seconds.")] = 10.0,
) -> None:
    """Show who uses what."""
    tls = TlsFiles(ca=ca, certificate=certificate, key=key)
    try:
        answer, status = asyncio.run(_ask(endpoints, tls, feature, timeout_s))
    except NoPrimaryError as error:
        typer.echo(f"licman: {error}", err=True)
        raise typer.Exit(ExitStatus.NO_PRIMARY) from None
    except (CredentialsError, ConfservError) as error:
        typer.echo(f"licman: {error}", err=True)
        raise typer.Exit(ExitStatus.FAILED) from None
    if output is Output.JSON:
        typer.echo(json.dumps(document(answer), ensure_ascii=False))
        return
    now = dt.datetime.fromtimestamp(answer.time_ms / 1000, dt.UTC)
    rows = [row_of(feature_use) for feature_use in answer.features]
    typer.echo(print_stat(rows, place=place_of(status), now=now))


async def _ask(
    endpoints: list[str], tls: TlsFiles, feature: str, timeout_s: float
) -> tuple[checkout_pb2.ListUseResponse, ha_pb2.GetStatusResponse]:
    channel = ServiceChannel(endpoints, tls, component="License Manager", timeout_s=timeout_s)
    try:
        answer = await channel.unary(LIST_USE, checkout_pb2.ListUseRequest(feature=feature))
        return answer, await channel.unary(GET_STATUS, ha_pb2.GetStatusRequest())
    finally:
        await channel.close()


def document(answer: checkout_pb2.ListUseResponse) -> dict[str, object]:
    """Make the JSON document; every field is there, numbers are numbers."""
    return {
        "license_revision": answer.license_revision,
        "time_ms": answer.time_ms,
        "features": [
            {
                "feature": use.feature,
                "version": use.version,
                "vendor": use.vendor,
                "issued": use.issued,
                "used": use.used,
                "uncounted": use.uncounted,
                "expires": use.expires or None,
                "holdings": [_holding_document(one) for one in use.holdings],
            }
            for use in answer.features
        ],
    }


def _holding_document(holding: checkout_pb2.Holding) -> dict[str, object]:
    fields: dict[str, object] = MessageToDict(
        holding, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {**fields, "count": holding.count, "granted_ms": holding.granted_ms}


def row_of(use: checkout_pb2.FeatureUse) -> PoolUse:
    """Give a row of the answer as the core has it."""
    return PoolUse(
        feature=use.feature,
        version=use.version,
        vendor=use.vendor,
        issued=use.issued,
        used=use.used,
        expires_on=dt.date.fromisoformat(use.expires) if use.expires else None,
        is_uncounted=use.uncounted,
        is_valid=bool(use.issued or use.uncounted),
        holdings=tuple(_holding(one) for one in use.holdings),
    )


def _holding(message: checkout_pb2.Holding) -> Holding:
    wanted = Wanted(
        Owner(message.application),
        Handle(message.handle),
        message.feature,
        message.version,
        message.count,
        message.user,
        message.host,
        message.display,
        message.tenant,
    )
    return Holding(wanted, PoolId(""), message.granted_ms)


def place_of(status: ha_pb2.GetStatusResponse) -> Place:
    """Give the address and version of the primary that answered."""
    primary = status.primary if status.HasField("primary") else status.self
    host, port = split_address(primary.endpoints[0]) if primary.endpoints else ("unknown", 0)
    return Place(host, port, primary.version)
