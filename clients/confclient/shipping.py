"""Bringing the records of a spool to a server, in order, until each is acknowledged.

Why it exists: usage goes to the License Reporting Manager and log events to the Message Server in the same way: a
stream of batches, each answered once it is durable, repeated after every loss, recognized by the receiver. At least
once here, exactly once together with the receiver's own recognition.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic

from confclient.channel import ServiceChannel
from confclient.errors import ConfservError, InvalidError, NoPrimaryError, SequenceGapError
from confclient.following import pause_s
from confclient.links import Stream
from confclient.outcomes import ConnectionBrokenError, trouble_of
from confclient.rpcs import RequestT, ResponseT, Rpc
from confclient.spool import Record, Spool

_WINDOW = 8
_BATCH_BYTES = 1024 * 1024
_LONGEST_REFUSAL_S = 5.0
_TRIES_OF_A_RECORD = 3

PATIENCE_S = 3.0
"""How long a batch may be out without an answer, in seconds, before everybody is asked who is primary: a primary
that was stopped keeps its connections, and says nothing."""


@dataclass(frozen=True, slots=True)
class Manifest(Generic[RequestT, ResponseT]):
    """How records become requests, and what answers mean.

    Attributes:
        rpc: the stream.
        pack: records → request, with a growing `sequence`; the number is the batch's on this stream, from 1.
        answered: called with the answer; gives the sequence up to which everything is durable.
        most: records in a batch at most.
        on_gap: called when the receiver expects another sequence number; None where there are none.
        on_refused: called with a record that the receiver does not take and that is given up.
    """

    rpc: Rpc[RequestT, ResponseT]
    pack: Callable[[int, Sequence[Record]], RequestT]
    answered: Callable[[ResponseT], int]
    most: int
    on_refused: Callable[[Record, ConfservError], None]
    on_gap: Callable[[int], None] | None = None


@dataclass(slots=True)
class _Out:
    """What has been sent on one stream: the last record and batch, (sequence, last record) not yet answered, and until
    when the server may keep silent about these, by the loop's clock.
    """

    sent: int
    number: int = 0
    quiet_until_s: float = 0.0
    batches: deque[tuple[int, int]] = field(default_factory=deque)


class Shipper(Generic[RequestT, ResponseT]):
    """Empties a spool for as long as `run` runs."""

    def __init__(
        self,
        channel: ServiceChannel,
        spool: Spool,
        manifest: Manifest[RequestT, ResponseT],
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Prepare; nothing is connected before there is something to deliver."""
        self._patience_s = patience_s
        self.last_failure = ""
        self._channel = channel
        self._spool = spool
        self._manifest = manifest
        self._fresh = asyncio.Event()
        self._emptied = asyncio.Event()
        self._most = manifest.most
        self._refusals = (0, 0)

    def wake(self) -> None:
        """Say that the spool has something new."""
        self._fresh.set()

    async def wait_empty(self) -> None:
        """Return once everything that is in the spool now has been acknowledged."""
        through = self._spool.next
        while self._spool.first < through:
            self._emptied.clear()
            await self._emptied.wait()

    async def run(self) -> None:
        """Deliver, for ever; cancel it to stop."""
        tries = 0
        while True:
            await self._wait_for_records()
            before = self._spool.first
            try:
                async with await self._channel.bidi_stream(self._manifest.rpc) as stream:
                    try:
                        await self._deliver(stream)
                    except TimeoutError:
                        self._channel.suspect(stream.endpoint)
                        raise ConnectionBrokenError(
                            f"{stream.endpoint} did not answer within {self._patience_s:g} s"
                        ) from None
            except ConfservError as error:
                self.last_failure = error.message
                tries = 0 if self._spool.first > before else tries + 1
                await self._after(error, tries=tries)
            else:  # the server has ended the stream in peace
                tries = 0 if self._spool.first > before else tries + 1
                await asyncio.sleep(pause_s(tries, draw=random.random()))  # noqa: S311  # spreads callers

    async def _wait_for_records(self) -> None:
        while self._spool.first == self._spool.next:
            self._fresh.clear()
            await self._fresh.wait()

    async def _deliver(self, stream: Stream[RequestT, ResponseT]) -> None:
        """Send and take answers until the stream ends. Raises TimeoutError when the server keeps silent."""
        loop = asyncio.get_running_loop()
        out = _Out(sent=self._spool.first - 1)
        reading = asyncio.create_task(stream.read())
        waking = asyncio.create_task(self._fresh.wait())
        try:
            while True:
                await self._send(stream, out)
                self._fresh.clear()
                if waking.done():
                    waking = asyncio.create_task(self._fresh.wait())
                await asyncio.wait(
                    {reading, waking},
                    return_when=asyncio.FIRST_COMPLETED,
                    timeout=out.quiet_until_s - loop.time() if out.batches else None,
                )
                if not reading.done() and out.batches and loop.time() >= out.quiet_until_s:
                    raise TimeoutError
                if reading.done():
                    answer = reading.result()
                    if answer is None:
                        return
                    self._answered(answer, out)
                    out.quiet_until_s = loop.time() + self._patience_s
                    reading = asyncio.create_task(stream.read())
        finally:
            for task in (reading, waking):
                task.cancel()
            await asyncio.gather(reading, waking, return_exceptions=True)

    async def _send(self, stream: Stream[RequestT, ResponseT], out: _Out) -> None:
        """Send what waits, as far as the window allows."""
        while len(out.batches) < _WINDOW:
            records = self._spool.peek(after=out.sent, most=self._most, most_bytes=_BATCH_BYTES)
            if not records:
                return
            out.number += 1
            out.sent = records[-1].number
            request = self._manifest.pack(out.number, records)
            if not out.batches:
                out.quiet_until_s = asyncio.get_running_loop().time() + self._patience_s
            out.batches.append((request.sequence, out.sent))  # type: ignore[attr-defined]
            async with asyncio.timeout(self._patience_s):
                await stream.write(request)

    def _answered(self, answer: ResponseT, out: _Out) -> None:
        durable = self._manifest.answered(answer)
        through = 0
        while out.batches and out.batches[0][0] <= durable:
            through = out.batches.popleft()[1]
        if through:
            self._spool.release(through)
            self._most = self._manifest.most
            self.last_failure = ""
            self._emptied.set()

    async def _after(self, error: ConfservError, *, tries: int) -> None:
        """Wait as long as the failure asks for; a record that is refused again and again is given up."""
        expected = error.metadata.get("expected", "")
        if isinstance(error, SequenceGapError) and expected.isdigit() and self._manifest.on_gap is not None:
            self._manifest.on_gap(int(expected))
        elif isinstance(error, InvalidError):
            self._give_up_in_the_end(error)
        elif trouble_of(error) is None or isinstance(error, NoPrimaryError):
            await asyncio.sleep(min(_LONGEST_REFUSAL_S, 0.1 * 2.0 ** min(tries, 16)))
            return
        await asyncio.sleep(pause_s(tries, draw=random.random()))  # noqa: S311

    def _give_up_in_the_end(self, error: InvalidError) -> None:
        self._most = 1
        number, times = self._refusals
        first = self._spool.first
        times = times + 1 if number == first else 1
        self._refusals = (first, times)
        if times >= _TRIES_OF_A_RECORD:
            for record in self._spool.peek(after=first - 1, most=1, most_bytes=_BATCH_BYTES):
                self._spool.release(record.number)
                self._manifest.on_refused(record, error)
                self._emptied.set()
