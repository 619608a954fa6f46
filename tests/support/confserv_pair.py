"""Configuration Servers in one process, over one real database, without etcd or gRPC: the test is the election."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from confkit.election.types import (
    Epoch,
    EtcdIdentity,
    Grounds,
    History,
    InstanceName,
    Member,
    ProcessFacts,
    Promotion,
    View,
)
from confkit.fence import FenceRow
from confserv.adapters.codec import ProtobufCodec
from confserv.adapters.descriptors import type_table
from confserv.adapters.fence_store import SqlFence
from confserv.adapters.json_schema import JsonSchemas
from confserv.adapters.sql.database import Database, open_database, prepare_schema
from confserv.adapters.sql.store import SqlStore
from confserv.adapters.state_store import SqlState
from confserv.component import ConfigurationServer, Parts
from confserv.core.binding import BindingRules
from confserv.core.compliance import ComplianceRules
from confserv.core.directory import Directory
from confserv.core.rules import Rules
from confserv.service.bindings import LrmBindings
from confserv.service.engine import ConfigurationEngine
from confserv.service.former import FormerPrimary
from confserv.service.licensing import Licensing, Surroundings
from confserv.service.sessions import Knowledge, SessionKeeper
from confserv.service.upload import Upload, load_license
from confserv.service.watchers import WatchHub
from tests.support.confserv_parts import Stage
from tests.support.licenses import NOW, TRUST, signed

RIGHT_TO_USE = "VENDOR acmed\nFEATURE config_server acmed 1.0 31-dec-2027 1 ISSUED=15-jan-2026\n"
HA = "FEATURE ha_redundancy acmed 1.0 31-dec-2027 uncounted HOSTID=ANY ISSUED=16-jan-2026\n"
WITH_HA, WITHOUT_HA = signed(RIGHT_TO_USE + HA), signed(RIGHT_TO_USE)
IDENTITY = EtcdIdentity("etcd-1")
_pids = itertools.count(100)


class Ready:
    """Another member, as this one finds it."""

    def __init__(self) -> None:
        self.ready = True

    async def is_ready(self, member: Member, *, timeout_s: float) -> bool:
        return self.ready


class Agent:
    """The agent of the host, which kills who keeps the database: it ends the transaction that stands in the way."""

    def __init__(self) -> None:
        self.blocker: sa.Connection | None = None
        self.asked: list[FenceRow] = []

    async def end(self, row: FenceRow, *, reason: str) -> bool:
        self.asked.append(row)
        if self.blocker is not None:
            self.blocker.close()
        return self.blocker is not None


@dataclass
class Server:
    """One server. `base.epoch` is what the election gives it; the parts are the real ones."""

    name: str
    database: Database
    base: Stage = field(default_factory=lambda: Stage(epoch=None))
    ended: list[str] = field(default_factory=list)
    successors: Ready = field(default_factory=Ready)
    former: Agent = field(default_factory=Agent)
    take_over: bool = False

    def __post_init__(self) -> None:
        pid = next(_pids)
        self.facts = ProcessFacts(
            InstanceName(self.name), host="host-1", boot_id="boot-1", pid=pid, process_start_ticks=pid
        )
        base, self.state = self.base, SqlState(self.database)
        self.fence = SqlFence(self.database, trust=TRUST)
        codec = ProtobufCodec(type_table())
        self.engine = ConfigurationEngine(
            store=SqlStore(self.database, codec),
            rules=Rules(type_table(), codec, JsonSchemas()),
            clock=base.clock,
            hub=WatchHub(lambda entry, selected, history: b""),
            epoch_now=lambda: base.epoch,
            on_step_down=lambda step: self.component.step_down(step),
        )
        self.directory = Directory(self.engine.configuration, codec)
        self.bindings = LrmBindings(
            store=self.state,
            gate=base.gate,
            rules=BindingRules(),
            events=base.events,
            clock=base.clock,
            on_fenced=lambda fenced: self.component.fenced(fenced),
        )
        self.licensing = Licensing(
            store=self.state,
            trust=TRUST,
            rules=ComplianceRules(),
            poll_s=0.01,
            gate=base.gate,
            events=base.events,
            clock=base.clock,
            surroundings=Surroundings(lambda: self.bindings.away_since_ms, lambda: ()),
            on_fenced=lambda fenced: self.component.fenced(fenced),
        )
        self.keeper = SessionKeeper(
            store=self.state,
            gate=base.gate,
            knowledge=Knowledge(
                self.directory.application_facts, lambda: self.bindings.stage, self.licensing.has_feature
            ),
            lease_ttl_s=10,
            events=base.events,
            clock=base.clock,
            on_fenced=lambda fenced: self.component.fenced(fenced),
        )
        self.component = ConfigurationServer(
            Parts(
                base.gate,
                self.engine,
                self.keeper,
                self.bindings,
                self.licensing,
                self.fence,
                self.state,
                self.successors,
                FormerPrimary(
                    fence=self.fence, holder=self.former, facts=lambda: self.facts, events=base.events
                ),
            ),
            facts=lambda: self.facts,
            events=base.events,
            clock=base.clock,
            trust_sha256=TRUST.sha256,
            take_over=self.take_over,
            ended=self.ended.append,
        )

    async def start(self) -> Server:
        """Read what a server reads before it takes part in elections."""
        await self.engine.load()
        await self.licensing.refresh()
        return self

    async def promote(self, mod_revision: int, *, view: View | None = None) -> Promotion:
        """Win the key at this revision of etcd, and be promoted."""
        epoch = Epoch(1, mod_revision)
        grounds = Grounds(
            identity=IDENTITY,
            etcd_revision=mod_revision,
            granted_ttl_s=5,
            waited_s=100,
            view=view or View(mod_revision, IDENTITY),
            take_over=self.take_over,
        )
        self.base.epoch = epoch
        return await self.component.promote(epoch, grounds)

    async def demote(self) -> None:
        """Lose the key."""
        self.base.epoch = None
        await self.component.demote("lost", None)

    async def stop(self) -> None:
        """End its threads."""
        await self.engine.stop()
        self.fence.close()
        self.state.close()


@dataclass
class World:
    """A database, and the servers over it."""

    url: str
    servers: list[Server] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database = open_database(self.url, ttl_s=1.0)
        prepare_schema(self.database, now_ms=int(NOW.timestamp() * 1000))
        self.uploader = SqlState(self.database)

    async def server(self, name: str, *, take_over: bool = False) -> Server:
        """Add a server."""
        made = Server(name, self.database, take_over=take_over)
        self.servers.append(made)
        return await made.start()

    async def upload(self, text: bytes) -> None:
        """Load a license as the command line does, beside all servers."""
        wanted = Upload(text, "test.lic", "test", accept_expired=True, accept_older=True)
        await load_license(self.uploader, wanted, trust=TRUST, now=datetime.now(UTC))

    async def close(self) -> None:
        """End everything."""
        for server in self.servers:
            await server.stop()
        self.uploader.close()
        self.database.close()


def sqlite_world(directory: Path) -> World:
    """A world on a SQLite file."""
    return World(f"sqlite:///{directory / 'c.db'}")


def view_with(history: History) -> View:
    """Give etcd as it is when it has a history on record."""
    return View(50, IDENTITY, history=history)
