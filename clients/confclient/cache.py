"""The configuration in the application's memory, kept up to date by a watch.

Reads cost no call and never fail; they may be stale, and say from which revision they are. While no server is
there they go on with what is known (`ha.md`, When etcd itself is away). It does not promise that a read sees a
write of somebody else that was acknowledged a moment ago: `wait_revision` does, given the revision.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from confapi.config.v1 import config_pb2, objects_pb2
from confclient.cached import CachedObjects, OptionsOf
from confclient.channel import ServiceChannel
from confclient.errors import ConfservError
from confclient.watch import Changed, ReadAgain, Snapshot, WatchEvent, filter_of, watch

Listener = Callable[[WatchEvent], None]
"""Called with each event after it has been taken over."""


class Cache:
    """Objects of some types, or of all, in memory."""

    def __init__(self, channel: ServiceChannel, *, types: Sequence[str] = ()) -> None:
        """Prepare; `start` begins to follow. `types`: none means all."""
        self.revision = 0
        self.connected = False
        self.failure: ConfservError | None = None
        self._channel = channel
        self._types = tuple(types)
        self._objects = CachedObjects()
        self._loaded = asyncio.Event()
        self._moved = asyncio.Event()
        self._listeners: list[Listener] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self, *, timeout_s: float | None = None) -> None:
        """Follow, and return once the first snapshot is there.

        Raises:
            TimeoutError: no snapshot within `timeout_s` seconds; the cache goes on trying.
            ConfservError: refused.
        """
        if self._task is None or self.failure is not None:  # after a refusal, a new start tries again
            self.failure = None
            self._loaded.clear()
            self._task = asyncio.create_task(self._follow(), name="follow the configuration")
        async with asyncio.timeout(timeout_s):
            await self._loaded.wait()
        if self.failure is not None:
            raise self.failure

    async def close(self) -> None:
        """Stop following; what is known stays readable."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.connected = False

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event from now on; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def wait_revision(self, revision: int, *, timeout_s: float | None = None) -> None:
        """Return once the cache is at `revision` or beyond; raises TimeoutError after `timeout_s` seconds."""
        async with asyncio.timeout(timeout_s):
            while self.revision < revision:
                self._moved.clear()
                await self._moved.wait()

    def get(self, type_: str, dbid: int) -> objects_pb2.ConfigObject | None:
        """The object of a type with this number; do not change it."""
        return self._objects.get(type_, dbid)

    def find(self, type_: str, name: str, *, tenant: int = 0) -> objects_pb2.ConfigObject | None:
        """The object of a type with this name; do not change it."""
        return self._objects.find(type_, name, tenant=tenant)

    def list(self, type_: str) -> list[objects_pb2.ConfigObject]:
        """All objects of a type; do not change them."""
        return self._objects.list(type_)

    def options(self, name: str) -> OptionsOf:
        """Options of the application `name`, by section; empty when there is none."""
        return self._objects.options("Application", name)

    def option(self, name: str, section: str, option: str, default: str | None = None) -> str | None:
        """Value of an option of the application `name`."""
        return self._objects.option(name, section, option, default)

    def __len__(self) -> int:
        """Number of objects."""
        return len(self._objects)

    async def _follow(self) -> None:
        events = watch(self._channel, watch_filter=filter_of(self._types), on_stream=self._connected)
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    self._take(event)
        except ConfservError as error:
            self.failure = error
            self._loaded.set()

    def _connected(self, stands: bool) -> None:
        self.connected = stands

    def _take(self, event: WatchEvent) -> None:
        if isinstance(event, Snapshot):
            self._objects.replace(event.objects)
            self._reached(event.resume)
            self._loaded.set()
        elif isinstance(event, Changed):
            self._objects.apply(event.transaction.changes)
            self._reached(event.resume)
        else:
            assert isinstance(event, ReadAgain)
            self.connected = False
        for listener in tuple(self._listeners):
            listener(event)

    def _reached(self, resume: config_pb2.ResumeToken) -> None:
        self.revision = resume.revision
        self._moved.set()
