"""Technical keys that are counted while they are held (B-42): check-out, heartbeats, check-in.

Why it exists: a holding lives by heartbeats and belongs to its handle, not to a connection. One stream keeps all
holdings of the process; after a fail-over they are re-attached under the same handles, which consumes nothing more.
A holding that the License Manager no longer knows is checked out again; when that is denied, its holder is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from confapi.license.v1 import checkout_pb2
from confclient.channel import ServiceChannel
from confclient.errors import ConfservError, NoPrimaryError
from confclient.links import Stream
from confclient.request_ids import new_id
from confclient.rpcs import CHECK_IN, CHECK_OUT, HEARTBEAT

_FIRST_TIMEOUT_MS = 30_000
_CHECK_IN_S = 2.0

_Stream = Stream[checkout_pb2.HeartbeatRequest, checkout_pb2.HeartbeatResponse]


class CheckoutDeniedError(ConfservError):
    """The License Manager denies a check-out: an answer, not a failure.

    Attributes:
        denial: stable reason, classic number and a sentence; its reason is in `metadata["denial"]` too.
    """

    reason = "CHECKOUT_DENIED"

    def __init__(self, feature: str, denial: checkout_pb2.Denial) -> None:
        super().__init__(
            f"check-out of {feature} is denied: {denial.message} ({denial.reason}, {denial.number})",
            feature=feature,
            denial=denial.reason,
            number=denial.number,
        )
        self.denial = denial


@dataclass(slots=True, eq=False)
class Held:
    """A license that is held.

    Attributes:
        holding: what was granted.
        lost: set when it was taken away and could not be checked out again.
    """

    holding: checkout_pb2.Holding
    lost: asyncio.Event = field(default_factory=asyncio.Event)


class Licenses:
    """Check-outs of one process."""

    def __init__(self, channel: ServiceChannel, *, on_lost: Callable[[Held], None] | None = None) -> None:
        """`channel` leads to the License Manager; `on_lost` is told of a holding that was taken away."""
        self._channel = channel
        self._on_lost = on_lost or (lambda _: None)
        self._held: dict[str, Held] = {}
        self._timeout_ms = _FIRST_TIMEOUT_MS
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def checkout(
        self,
        feature: str,
        count: int = 1,
        *,
        version: str = "",
        user: str = "",
        host: str = "",
        display: str = "",
        tenant: str = "",
        timeout_s: float | None = None,
    ) -> AsyncGenerator[Held, None]:
        """Hold `count` licenses of a feature for the time of a `with` block.

        Args:
            feature: name in the license.
            count: how many.
            version: lowest version that will do, as 2.1; empty: any.
            user, host, display, tenant: on whose behalf, for reports.
            timeout_s: how long to wait for the License Manager, in seconds.

        Raises:
            CheckoutDeniedError: they are not to be had.
            NoPrimaryError: there is no License Manager.
        """
        wanted = checkout_pb2.Holding(
            handle=new_id(),
            feature=feature,
            count=count,
            version=version,
            user=user,
            host=host,
            display=display,
            tenant=tenant,
        )
        held = Held(await self._check_out(wanted, timeout_s))
        self._held[wanted.handle] = held
        self._begin_to_keep()
        try:
            yield held
        finally:
            self._held.pop(wanted.handle, None)
            self._changed.set()
            with contextlib.suppress(ConfservError):
                await self._channel.unary(
                    CHECK_IN, checkout_pb2.CheckInRequest(handles=[wanted.handle]), timeout_s=_CHECK_IN_S
                )

    async def close(self) -> None:
        """Stop the heartbeats; what is still held is freed after the License Manager's timeout."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _check_out(
        self, wanted: checkout_pb2.Holding, timeout_s: float | None = None
    ) -> checkout_pb2.Holding:
        answer = await self._channel.unary(
            CHECK_OUT, checkout_pb2.CheckOutRequest(wanted=wanted), timeout_s=timeout_s
        )
        if answer.outcome != checkout_pb2.CHECK_OUTCOME_GRANTED:
            raise CheckoutDeniedError(wanted.feature, answer.denial)
        self._timeout_ms = answer.heartbeat_timeout_ms or self._timeout_ms
        return answer.holding

    def _begin_to_keep(self) -> None:
        self._changed.set()
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(), name="keep licenses")

    async def _keep(self) -> None:
        """One stream of heartbeats for everything that is held, wherever the role moves; ends with nothing held."""
        tries = 0
        while self._held:
            try:
                async with await self._channel.bidi_stream(HEARTBEAT) as stream:
                    while self._held and await self._beat(stream):
                        tries = 0
            except NoPrimaryError:
                continue
            except ConfservError as error:
                await self._recover(error, tries=tries)
                tries += 1

    async def _recover(self, error: ConfservError, *, tries: int) -> None:
        try:
            await self._channel.recover(error, tries=tries)
        except ConfservError:
            await asyncio.sleep(min(5.0, 0.1 * 2.0 ** min(tries, 16)))

    async def _beat(self, stream: _Stream) -> bool:
        """Send one heartbeat, take its answer, wait until the next is due; False when the stream has ended."""
        self._changed.clear()
        interval_s = max(0.05, self._timeout_ms / 3000)
        await stream.write(checkout_pb2.HeartbeatRequest(handles=list(self._held)))
        reading = asyncio.create_task(stream.read())
        try:
            if not (await asyncio.wait({reading}, timeout=interval_s))[0]:
                self._channel.suspect(stream.endpoint)
                return False
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        answer = reading.result()
        if answer is None:
            return False
        self._timeout_ms = answer.heartbeat_timeout_ms or self._timeout_ms
        for handle in answer.lost:
            await self._regain(handle)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(interval_s):
                await self._changed.wait()
        return True

    async def _regain(self, handle: str) -> None:
        held = self._held.get(handle)
        if held is None:
            return
        wanted = checkout_pb2.Holding()
        wanted.CopyFrom(held.holding)
        wanted.ClearField("application")
        wanted.ClearField("granted_ms")
        try:
            held.holding = await self._check_out(wanted)
        except CheckoutDeniedError:
            del self._held[handle]
            held.lost.set()
            self._on_lost(held)
