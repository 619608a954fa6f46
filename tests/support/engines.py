"""Engines over a database in memory, for tests: several of them are the servers of one cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from confkit.election.types import Epoch
from confserv.adapters.memory import MemoryDatabase, MemoryStore
from confserv.api.answers import Shown
from confserv.core.bootstrap import first_objects
from confserv.core.effects import StepDown
from confserv.ports import ConfigurationStore
from confserv.service.engine import ConfigurationEngine
from confserv.service.watchers import WatchHub
from tests.support.configurations import EPOCH, HISTORY, NOW_MS, RULES

LICENSE_OPTION = "3 0a1b"


class StillClock:
    """A wall clock that stands still."""

    def boottime_s(self) -> float:
        """Seconds since boot."""
        return 1000.0

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return NOW_MS


@dataclass
class Server:
    """One server: its engine, the token that its election believes in, and what it was told."""

    store: ConfigurationStore
    epoch: Epoch | None = None
    max_queued: int = 1000
    patience_s: float = 5.0
    recent: int = 1000
    steps: list[StepDown] = field(default_factory=list)
    license_option: str | None = LICENSE_OPTION
    engine: ConfigurationEngine = field(init=False)

    def __post_init__(self) -> None:
        self.shown = Shown(lambda: self.license_option)
        self.engine = ConfigurationEngine(
            store=self.store,
            rules=RULES,
            clock=StillClock(),
            hub=WatchHub(self.shown.transaction, max_queued=self.max_queued),
            epoch_now=lambda: self.epoch,
            on_step_down=self.steps.append,
            reserved_value=lambda: self.license_option,
            patience_s=self.patience_s,
            recent=self.recent,
        )

    async def promote(self, epoch: Epoch = EPOCH) -> None:
        """Open under `epoch`, which the fence row must hold already."""
        self.epoch = epoch
        seen = await self.engine.prepare_promotion()
        tail = await self.engine.read_log(after_revision=seen.revision)
        await self.engine.open(
            epoch, history_id=HISTORY, tail=tail, first_objects=first_objects(server="confserv-1")
        )


@asynccontextmanager
async def following(server: Server) -> AsyncIterator[Server]:
    """A server that has loaded and follows the log."""
    await server.engine.load()
    task = asyncio.create_task(server.engine.follow())
    try:
        yield server
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.engine.stop()


@asynccontextmanager
async def a_primary(database: MemoryDatabase, **wishes: object) -> AsyncIterator[Server]:
    """A primary under EPOCH with the first objects."""
    database.raise_token(EPOCH, history_id=HISTORY)
    server = Server(MemoryStore(database), **wishes)  # type: ignore[arg-type]
    async with following(server):
        await server.promote()
        yield server
