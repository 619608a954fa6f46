"""The agent at work: gives the machine every event at once, and carries out its effects.

Everything runs in the event loop, and an event is taken the moment it is told: between the exit of a process and
the request that revokes its lease lies no queue (P-2). What etcd or the Configuration Server does not take is
repeated until it does, each by itself, so that neither waits for the other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from confclient.errors import ConfservError
from confkit.clock import Clock
from confkit.election.ports import CoordinationRefused, CoordinationUnavailable
from confkit.events import EventLog
from local_agent.core.machine import Machine
from local_agent.core.model import (
    ApplicationName,
    ApplicationSpec,
    Effect,
    Event,
    Exited,
    Instant,
    Log,
    ProcessKey,
    Ready,
    Report,
    Reported,
    Revoke,
    Revoked,
    Save,
    Signal,
    Spawn,
    Spawned,
    SpawnFailed,
    Tell,
    Tick,
    Watch,
)
from local_agent.ports import HostProcesses, Leases, Ledger, Reports, SpawnError

TICK_S = 0.2
REVOKE_RETRY_S = 0.2
REPORT_RETRY_S = (0.2, 5.0)
"""First and longest pause between reports of an exit, in seconds."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What the agent acts with."""

    processes: HostProcesses
    leases: Leases
    reports: Reports
    ledger: Ledger


class Follower:
    """Collects the names of applications that change, from its making on."""

    def __init__(self, followers: set[Follower]) -> None:
        self._followers = followers
        self._names: set[ApplicationName] = set()
        self._news = asyncio.Event()
        followers.add(self)

    def tell(self, name: ApplicationName) -> None:
        """An application has changed."""
        self._names.add(name)
        self._news.set()

    async def next(self) -> set[ApplicationName]:
        """Give the names that have changed since the last call; waits for one at least."""
        await self._news.wait()
        self._news.clear()
        names, self._names = self._names, set()
        return names

    def close(self) -> None:
        """Follow no more."""
        self._followers.discard(self)


class Agent:
    """Joins the machine to the world. Call `start` in the event loop, `run` while it lives."""

    def __init__(self, *, hands: Hands, clock: Clock, events: EventLog) -> None:
        self.machine = Machine()
        self._hands = hands
        self._clock = clock
        self._events = events
        self._inbox: deque[Event] = deque()
        self._busy = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._followers: set[Follower] = set()
        self._changes = 0
        self._saved = 0
        self._to_save = asyncio.Event()
        self._has_saved = asyncio.Event()

    def start(self) -> None:
        """Take up the list on disk: watch again, pay what is owed. Raises SettingsError for a broken list."""
        self._perform_all(self.machine.restore(self._hands.ledger.load(), self._now()))

    async def run(self) -> None:
        """Tick, and keep the list on disk, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick())
            group.create_task(self._keep_list())

    async def close(self) -> None:
        """Stop acting; what is owed stays on the list."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._hands.ledger.save, self.machine.durable())

    def handle(self, event: Event) -> None:
        """Take an event and do at once what follows. An effect may itself tell an event; it comes next."""
        self._inbox.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._inbox:
                self._perform_all(self.machine.step(self._inbox.popleft(), self._now()))
        finally:
            self._busy = False

    async def saved(self) -> None:
        """Return once the list on disk holds all that was told so far."""
        wanted = self._changes
        while self._saved < wanted:
            self._has_saved.clear()
            await self._has_saved.wait()

    def follow(self) -> Follower:
        """Follow applications from now on; close it at the end."""
        return Follower(self._followers)

    # effects

    def _perform_all(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Revoke(process, lease_ids):
                for lease_id in lease_ids:
                    self._run(self._revoke(process, lease_id))
            case Report(process):
                self._run(self._report(process))
            case Watch(process):
                self._hands.processes.watch(process, lambda status: self.handle(Exited(process, status)))
            case Signal(process, number):
                self._hands.processes.signal(process, number)
            case Spawn(spec):
                self._run(self._spawn(spec))
            case Log(number, attributes):
                self._events.emit(number, **attributes)
            case Tell(name):
                for follower in self._followers:
                    follower.tell(name)
            case Save():
                self._changes += 1
                self._to_save.set()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _revoke(self, process: ProcessKey, lease_id: int) -> None:
        failed = False
        while True:
            try:
                await self._hands.leases.revoke(lease_id)
            except (CoordinationUnavailable, CoordinationRefused) as error:
                if not failed:
                    self._events.emit("68-25020", pid=process.pid, detail=error)
                failed = True
                await asyncio.sleep(REVOKE_RETRY_S)
            else:
                break
        if failed:
            self._events.emit("68-25021", pid=process.pid)
        self.handle(Revoked(process, lease_id))

    async def _report(self, process: ProcessKey) -> None:
        pause_s, longest_s = REPORT_RETRY_S
        while True:
            with contextlib.suppress(ConfservError):
                await self._hands.reports.report_exit(process)
                break
            await asyncio.sleep(pause_s)
            pause_s = min(longest_s, 2 * pause_s)
        self.handle(Reported(process))

    async def _spawn(self, spec: ApplicationSpec) -> None:
        try:
            process = await self._hands.processes.spawn(spec, lambda: self.handle(Ready(spec.name)))
        except SpawnError as error:
            self.handle(SpawnFailed(spec.name, str(error)))
        else:
            self.handle(Spawned(spec.name, process))

    # life

    def _now(self) -> Instant:
        return Instant(self._clock.boottime_s(), self._clock.wall_ms())

    async def _tick(self) -> None:
        while True:
            self.handle(Tick())
            await asyncio.sleep(TICK_S)

    async def _keep_list(self) -> None:
        while True:
            await self._to_save.wait()
            self._to_save.clear()
            changes, durable = self._changes, self.machine.durable()
            await asyncio.to_thread(self._hands.ledger.save, durable)
            self._saved = changes
            self._has_saved.set()


async def settled(agent: Agent, condition: Callable[[], bool], *, timeout_s: float) -> bool:
    """Wait until `condition` holds, asked at each change of an application; False when it does not in time."""
    follower = agent.follow()
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await follower.next()
    except TimeoutError:
        return condition()
    finally:
        follower.close()
    return True
