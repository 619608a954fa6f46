"""Composition root of the License Reporting Manager: the only module that names its real adapters."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from confapi.config.v1 import objects_pb2
from confapi.usage.v1 import usage_pb2_grpc
from confclient.channel import ServiceChannel
from confkit.attachment import Attachment
from confkit.clock import SystemClock
from confkit.coordination import coordination, etcd_client
from confkit.elected import ElectedServer, Program
from confkit.events import EventLog
from confkit.former_holder import AgentFormerHolder
from confkit.license.files import read_trust_set
from confkit.license.findings import LicenseError
from confkit.license.trust import TrustSet
from confkit.notices import announcer
from confkit.process import Shutdown
from confkit.settings import SettingsError
from lrm import api
from lrm.adapters.duckdb_vault import DuckDbVault
from lrm.adapters.seen_epoch import SeenEpochFile
from lrm.service.bond import Bond, BondTools
from lrm.service.keeper import StoreKeeper
from lrm.service.license_book import LicenseBook
from lrm.service.role import RoleTools, UsageRole
from lrm.settings import LrmSettings

COMPONENT = "lrm"


async def serve(settings: LrmSettings, shutdown: Shutdown, take_over: bool = False) -> int:
    """Run until `shutdown`; returns the exit status.

    Raises:
        SettingsError: a file or folder that the settings name cannot be used.
        BindError: the address cannot be bound.
    """
    prepare(settings)
    version = importlib.metadata.version("confserv")
    events = EventLog(application=settings.name, component=COMPONENT)
    book = LicenseBook(now=_now)
    async with contextlib.AsyncExitStack() as stack:
        etcd = etcd_client(settings.required_etcd())
        stack.push_async_callback(etcd.close)
        server = ElectedServer(
            settings,
            Program(
                component=COMPONENT,
                version=version,
                policy=api.POLICY,
                take_over=take_over,
                announce=announcer(events),
            ),
        )
        endpoint = server.bind()
        role = _role(settings, server, book, events, shutdown, take_over=take_over)
        stack.push_async_callback(role.close)
        server.elect(role, coordination(settings, etcd, component=COMPONENT))
        server.add(
            usage_pb2_grpc.add_UsageServiceServicer_to_server,
            api.UsageApi(
                role=role, book=book, now_s=_now_s, longest_report_days=settings.longest_report_days
            ),
            api.SERVICE,
        )
        attachment = Attachment(
            settings,
            application_type=objects_pb2.APPLICATION_TYPE_LICENSE_REPORTING_MANAGER,
            version=version,
            endpoints=[endpoint],
            events=events,
        )
        bond = _bond(settings, attachment.channel, book, events)
        role.status = bond.status
        shutdown.on_reload(lambda: _read_trust_again(settings, bond, events))
        await stack.enter_async_context(attachment)
        for work in (role.recorder.run(), _bound(attachment, bond)):
            stack.push_async_callback(_end, _watched(work, shutdown))
        events.emit("00-25000", version=version)
        status = await server.run(shutdown)
        events.emit("00-25001", detail=shutdown.reason)
        return status


def prepare(settings: LrmSettings) -> None:
    """Check what can be checked before anything starts. Raises SettingsError."""
    if settings.several_hosts:
        raise SettingsError(
            "database: a DuckDB file serves one host and several_hosts is set; run the pair on one host"
        )
    if not settings.config_servers:
        raise SettingsError("config_servers is missing: name the Configuration Servers to bind to")
    for directory in (settings.data_dir, settings.store_file.parent):
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"cannot make {directory}: {error.strerror}") from None


def _role(
    settings: LrmSettings,
    server: ElectedServer,
    book: LicenseBook,
    events: EventLog,
    shutdown: Shutdown,
    *,
    take_over: bool,
) -> UsageRole:
    former = AgentFormerHolder(settings.agent, settings.tls.files()) if settings.agent else None
    return UsageRole(
        RoleTools(
            keeper=StoreKeeper(
                DuckDbVault(settings.store_file, session_timeout_ms=settings.session_timeout_s * 1000),
                facts=server.facts,
                events=events,
                former=former,
            ),
            book=book,
            events=events,
            clock=SystemClock(),
            facts=server.facts,
            leadership=lambda: server.election,
            on_lost=lambda reason: shutdown.request(f"the usage store is lost: {reason}"),
            take_over=take_over,
        )
    )


def _bond(settings: LrmSettings, channel: ServiceChannel, book: LicenseBook, events: EventLog) -> Bond:
    try:
        return Bond(
            BondTools(
                channel=channel,
                instance=settings.name,
                book=book,
                seen=SeenEpochFile(settings.data_dir / "highest-token.json"),
                events=events,
                now=_now,
                trust=_trust(settings),
                check_s=settings.license_check_s,
            )
        )
    except (LicenseError, ValueError) as error:
        raise SettingsError(str(error)) from None


def _trust(settings: LrmSettings) -> TrustSet | None:
    return read_trust_set(settings.trust) if settings.trust is not None else None


def _read_trust_again(settings: LrmSettings, bond: Bond, events: EventLog) -> None:
    """What SIGHUP does: the file of trusted keys may have changed; one that cannot be read changes nothing."""
    try:
        bond.trust = _trust(settings)
    except LicenseError as error:
        events.emit("66-25204", detail=str(error))


async def _bound(attachment: Attachment, bond: Bond) -> None:
    """Keep the bond once there is a session to bind in."""
    await attachment.session.wait_open()
    await bond.run()


def _watched(work: Coroutine[Any, Any, None], shutdown: Shutdown) -> asyncio.Task[None]:
    """Run something beside the server; its failure is the end of the process."""
    task = asyncio.create_task(work)
    task.add_done_callback(_failed(shutdown))
    return task


def _failed(shutdown: Shutdown) -> Callable[[asyncio.Task[None]], None]:
    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            shutdown.request(f"{type(error).__name__}: {error}")

    return ended


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _now() -> datetime:
    return datetime.now(UTC)


def _now_s() -> int:
    return SystemClock().wall_ms() // 1000
