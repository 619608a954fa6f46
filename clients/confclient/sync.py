"""The client library for programs without an event loop: the same names, calls that wait.

    from confclient import sync

    with sync.connect(endpoints=[…], tls=tls, application="billing") as config:
        config.cache.start()
        config.cache.option("billing", "limits", "retries")

Why it exists: most business applications are not asynchronous. It is thin: one loop in one thread of its own, in which
the asynchronous client lives; all that is said there holds here. Its objects may be used from any thread but a loop's.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from confapi.config.v1 import config_pb2, objects_pb2
from confclient import client as asynchronous
from confclient.cached import OptionsOf
from confclient.licenses import Held
from confclient.objects import CURRENT
from confclient.usage import UsageHandle
from confclient.watch import WatchEvent

Result = TypeVar("Result")


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        """Start it."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="confclient", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Carry out a coroutine there and give its result, or raise what it raised."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def call(self, function: Callable[[], Result]) -> Result:
        """Call a function there and give its result."""

        async def work() -> Result:
            return function()

        return self.run(work())

    def iterate(self, source: AsyncIterator[Result]) -> Iterator[Result]:
        """The values of an asynchronous iterator, one by one."""

        async def following() -> tuple[bool, Any]:
            try:
                return True, await anext(source)
            except StopAsyncIteration:
                return False, None

        try:
            while True:
                more, value = self.run(following())
                if not more:
                    return
                yield value
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                self.run(close())

    def stop(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Cache:
    """See `confclient.cache.Cache`."""

    def __init__(self, thread: LoopThread, client: asynchronous.Client) -> None:
        self._thread = thread
        self._cache = client.cache

    def start(self, *, timeout_s: float | None = None) -> None:
        """Follow, and return once the first snapshot is there."""
        self._thread.run(self._cache.start(timeout_s=timeout_s))

    @property
    def revision(self) -> int:
        """Revision that reads are from."""
        return self._cache.revision

    @property
    def connected(self) -> bool:
        """Whether a server is being followed now."""
        return self._cache.connected

    def wait_revision(self, revision: int, *, timeout_s: float | None = None) -> None:
        """Return once the cache is at `revision` or beyond."""
        self._thread.run(self._cache.wait_revision(revision, timeout_s=timeout_s))

    def get(self, type_: str, dbid: int) -> objects_pb2.ConfigObject | None:
        """The object of a type with this number."""
        return self._cache.get(type_, dbid)

    def find(self, type_: str, name: str, *, tenant: int = 0) -> objects_pb2.ConfigObject | None:
        """The object of a type with this name."""
        return self._thread.call(lambda: self._cache.find(type_, name, tenant=tenant))

    def list(self, type_: str) -> list[objects_pb2.ConfigObject]:
        """All objects of a type."""
        return self._thread.call(lambda: self._cache.list(type_))

    def options(self, name: str) -> OptionsOf:
        """Options of the application `name`, by section."""
        return self._cache.options(name)

    def option(self, name: str, section: str, option: str, default: str | None = None) -> str | None:
        """Value of an option of the application `name`."""
        return self._cache.option(name, section, option, default)


class Usage:
    """See `confclient.usage.UsageReporter`."""

    def __init__(self, thread: LoopThread, client: asynchronous.Client) -> None:
        self._thread = thread
        self._usage = client.usage

    @contextlib.contextmanager
    def start(
        self,
        *,
        tenant: str,
        item: str,
        place: str = "",
        device: str = "",
        user: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> Iterator[UsageHandle]:
        """Use a sellable item for the time of a `with` block."""
        handle = self._thread.call(
            lambda: self._usage.start(
                tenant=tenant, item=item, place=place, device=device, user=user, attributes=attributes
            )
        )
        try:
            yield handle
        finally:
            self._thread.call(handle.end)

    def flush(self, *, timeout_s: float) -> bool:
        """Wait until LRM has made everything durable; False when it has not in time."""
        return self._thread.run(self._usage.flush(timeout_s=timeout_s))


class Licenses:
    """See `confclient.licenses.Licenses`."""

    def __init__(self, thread: LoopThread, client: asynchronous.Client) -> None:
        self._thread = thread
        self._licenses = client.licenses

    @contextlib.contextmanager
    def checkout(self, feature: str, count: int = 1, **more: Any) -> Iterator[Held]:
        """Hold licenses of a feature for the time of a `with` block."""
        holding = self._licenses.checkout(feature, count, **more)
        held = self._thread.run(holding.__aenter__())
        try:
            yield held
        finally:
            self._thread.run(holding.__aexit__(None, None, None))


class Client:
    """See `confclient.client.Client`. `log` is the same object: its `put` may be called from any thread."""

    def __init__(self, thread: LoopThread, client: asynchronous.Client) -> None:
        self._thread = thread
        self._client = client
        self.cache = Cache(thread, client)
        self.usage = Usage(thread, client)
        self.licenses = Licenses(thread, client)
        self.log = client.log

    def get(
        self,
        key: objects_pb2.ObjectKey,
        *,
        consistency: config_pb2.Consistency = CURRENT,
        timeout_s: float | None = None,
    ) -> objects_pb2.ConfigObject:
        """Read one object."""
        return self._thread.run(self._client.get(key, consistency=consistency, timeout_s=timeout_s))

    def list(self, type_: str, **more: Any) -> list[objects_pb2.ConfigObject]:
        """Read all objects of a type."""
        return self._thread.run(self._client.list(type_, **more))

    def create(
        self, item: objects_pb2.ConfigObject, *, reason: str = "", timeout_s: float | None = None
    ) -> config_pb2.CreateObjectResponse:
        """Create an object."""
        return self._thread.run(self._client.create(item, reason=reason, timeout_s=timeout_s))

    def update(
        self, key: objects_pb2.ObjectKey, item: objects_pb2.ConfigObject, **more: Any
    ) -> config_pb2.UpdateObjectResponse:
        """Change an object."""
        return self._thread.run(self._client.update(key, item, **more))

    def delete(self, key: objects_pb2.ObjectKey, **more: Any) -> config_pb2.Commit:
        """Delete an object."""
        return self._thread.run(self._client.delete(key, **more))

    def transact(
        self, operations: Sequence[config_pb2.Operation], **more: Any
    ) -> config_pb2.TransactResponse:
        """Carry out operations in order, all or none."""
        return self._thread.run(self._client.transact(operations, **more))

    def watch(self, **more: Any) -> Iterator[WatchEvent]:
        """Follow changes; leaving the loop ends the watch."""
        return self._thread.iterate(self._client.watch(**more))


@contextlib.contextmanager
def connect(**arguments: Any) -> Iterator[Client]:
    """Connect an application; arguments and errors as `confclient.connect`."""
    thread = LoopThread()
    try:
        connection = asynchronous.connect(**arguments)
        client = thread.run(connection.__aenter__())
        try:
            yield Client(thread, client)
        finally:
            thread.run(connection.__aexit__(None, None, None))
    finally:
        thread.stop()
