"""Composition root: the only module that names the real adapters of a Configuration Server.

It decides one thing: whether this server may start at all (B-4). Everything else is joined here and decided elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from confapi.config.v1 import objects_pb2
from confclient.errors import ConfservError
from confclient.log import LogPublisher
from confkit.clock import SystemClock, wall_ms
from confkit.coordination import coordination, etcd_client, reach_etcd
from confkit.elected import ElectedServer, Program
from confkit.election.ports import StoreUnreachable
from confkit.events import EventLog
from confkit.former_holder import AgentFormerHolder
from confkit.license.files import read_trust_set
from confkit.license.findings import LicenseError
from confkit.license.trust import TrustSet
from confkit.member_service import member_messages, not_primary
from confkit.process import ExitStatus, Shutdown
from confkit.settings import SettingsError
from confserv.adapters.codec import ProtobufCodec
from confserv.adapters.descriptors import type_table
from confserv.adapters.failpoints import failpoints
from confserv.adapters.fence_store import SqlFence
from confserv.adapters.json_schema import JsonSchemas
from confserv.adapters.peers import Peers
from confserv.adapters.sql.database import (
    Database,
    DatabaseRefused,
    DatabaseTls,
    open_database,
    prepare_schema,
)
from confserv.adapters.sql.store import SqlStore
from confserv.adapters.state_store import SqlState
from confserv.api.answers import Shown
from confserv.api.services import POLICY, Served, services
from confserv.component import ConfigurationServer, Parts
from confserv.core.applications import ApplicationType
from confserv.core.directory import Directory
from confserv.core.effects import StepDown
from confserv.core.license import StartDecision, check_stored, judge_start
from confserv.core.rules import Rules
from confserv.service.bindings import LrmBindings
from confserv.service.engine import ConfigurationEngine
from confserv.service.former import FormerPrimary
from confserv.service.gate import Gate
from confserv.service.licensing import Licensing, Surroundings
from confserv.service.role_log import RoleLog
from confserv.service.sessions import Knowledge, SessionKeeper
from confserv.service.watchers import WatchHub
from confserv.settings import ConfservSettings
from confserv.state_ports import Fenced

COMPONENT = "confserv"
_log = structlog.get_logger()


def open_configured_database(settings: ConfservSettings) -> Database:
    """Open the Configuration Database that the settings name. Raises DatabaseRefused (exit status 2)."""
    tls = settings.database_tls
    database = open_database(
        settings.database,
        ttl_s=5.0 if settings.etcd is None else settings.etcd.lease_ttl_s,
        tls=None if tls is None else DatabaseTls(tls.ca, tls.certificate, tls.key),
    )
    if settings.several_hosts and database.serves_one_host:
        raise DatabaseRefused(
            "database: SQLite serves one host and several_hosts is set; use PostgreSQL for a pair over hosts"
        )
    return database


async def serve(
    settings: ConfservSettings,
    shutdown: Shutdown,
    take_over: bool = False,
    *,
    read_again: Callable[[], ConfservSettings] | None = None,
) -> int:
    """Run a Configuration Server until `shutdown`; gives the exit status.

    `take_over` is an operator's order to take the role without the HA feature (B-40); `read_again` reads the
    settings anew on SIGHUP. Raises SettingsError, DatabaseRefused, BindError, CoordinationRefused,
    TimingImpossible: see their texts.
    """
    trust = _read_trust(settings)
    events = EventLog(application=settings.name, component=COMPONENT)
    async with contextlib.AsyncExitStack() as stack:
        database = open_configured_database(settings)
        stack.callback(database.close)
        state = SqlState(database, session_ttl_s=settings.session_ttl_s)
        stack.callback(state.close)
        try:
            await asyncio.to_thread(prepare_schema, database, now_ms=wall_ms())
            decision = await _may_start(state, trust)
            if not decision.may_start:
                return _fail(decision.message, ExitStatus.NOT_LICENSED)
            running = _Running(settings, shutdown, events, trust, database, state, take_over=take_over)
            if read_again is not None:
                shutdown.on_reload(lambda: running.reload(read_again))
            return await running.run(stack)
        except StoreUnreachable as error:
            why = " ".join(str(error).split())
            return _fail(
                f"cannot reach the database: {why}; check `database` and that it runs", ExitStatus.FAILED
            )


def _read_trust(settings: ConfservSettings) -> TrustSet:
    try:
        return read_trust_set(settings.trust)
    except LicenseError as error:
        raise SettingsError(f"trust: {error}") from None


async def _may_start(state: SqlState, trust: TrustSet) -> StartDecision:
    deployment, stored = await state.deployment(), await state.license_revision()
    now = datetime.now(UTC)
    checked = None if stored is None else check_stored(stored, trust=trust, now=now)
    return judge_start(checked, new_deployment=deployment.new_deployment, now=now)


def _fail(message: str, status: ExitStatus) -> ExitStatus:
    print(f"confserv: {message}", file=sys.stderr)  # noqa: T201 - a command answers
    return status


@dataclass
class _Running:
    """The joining of one server; each part is made once, in the order in which the next ones need it."""

    settings: ConfservSettings
    shutdown: Shutdown
    events: EventLog
    trust: TrustSet
    database: Database
    state: SqlState
    take_over: bool

    def __post_init__(self) -> None:
        """Make the parts that need no address yet."""
        self.clock = SystemClock()
        self.version = importlib.metadata.version("confserv")
        self.failure = ""
        program = Program(
            COMPONENT, self.version, POLICY, take_over=self.take_over, announce=RoleLog(self.events).notice
        )
        self.server = ElectedServer(self.settings, program)
        self.gate = Gate(
            epoch_at=lambda now_s: self.server.election.epoch_at(now_s),
            clock=self.clock,
            refusal=self._refusal,
        )
        self.codec = ProtobufCodec(type_table())
        self.shown = Shown(self._license_option)
        self.engine = self._engine()
        self.directory = Directory(self.engine.configuration, self.codec)
        self.bindings = LrmBindings(
            store=self.state,
            gate=self.gate,
            rules=self.settings.binding_rules(),
            events=self.events,
            clock=self.clock,
            on_fenced=self._fenced,
        )
        self.licensing = Licensing(
            store=self.state,
            trust=self.trust,
            rules=self.settings.compliance_rules(),
            poll_s=self.settings.license_poll_s,
            gate=self.gate,
            events=self.events,
            clock=self.clock,
            surroundings=Surroundings(lambda: self.bindings.away_since_ms, self._trust_differs),
            on_fenced=self._fenced,
            on_reachability=self._reachability_changed,
        )
        self.keeper = SessionKeeper(
            store=self.state,
            gate=self.gate,
            knowledge=Knowledge(
                self.directory.application_facts, lambda: self.bindings.stage, self.licensing.has_feature
            ),
            lease_ttl_s=self.settings.session_ttl_s,
            events=self.events,
            clock=self.clock,
            on_fenced=self._fenced,
        )

    async def run(self, stack: contextlib.AsyncExitStack) -> int:
        """Bind, elect, serve, leave."""
        endpoint = self.server.bind()
        self.fence = fence = SqlFence(self.database, trust=self.trust)
        stack.callback(fence.close)
        peers = Peers(self.settings.tls.files())
        stack.push_async_callback(peers.close)
        etcd = etcd_client(self.settings.required_etcd())
        stack.push_async_callback(etcd.close)
        self.component = ConfigurationServer(
            Parts(
                self.gate,
                self.engine,
                self.keeper,
                self.bindings,
                self.licensing,
                fence,
                self.state,
                peers,
                self._former(fence),
            ),
            facts=lambda: self.server.facts,
            events=self.events,
            clock=self.clock,
            trust_sha256=self.trust.sha256,
            take_over=self.take_over,
            ended=self._ended,
        )
        await self.engine.load()
        stack.push_async_callback(self.engine.stop)
        await self.licensing.refresh()
        coordinated = coordination(self.settings, etcd, component=COMPONENT)
        await reach_etcd(coordinated, self.settings.required_etcd())
        election = self.server.elect(self.component, coordinated)
        stack.callback(election.subscribe(self._election_changed))
        self._add_services()
        await self._log_centrally(stack)
        for work in (
            self.engine.follow(),
            self.licensing.run(),
            self.bindings.run(),
            self.keeper.run(),
            self.component.run(),
        ):
            stack.push_async_callback(_end, self._watched(work))
        self.events.emit("00-25000", version=self.version, endpoint=endpoint)
        status = await self.server.run(self.shutdown)
        self.events.emit("00-25001", detail=self.shutdown.reason)
        return ExitStatus.FAILED if self.failure else status

    def reload(self, read_again: Callable[[], ConfservSettings]) -> None:
        """Take over what may change while serving: rules of license and LRM, and the trusted keys."""
        try:
            settings = read_again()
            self.trust = _read_trust(settings)
        except SettingsError as error:
            _log.error("settings stay as they were", detail=str(error))
            return
        self.bindings.configure(settings.binding_rules())
        self.licensing.configure(rules=settings.compliance_rules(), trust=self.trust)
        self.fence.configure(self.trust)
        self.component.trusts(self.trust.sha256)
        _log.info("settings read again")

    def _former(self, fence: SqlFence) -> FormerPrimary:
        settings = self.settings
        one_host = settings.agent and self.database.serves_one_host
        holder = AgentFormerHolder(settings.agent, settings.tls.files()) if one_host else None
        return FormerPrimary(fence=fence, holder=holder, facts=lambda: self.server.facts, events=self.events)

    def _engine(self) -> ConfigurationEngine:
        store = SqlStore(
            self.database,
            self.codec,
            failpoint=failpoints(
                enabled=self.settings.obey_failpoints,
                directory=self.settings.data_dir,
                environment=os.environ,
            ),
        )
        return ConfigurationEngine(
            store=store,
            rules=Rules(type_table(), self.codec, JsonSchemas()),
            clock=self.clock,
            hub=WatchHub(self.shown.transaction),
            epoch_now=lambda: self.server.election.epoch_now(),
            on_step_down=self._step_down,
            on_reachability=self._reachability_changed,
            reserved_value=self._license_option,
        )

    def _add_services(self) -> None:
        served = Served(
            gate=self.gate,
            engine=self.engine,
            keeper=self.keeper,
            bindings=self.bindings,
            licensing=self.licensing,
            reader=self.codec,
            shown=self.shown,
            members=self._members,
            application=self._application,
        )
        for service in services(served):
            self.server.add(service.register, service.servicer, service.name)

    async def _log_centrally(self, stack: contextlib.AsyncExitStack) -> None:
        given = self.settings.message_servers
        publisher = LogPublisher(
            given or (lambda: self.directory.endpoints(ApplicationType.MESSAGE_SERVER)),
            self.settings.tls.files(),
            self.settings.data_dir / "spool" / self.settings.name / "log",
        )
        self.events.attach(publisher.put)
        await publisher.start()
        stack.push_async_callback(publisher.close)

    # --- what the parts ask and tell

    def _refusal(self) -> ConfservError:
        return not_primary(self.server.election.primary(), here=self.settings.name)

    def _members(self) -> list[Any]:
        return member_messages(COMPONENT, self.server.election.members())

    def _application(self, name: str) -> objects_pb2.ConfigObject | None:
        record = self.directory.application(name)
        return None if record is None else objects_pb2.ConfigObject.FromString(record.data)

    def _trust_differs(self) -> tuple[str, ...]:
        own = self.trust.sha256
        members = self.server.election.members()
        return tuple(one.instance for one in members if one.state.extra.get("trust", own) != own)

    def _license_option(self) -> str | None:
        current = self.licensing.current
        return None if current is None else f"{current.stored.revision} {current.stored.sha256}"

    def _election_changed(self) -> None:
        self.gate.look()
        self.engine.poke()

    def _reachability_changed(self) -> None:
        self.server.election.refresh()

    def _fenced(self, fenced: Fenced) -> None:
        self.component.fenced(fenced)

    def _step_down(self, step: StepDown) -> None:
        self.component.step_down(step)

    def _ended(self, reason: str) -> None:
        self.failure = reason
        self.shutdown.request(reason)

    def _watched(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._ended(f"{type(error).__name__}: {error}")


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
