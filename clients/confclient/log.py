"""Log events on their way to the Message Server.

Why it exists: every process logs centrally, and none may wait for the log. Events are kept on disk while the Message
Server is away and sent in order when it is back; an event that is sent twice is stored once, by its uid.
An event is lost only when the spool is full or the process is killed in the moment between `put` and the next turn of
its loop; how many were dropped is counted, and said in the next event that gets through.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from confapi.message.v1 import message_pb2
from confclient.channel import ServiceChannel
from confclient.credentials import TlsFiles
from confclient.errors import ConfservError
from confclient.primary import Endpoints
from confclient.rpcs import PUBLISH_EVENTS
from confclient.shipping import Manifest, Shipper
from confclient.spool import Record, open_spool

MOST_IN_MEMORY = 20_000
"""Events that `put` takes before the loop has had a turn; more are dropped and counted."""

_BATCH = 1000


class LogPublisher:
    """Sends log events; `put` may be called from any thread, before `start` too."""

    def __init__(self, endpoints: Endpoints, tls: TlsFiles, spool_dir: Path | None = None) -> None:
        """Prepare.

        Args:
            endpoints: of the Message Server, host:port, or where to ask for them.
            tls: the process's certificate; its name is the application of the events.
            spool_dir: a directory of its own for events that cannot be delivered yet; None: in memory.
        """
        self.dropped = 0
        self._endpoints = endpoints
        self._tls = tls
        self._spool = open_spool(spool_dir)
        self._waiting: deque[message_pb2.LogEvent] = deque()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduled = False
        self._channel: ServiceChannel | None = None
        self._shipper: Shipper[message_pb2.PublishEventsRequest, message_pb2.PublishEventsResponse] | None = (
            None
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> LogPublisher:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    def put(self, event: message_pb2.LogEvent) -> None:
        """Take an event; never waits, never fails."""
        with self._lock:
            if len(self._waiting) >= MOST_IN_MEMORY:
                self.dropped += 1
                return
            self._waiting.append(event)
            if self._loop is None or self._scheduled:
                return
            self._scheduled = True
            loop = self._loop
        try:
            loop.call_soon_threadsafe(self._keep)
        except RuntimeError:  # the loop has ended: what waits is kept by `close`, or lost with the process
            self._scheduled = False

    async def start(self) -> None:
        """Begin to deliver, with what an earlier process has left first."""
        self._channel = ServiceChannel(self._endpoints, self._tls, component="Message Server")
        self._shipper = Shipper(self._channel, self._spool, _manifest(self._refused))
        self._task = asyncio.create_task(self._shipper.run(), name="publish log events")
        with self._lock:
            self._loop = asyncio.get_running_loop()
        self._keep()

    async def flush(self, *, timeout_s: float) -> bool:
        """Wait until every event put so far is stored; False when it is not within `timeout_s` seconds."""
        if self._shipper is None:
            return False
        self._keep()
        try:
            async with asyncio.timeout(timeout_s):
                await self._shipper.wait_empty()
        except TimeoutError:
            return False
        return True

    async def close(self, *, flush_s: float = 1.0) -> None:
        """Deliver what can be delivered within `flush_s` seconds and stop; the rest stays in the spool."""
        await self.flush(timeout_s=flush_s)
        with self._lock:
            self._loop = None
        self._keep()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close()
        self._spool.close()

    def _keep(self) -> None:
        """Move what waits in memory to the spool."""
        with self._lock:
            events = list(self._waiting)
            self._waiting.clear()
            self._scheduled = False
            dropped, self.dropped = (self.dropped, 0) if events else (0, self.dropped)
        if dropped:
            events[0].attributes["dropped_before"] = str(dropped)
        taken = self._spool.append([event.SerializeToString() for event in events])
        if taken < len(events):
            with self._lock:
                self.dropped += len(events) - taken
        if self._shipper is not None:
            self._shipper.wake()

    def _refused(self, record: Record, error: ConfservError) -> None:
        with self._lock:
            self.dropped += 1


def _manifest(
    refused: Callable[[Record, ConfservError], None],
) -> Manifest[message_pb2.PublishEventsRequest, message_pb2.PublishEventsResponse]:
    return Manifest(
        rpc=PUBLISH_EVENTS,
        pack=_pack,
        answered=lambda answer: answer.sequence,
        most=_BATCH,
        on_refused=refused,
    )


def _pack(number: int, records: Sequence[Record]) -> message_pb2.PublishEventsRequest:
    return message_pb2.PublishEventsRequest(
        sequence=number, events=[message_pb2.LogEvent.FromString(record.payload) for record in records]
    )
