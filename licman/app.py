"""Composition root: the only module that names the real adapters of a License Manager."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
from concurrent.futures import ThreadPoolExecutor

from confapi.config.v1 import objects_pb2
from confapi.license.v1 import checkout_pb2_grpc
from confkit.attachment import Attachment
from confkit.clock import boottime, wall_ms
from confkit.coordination import coordination, etcd_client
from confkit.database import Database
from confkit.elected import ElectedServer, Program
from confkit.election.ports import StoreUnreachable
from confkit.events import EventLog
from confkit.fenced_component import Setting
from confkit.license_follower import LicenseFollower
from confkit.member_service import not_primary
from confkit.notices import announcer
from confkit.process import ExitStatus, Shutdown
from confkit.store_settings import open_configured_database
from licman.adapters.journal import SqlJournal
from licman.api import POLICY, SERVICE, CheckoutService
from licman.component import LicenseManager
from licman.core.model import LicenseText, Moment
from licman.desk import Desk, License, Surroundings
from licman.settings import LicmanSettings

COMPONENT = "licman"
_RETRY_S = 1.0


def moment() -> Moment:
    """Read both clocks."""
    return Moment(wall_ms(), boottime())


def followed(follower: LicenseFollower) -> License | None:
    """Give the license that the Configuration Server told last, None when it never did."""
    if follower.terms is None:
        return None
    license_file = follower.terms.license_file
    text = LicenseText(follower.revision, license_file.sha256, license_file.print())
    return License(text, follower.terms.pools)


async def open_journal(database: Database, events: EventLog, shutdown: Shutdown) -> SqlJournal | None:
    """Open the journal, waiting for a database that does not answer yet; None when the process is to end
    first.
    """
    while not shutdown.requested:
        try:
            return await asyncio.to_thread(SqlJournal, database)
        except StoreUnreachable as error:
            events.emit("67-25013", detail=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_S):
                    await shutdown.wait()
    return None


async def serve(settings: LicmanSettings, shutdown: Shutdown, *, take_over: bool = False) -> int:
    """Run a License Manager until `shutdown`; gives the exit status. `take_over` is an operator's order
    (B-40).

    Raises DatabaseRefused, BindError, CoordinationRefused, TimingImpossible: see their texts. Raises WentBack
    when the journal was replaced under a primary.
    """
    events = EventLog(application=settings.name, component=COMPONENT)
    version = importlib.metadata.version("confserv")
    program = Program(COMPONENT, version, POLICY, take_over=take_over, announce=announcer(events))
    server = ElectedServer(settings, program)
    endpoint = server.bind()
    async with contextlib.AsyncExitStack() as stack:
        database = open_configured_database(settings, program=COMPONENT)
        stack.callback(database.close)
        journal = await open_journal(database, events, shutdown)
        if journal is None:
            return ExitStatus.DONE
        thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        stack.callback(thread.shutdown, wait=False)
        etcd = etcd_client(settings.required_etcd())
        stack.push_async_callback(etcd.close)
        attachment = Attachment(
            settings,
            application_type=objects_pb2.APPLICATION_TYPE_LICENSE_MANAGER,
            version=version,
            endpoints=(endpoint,),
            events=events,
        )
        around = Surroundings(
            epoch_now=lambda: server.election.epoch_now(),
            refusal=lambda: not_primary(server.election.primary(), here=settings.name),
            now=moment,
            log=events.emit,
        )
        desk = Desk(journal, thread, around, heartbeat_timeout_s=settings.heartbeat_timeout_s)
        component = LicenseManager(
            Setting(
                fence=journal,
                store_thread=thread,
                facts=lambda: server.facts,
                ha_licensed=lambda: attachment.license.ha_licensed,
                wall_ms=wall_ms,
                events=events,
                take_over=take_over,
            ),
            journal=journal,
            desk=desk,
            followed=lambda: followed(attachment.license),
        )
        attachment.license.subscribe(lambda: _follow(desk, attachment.license))
        server.elect(component, coordination(settings, etcd, component=COMPONENT))
        server.add(checkout_pb2_grpc.add_CheckoutServiceServicer_to_server, CheckoutService(desk), SERVICE)
        await stack.enter_async_context(attachment)
        events.emit("00-25000", version=version)
        return await _run(server, desk, shutdown)


async def _run(server: ElectedServer, desk: Desk, shutdown: Shutdown) -> int:
    """Run both until one ends; what the desk raises ends the process."""
    keeping = asyncio.create_task(desk.run(), name="desk")
    keeping.add_done_callback(lambda _: shutdown.request("the desk has ended"))
    try:
        return await server.run(shutdown)
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


def _follow(desk: Desk, follower: LicenseFollower) -> None:
    license_in_force = followed(follower)
    if license_in_force is not None:
        desk.follow(license_in_force)
