"""Takes batches of events and stores them in groups: all that waits goes into one transaction.

A batch is answered once it is durable. Only a server that is primary, and can prove it at that instant,
stores anything; one that is suspended lets batches wait, one that is not primary refuses them. After a
database did not answer, nothing is assumed: what it holds is read before the same events are stored again, so
that subscribers miss none and senders' repetitions change nothing. All of it but the store runs in the event
loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import Enum
from typing import Any

from confclient.errors import ConfservError, InvalidError
from confkit.election.ports import StoreUnreachable
from confkit.election.types import Epoch
from message_server.core.events import EventFilter, LogRecord, Position, StoredRecord
from message_server.ports import AppendRefused, EventStore, Fenced

GROUP_EVENTS = 5_000
"""About how many events go into one transaction at most."""

RETRY_S = 0.2
"""Pause before a database that did not answer is asked again, in seconds."""

_PROOF_RETRY_S = 0.02


class Admission(Enum):
    """What becomes of a batch that comes now."""

    CLOSED = "closed"
    SUSPENDED = "suspended"
    OPEN = "open"


@dataclass(slots=True)
class _Batch:
    records: Sequence[LogRecord]
    stored: asyncio.Future[Epoch]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the journal asks and tells others.

    `epoch_now` gives the token of which this server is sure now; `refusal` the error for whoever asks a
    server that is not primary; `wall_ms` the wall clock; `tell` takes events just stored; `log` takes a
    number of the catalogue and attributes.
    """

    epoch_now: Callable[[], Epoch | None]
    refusal: Callable[[], ConfservError]
    wall_ms: Callable[[], int]
    tell: Callable[[Sequence[StoredRecord]], None]
    log: Callable[..., object]


class Journal:
    """The way into the log database. `writer` is an executor with one thread, which the store's writes share."""

    def __init__(self, store: EventStore, writer: Executor, around: Surroundings) -> None:
        self._store = store
        self._writer = writer
        self._around = around
        self._waiting: deque[_Batch] = deque()
        self._admission = Admission.CLOSED
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._history_id = ""
        self.head = Position(0)
        """Position of the last event that subscribers were told of."""
        self.reachable = True
        """Whether the database answered last time."""

    @property
    def admission(self) -> Admission:
        """What becomes of a batch that comes now."""
        return self._admission

    def open(self, *, history_id: str, head: Position) -> None:
        """Admit batches; positions go on after `head`."""
        self._history_id = history_id
        self.head = head
        self._become(Admission.OPEN)

    def suspend(self) -> None:
        """Let batches wait."""
        if self._admission is Admission.OPEN:
            self._become(Admission.SUSPENDED)

    def resume(self) -> None:
        """Admit again what waited."""
        if self._admission is Admission.SUSPENDED:
            self._become(Admission.OPEN)

    def close(self) -> None:
        """Refuse what waits and what comes. A group that the database has already is still answered as it ends."""
        self._become(Admission.CLOSED)
        self._refuse_waiting()

    async def settle(self) -> None:
        """Return when no transaction is in flight."""
        await self._idle.wait()

    async def current(self) -> Epoch:
        """Wait until this server can prove that it is primary, and give its token. Raises when it is not."""
        while True:
            if self._admission is Admission.CLOSED:
                raise self._around.refusal()
            epoch = self._around.epoch_now()
            if self._admission is Admission.OPEN and epoch is not None:
                return epoch
            await self._pause(soon=self._admission is Admission.OPEN)

    async def append(self, records: Sequence[LogRecord]) -> Epoch:
        """Store a batch; returns once it is durable, with the token under which it is. Raises when this
        server is not primary (repeat it there), or InvalidError when the database refuses the batch.
        """
        if self._admission is Admission.CLOSED:
            raise self._around.refusal()
        batch = _Batch(records, asyncio.get_running_loop().create_future())
        self._waiting.append(batch)
        self._changed.set()
        return await batch.stored

    async def run(self) -> None:
        """Store what waits, until cancelled."""
        while True:
            if self._admission is Admission.CLOSED:
                self._refuse_waiting()
            epoch = self._around.epoch_now()
            if not self._waiting or self._admission is not Admission.OPEN or epoch is None:
                await self._pause(soon=bool(self._waiting) and self._admission is Admission.OPEN)
                continue
            self._idle.clear()
            try:
                await self._store_group(self._take_group(), epoch)
            finally:
                self._idle.set()

    # the group

    def _take_group(self) -> list[_Batch]:
        group: list[_Batch] = []
        events = 0
        while self._waiting and (not group or events + len(self._waiting[0].records) <= GROUP_EVENTS):
            batch = self._waiting.popleft()
            group.append(batch)
            events += len(batch.records)
        return group

    async def _store_group(self, group: list[_Batch], epoch: Epoch) -> None:
        try:
            stored = await self._write([record for batch in group for record in batch.records], epoch)
        except StoreUnreachable as error:
            self._waiting.extendleft(reversed(group))
            await self._recover(error)
        except Fenced:
            self._waiting.extendleft(reversed(group))
            self.close()
        except AppendRefused as error:
            await self._take_apart(group, epoch, error)
        else:
            self._seen(stored)
            for batch in group:
                _succeed(batch, epoch)

    async def _take_apart(self, group: list[_Batch], epoch: Epoch, error: AppendRefused) -> None:
        """One bad batch must not harm the others: store each alone."""
        if len(group) > 1:
            for batch in group:
                await self._store_group([batch], epoch)
            return
        self._around.log("42-25013", detail=str(error))
        _fail(group[0], InvalidError(f"the log database refuses these events: {error}"))

    async def _recover(self, error: StoreUnreachable) -> None:
        """Wait for the database, then learn what it holds: the last transaction may have been committed."""
        self.reachable = False
        self._around.log("42-25011", detail=str(error))
        while self._admission is not Admission.CLOSED:
            await asyncio.sleep(RETRY_S)
            try:
                missed = await self._run(self._read_missed)
            except StoreUnreachable:
                continue
            self.reachable = True
            self._around.log("42-25012")
            self._seen(missed)
            return

    def _read_missed(self) -> tuple[StoredRecord, ...]:
        head = self._store.head()
        return self._store.read(EventFilter(), after=self.head, until=head, limit=max(1, head - self.head))

    def _seen(self, stored: Sequence[StoredRecord]) -> None:
        if stored:
            self.head = stored[-1].position
            self._around.tell(stored)

    async def _write(self, records: Sequence[LogRecord], epoch: Epoch) -> tuple[StoredRecord, ...]:
        first, history_id, stored_ms = Position(self.head + 1), self._history_id, self._around.wall_ms()
        return await self._run(
            lambda: self._store.append(
                records, epoch=epoch, history_id=history_id, first=first, stored_ms=stored_ms
            )
        )

    async def _run(self, work: Callable[[], tuple[StoredRecord, ...]]) -> tuple[StoredRecord, ...]:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    # waiting

    def _become(self, admission: Admission) -> None:
        self._admission = admission
        self._changed.set()

    def _refuse_waiting(self) -> None:
        while self._waiting:
            _fail(self._waiting.popleft(), self._around.refusal())

    async def _pause(self, *, soon: bool) -> None:
        """Wait for a change; `soon` when the proof of the role may come back without one."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            # wait_for of Python 3.11 can lose a cancellation that comes together with the event
            async with asyncio.timeout(_PROOF_RETRY_S if soon else None):
                await self._changed.wait()


def _fail(batch: _Batch, error: ConfservError) -> None:
    if not batch.stored.done():
        batch.stored.set_exception(error)


def _succeed(batch: _Batch, result: Any) -> None:
    if not batch.stored.done():
        batch.stored.set_result(result)
