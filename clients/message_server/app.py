"""Composition root: the only module that names the real adapters of a Message Server."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
from concurrent.futures import ThreadPoolExecutor

from confapi.config.v1 import objects_pb2
from confapi.message.v1 import message_pb2_grpc
from confclient.errors import ConfservError
from confkit.attachment import Attachment
from confkit.clock import wall_ms
from confkit.coordination import coordination, etcd_client, reach_etcd
from confkit.database import Database
from confkit.elected import ElectedServer, Program
from confkit.election.ports import StoreUnreachable
from confkit.events import EventLog
from confkit.fenced_component import Setting
from confkit.member_service import not_primary
from confkit.notices import announcer
from confkit.process import ExitStatus, Shutdown
from confkit.store_settings import open_configured_database
from confkit.tasks import end
from message_server.adapters.sql import SqlLogStore
from message_server.api import POLICY, SERVICE, LogService
from message_server.component import MessageServer
from message_server.fanout import Fanout
from message_server.journal import Journal, Surroundings
from message_server.settings import MessageServerSettings
from message_server.subscriptions import LogReader

COMPONENT = "message-server"
_READERS = 4


async def open_store(database: Database, shutdown: Shutdown) -> SqlLogStore | None:
    """Open the store, waiting for a database that does not answer yet; None when the process is to end first."""
    while not shutdown.requested:
        try:
            return await asyncio.to_thread(SqlLogStore, database)
        except StoreUnreachable as error:
            EventLog(application="", component=COMPONENT).emit("42-25011", detail=error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(shutdown.wait(), 1.0)
    return None


async def serve(settings: MessageServerSettings, shutdown: Shutdown, *, take_over: bool = False) -> int:
    """Run a Message Server until `shutdown`; gives the exit status. `take_over` is an operator's order (B-40).

    Raises DatabaseRefused, BindError, CoordinationRefused, CoordinationUnavailable, TimingImpossible: see their texts.
    """
    events = EventLog(application=settings.name, component=COMPONENT)
    version = importlib.metadata.version("confserv")
    program = Program(COMPONENT, version, POLICY, take_over=take_over, announce=announcer(events))
    server = ElectedServer(settings, program)
    endpoint = server.bind()
    async with contextlib.AsyncExitStack() as stack:
        database = open_configured_database(settings, program=COMPONENT)
        stack.callback(database.close)
        store = await open_store(database, shutdown)
        if store is None:
            return ExitStatus.DONE
        etcd = etcd_client(settings.required_etcd())
        stack.push_async_callback(etcd.close)
        coordinated = coordination(settings, etcd, component=COMPONENT)
        await reach_etcd(coordinated, settings.required_etcd())
        attachment = Attachment(
            settings,
            application_type=objects_pb2.APPLICATION_TYPE_MESSAGE_SERVER,
            version=version,
            endpoints=(endpoint,),
            events=events,
        )
        journal, component = _join(server, store, attachment, events, stack, take_over=take_over)
        server.elect(component, coordinated)
        await stack.enter_async_context(attachment)
        keeping = asyncio.create_task(journal.run(), name="journal")
        stack.push_async_callback(end, keeping)
        events.emit("00-25000", version=version)
        return await server.run(shutdown)


def _join(
    server: ElectedServer,
    store: SqlLogStore,
    attachment: Attachment,
    events: EventLog,
    stack: contextlib.AsyncExitStack,
    *,
    take_over: bool,
) -> tuple[Journal, MessageServer]:
    """Join store, journal, subscriptions and service; the stack ends their threads."""
    writer = ThreadPoolExecutor(1, thread_name_prefix="log-writer")
    readers = ThreadPoolExecutor(_READERS, thread_name_prefix="log-reader")
    for pool in (writer, readers):
        stack.callback(pool.shutdown, wait=False)

    def refusal() -> ConfservError:
        return not_primary(server.election.primary(), here=server.facts.instance)

    fanout = Fanout()
    surroundings = Surroundings(
        epoch_now=lambda: server.election.epoch_now(),
        refusal=refusal,
        wall_ms=wall_ms,
        tell=fanout.tell,
        log=events.emit,
    )
    journal = Journal(store, writer, surroundings)
    setting = Setting(
        fence=store,
        store_thread=writer,
        facts=lambda: server.facts,
        ha_licensed=lambda: attachment.license.ha_licensed,
        wall_ms=wall_ms,
        events=events,
        take_over=take_over,
    )
    component = MessageServer(setting, store=store, journal=journal, fanout=fanout, refusal=refusal)
    reader = LogReader(
        store=store,
        readers=readers,
        journal=journal,
        fanout=fanout,
        lagged=lambda: events.emit("42-25014", client="a subscriber"),
    )
    service = LogService(journal=journal, reader=reader)
    server.add(message_pb2_grpc.add_LogServiceServicer_to_server, service, SERVICE)
    return journal, component
