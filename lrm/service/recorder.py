"""Takes batches of usage and commits all that wait in one transaction.

Why: a commit costs a sync of the disk whatever is in it, so what arrives while one runs goes into the next.
Nothing is answered before it is durable. While the role is in doubt batches wait; when it is lost, those
that were never handed to the store are refused with the new primary, and those that were are answered by
what became of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from confclient.errors import ConfservError, NoPrimaryError, OutcomeUnknownError
from confkit.election.ports import StoreUnreachable
from confkit.election.types import Epoch
from lrm.core.ingest import Batch, BatchResult
from lrm.ports import StoreFenced, StoreWentBack

MOST_FACTS: Final = 50_000
"""Facts after which a commit takes no further batch, so that the first one need not wait for the last."""

_GUARD_POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Recorded:
    """A batch that is durable, and the token under which it became so."""

    result: BatchResult
    epoch: Epoch


Commit = Callable[[Sequence[Batch]], Awaitable[tuple[BatchResult, ...]]]
_Waiting = tuple[Batch, "asyncio.Future[Recorded]"]


class Recorder:
    """The queue before the store of a primary.

    Args:
        commit: commits batches; the answer is in their order.
        epoch: the token under which this server may write now, None when it may not or cannot know.
        on_lost: told once when the store turned out to be another's, or to have gone back.
    """

    def __init__(
        self, *, commit: Commit, epoch: Callable[[], Epoch | None], on_lost: Callable[[Exception], None]
    ) -> None:
        self._commit = commit
        self._epoch = epoch
        self._on_lost = on_lost
        self._waiting: deque[_Waiting] = deque()
        self._work = asyncio.Event()
        self._open = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed: Callable[[], ConfservError] | None = None

    async def record(self, batch: Batch) -> Recorded:
        """Return when the batch is durable. Raises NOT_PRIMARY, NO_PRIMARY or OUTCOME_UNKNOWN."""
        return await self.submit(batch)

    def submit(self, batch: Batch) -> asyncio.Future[Recorded]:
        """Put a batch behind those that wait; the answer comes in the future, in the order of submission."""
        answer: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_seen)  # a stream that has ended asks no more for its answers
        if self._closed is not None:
            answer.set_exception(self._closed())
        else:
            self._waiting.append((batch, answer))
            self._work.set()
        return answer

    def open(self) -> None:
        """Commit what waits, and what comes."""
        self._closed = None
        self._open.set()

    async def pause(self) -> None:
        """Commit nothing more for now; returns when the commit in flight is done. What comes waits."""
        self._open.clear()
        await self._idle.wait()

    async def close(self, refusal: Callable[[], ConfservError]) -> None:
        """Refuse what waits and what comes; returns when the commit in flight is done."""
        self._closed = refusal
        await self.pause()
        self._work.clear()
        while self._waiting:
            _, answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(refusal())

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._work.wait()
            await self._open.wait()
            epoch = self._epoch()
            if epoch is None:
                await asyncio.sleep(_GUARD_POLL_S)
            elif self._waiting:
                await self._commit_waiting(epoch)
            else:
                self._work.clear()

    async def _commit_waiting(self, epoch: Epoch) -> None:
        taken = self._take()
        self._idle.clear()
        try:
            results = await self._commit([batch for batch, _ in taken])
        except (StoreFenced, StoreWentBack) as error:
            self._open.clear()
            self._fail(taken, NoPrimaryError(f"the role was lost before this was stored: {error}"))
            self._on_lost(error)
        except StoreUnreachable as error:
            self._fail(taken, OutcomeUnknownError(f"whether this was stored is not known: {error}"))
        else:
            for (_, answer), result in zip(taken, results, strict=True):
                if not answer.done():
                    answer.set_result(Recorded(result, epoch))
        finally:
            self._idle.set()

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        facts = 0
        while self._waiting and (not taken or facts + len(self._waiting[0][0].facts) <= MOST_FACTS):
            waiting = self._waiting.popleft()
            facts += len(waiting[0].facts)
            taken.append(waiting)
        return taken

    def _fail(self, taken: list[_Waiting], error: ConfservError) -> None:
        for _, answer in taken:
            if not answer.done():
                answer.set_exception(error)


def _seen(answer: asyncio.Future[Recorded]) -> None:
    if not answer.cancelled():
        answer.exception()
