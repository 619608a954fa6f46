"""Use of sellable items on its way to the License Reporting Manager, exactly once.

Why it exists: what is billed must neither be lost nor counted twice, and an application must not wait for LRM. Each
statement about a session is put into a batch; the batch gets its number in the sequence of this source when it goes to
the spool on disk, and keeps it through every repetition and restart; LRM recognizes it by that number. Nothing is
promised for statements that a spool has refused because it is full: `refused` counts them, and `start` and `end` go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confapi.usage.v1 import usage_pb2
from confclient.channel import ServiceChannel
from confclient.errors import ConfservError
from confclient.request_ids import new_id
from confclient.rpcs import RECORD_USAGE
from confclient.shipping import Manifest, Shipper
from confclient.spool import DEFAULT_MAX_BYTES, Record, open_spool

MOST_IN_A_BATCH = 10_000

_GATHER_S = 0.1
_ALIVE_S = 60.0
_LAST_SEQUENCE = 2**62

OnRefused = Callable[[str, str, str], None]
"""Told of a statement that LRM has refused: id of the session, reason, sentence."""


@dataclass(slots=True)
class UsageHandle:
    """One use of a sellable item that has begun; made by `UsageReporter.start`."""

    session: usage_pb2.UsageSession
    reporter: UsageReporter = field(repr=False)
    ended: bool = False

    def end(self, *, at_ms: int | None = None) -> None:
        """Say that the use has ended, now or at `at_ms` (UTC); a second call changes nothing."""
        if not self.ended:
            self.ended = True
            self.reporter.end(self, at_ms=at_ms)

    def __enter__(self) -> UsageHandle:
        """Use the item for the time of a `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self.end()


class UsageReporter:
    """Reports the use of sellable items by one application."""

    def __init__(
        self,
        channel: ServiceChannel,
        *,
        source: str,
        spool_dir: Path | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        on_refused: OnRefused | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Prepare; `start_delivery` begins.

        Args:
            channel: to the License Reporting Manager.
            source: the application's name, as in its certificate.
            spool_dir: a directory of its own for what LRM has not acknowledged; None: in memory, and then a crash of
                the process loses it.
            max_bytes: most that the spool keeps.
            on_refused: told of statements that LRM refuses.
            now_ms: UTC wall time in milliseconds.
        """
        self.refused = 0
        self._source = source
        self._spool_dir = spool_dir
        self._spool = open_spool(spool_dir, max_bytes=max_bytes, sync=True)
        self._on_refused = on_refused or (lambda *_: None)
        self._now_ms = now_ms
        self._pending: list[usage_pb2.UsageSession] = []
        self._open: dict[str, UsageHandle] = {}
        self._shift = self._read_shift()
        self._shipper = Shipper(
            channel,
            self._spool,
            Manifest(
                rpc=RECORD_USAGE,
                pack=self._pack,
                answered=self._answered,
                most=1,
                on_gap=self._on_gap,
                on_refused=self._given_up,
            ),
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._keeping = asyncio.Lock()

    def start(
        self,
        *,
        tenant: str,
        item: str,
        place: str = "",
        device: str = "",
        user: str = "",
        attributes: Mapping[str, str] | None = None,
        at_ms: int | None = None,
    ) -> UsageHandle:
        """Say that a use has begun, now or at `at_ms` (UTC); end it by `end` of what is returned."""
        session = usage_pb2.UsageSession(
            id=new_id(),
            version=1,
            tenant=tenant,
            item=item,
            place=place,
            device=device,
            user=user,
            start_ms=self._now_ms() if at_ms is None else at_ms,
            attributes=attributes,
        )
        handle = UsageHandle(session, self)
        self._open[session.id] = handle
        self.record(session)
        return handle

    def end(self, handle: UsageHandle, *, at_ms: int | None = None) -> None:
        """See `UsageHandle.end`."""
        self._open.pop(handle.session.id, None)
        handle.session.version += 1
        handle.session.end_ms = self._now_ms() if at_ms is None else at_ms
        self.record(handle.session)

    def record(self, session: usage_pb2.UsageSession) -> None:
        """State something about a session: a new one, or a higher version of one that is known. Never waits."""
        statement = usage_pb2.UsageSession()
        statement.CopyFrom(session)
        self._pending.append(statement)

    def start_delivery(self) -> None:
        """Begin to deliver, with what an earlier process has left first; needs a running loop."""
        self._tasks = [
            asyncio.create_task(self._shipper.run(), name="report usage"),
            asyncio.create_task(self._gather(), name="gather usage"),
            asyncio.create_task(self._say_alive(), name="usage signs of life"),
        ]
        self._shipper.wake()

    async def flush(self, *, timeout_s: float) -> bool:
        """Wait until LRM has made everything durable; False when it has not within `timeout_s` seconds."""
        await self._keep()
        try:
            async with asyncio.timeout(timeout_s):
                await self._shipper.wait_empty()
        except TimeoutError:
            return False
        return True

    async def close(self, *, flush_s: float = 1.0) -> None:
        """End what is open, deliver what can be delivered within `flush_s` seconds; the rest stays in the spool."""
        for handle in list(self._open.values()):
            handle.end()
        await self.flush(timeout_s=flush_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._spool.close()

    async def _gather(self) -> None:
        while True:
            await asyncio.sleep(_GATHER_S)
            await self._keep()

    async def _keep(self) -> None:
        """Put what waits into batches, and those into the spool, forced to disk."""
        async with self._keeping:
            while self._pending:
                sessions, self._pending = self._pending[:MOST_IN_A_BATCH], self._pending[MOST_IN_A_BATCH:]
                batch = usage_pb2.RecordUsageRequest(source=self._source, sessions=sessions)
                taken = await asyncio.to_thread(self._spool.append, [batch.SerializeToString()])
                if not taken:
                    self.refused += len(sessions)
                self._shipper.wake()

    async def _say_alive(self) -> None:
        """State signs of life of what is open, so that a crash costs little of it."""
        while True:
            await asyncio.sleep(_ALIVE_S)
            for handle in list(self._open.values()):
                handle.session.version += 1
                handle.session.alive_ms = self._now_ms()
                self.record(handle.session)

    def _pack(self, number: int, records: Sequence[Record]) -> usage_pb2.RecordUsageRequest:
        (record,) = records
        if self._shift is None:
            # the numbers that LRM has from a former life of this source are not known: ask with an absurd one
            return usage_pb2.RecordUsageRequest(source=self._source, sequence=_LAST_SEQUENCE)
        batch = usage_pb2.RecordUsageRequest.FromString(record.payload)
        batch.sequence = record.number + self._shift
        return batch

    def _answered(self, answer: usage_pb2.RecordUsageResponse) -> int:
        for refusal in answer.refused:
            self.refused += 1
            self._on_refused(refusal.id, refusal.reason, refusal.message)
        return answer.sequence if answer.sequence != _LAST_SEQUENCE else 0

    def _on_gap(self, expected: int) -> None:
        """LRM goes on at another number: shift ours, and remember that before anything is sent under it."""
        shift = expected - self._spool.first
        self._shift = shift
        if self._spool_dir is not None:
            with contextlib.suppress(OSError):  # not remembered: it is asked for again after a restart
                (self._spool_dir / "shift").write_text(str(shift))

    def _read_shift(self) -> int | None:
        try:
            return int((self._spool_dir / "shift").read_text()) if self._spool_dir is not None else None
        except (OSError, ValueError):
            return None

    def _given_up(self, record: Record, error: ConfservError) -> None:
        batch = usage_pb2.RecordUsageRequest.FromString(record.payload)
        self.refused += len(batch.sessions)
        for session in batch.sessions:
            self._on_refused(session.id, error.reason, error.message)
