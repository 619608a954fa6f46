"""Batches that wait share a commit; nobody is answered before it, and nobody waits for a role that is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from confclient.errors import NoPrimaryError, NotPrimaryError, OutcomeUnknownError
from confkit.election.ports import StoreUnreachable
from confkit.election.types import Epoch
from lrm.core.ingest import Batch, BatchResult, BatchVerdict
from lrm.ports import StoreFenced
from lrm.service.recorder import MOST_FACTS, Recorder
from tests.support.members import until
from tests.support.usage_facts import batch, session

EPOCH = Epoch(1, 7)


class Commits:
    """A store whose commits wait to be let through."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.let = asyncio.Event()
        self.error: Exception | None = None
        self.lost: list[Exception] = []
        self.epoch: Epoch | None = EPOCH
        self.recorder = Recorder(commit=self._commit, epoch=lambda: self.epoch, on_lost=self.lost.append)

    async def _commit(self, batches: Sequence[Batch]) -> tuple[BatchResult, ...]:
        self.groups.append([each.sequence for each in batches])
        await self.let.wait()
        if self.error is not None:
            raise self.error
        return tuple(BatchResult(BatchVerdict.TAKE, each.sequence + 1) for each in batches)


@asynccontextmanager
async def running(commits: Commits) -> AsyncIterator[Recorder]:
    work = asyncio.create_task(commits.recorder.run())
    try:
        yield commits.recorder
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def test_what_arrives_during_a_commit_goes_into_the_next_together() -> None:
    # B-51
    commits = Commits()
    async with running(commits) as recorder:
        recorder.open()
        first = recorder.submit(batch(1))
        await until(lambda: commits.groups)
        later = [recorder.submit(batch(number)) for number in (2, 3, 4)]
        assert not first.done()
        commits.let.set()
        recorded = [await answer for answer in (first, *later)]
    assert [[1], [2, 3, 4]] == commits.groups
    assert [2, 3, 4, 5] == [each.result.expected_sequence for each in recorded]
    assert {EPOCH} == {each.epoch for each in recorded}


async def test_a_commit_takes_only_so_much() -> None:
    # B-60
    commits = Commits()
    commits.let.set()
    facts = tuple(session(number, 1, None) for number in range(MOST_FACTS // 2 + 1))
    async with running(commits) as recorder:
        answers = [recorder.submit(batch(number, *facts)) for number in (1, 2)]
        recorder.open()
        await asyncio.gather(*answers)
    assert [[1], [2]] == commits.groups


async def test_batches_wait_while_the_role_is_in_doubt() -> None:
    # B-50
    commits = Commits()
    commits.let.set()
    async with running(commits) as recorder:
        recorder.open()
        commits.epoch = None
        answer = recorder.submit(batch(1))
        await asyncio.sleep(0.05)
        assert (False, []) == (answer.done(), commits.groups)
        await recorder.pause()
        commits.epoch = EPOCH
        await asyncio.sleep(0.05)
        assert [] == commits.groups
        recorder.open()
        await answer
    assert [[1]] == commits.groups


async def test_losing_the_role_refuses_what_waits_and_answers_what_was_handed_over() -> None:
    # B-51
    commits = Commits()
    async with running(commits) as recorder:
        recorder.open()
        handed_over = recorder.submit(batch(1))
        await until(lambda: commits.groups)
        waiting = recorder.submit(batch(2))
        closing = asyncio.create_task(recorder.close(lambda: NotPrimaryError("go to lrm-2")))
        await asyncio.sleep(0)
        commits.let.set()
        await closing
        assert 2 == (await handed_over).result.expected_sequence
        with pytest.raises(NotPrimaryError):
            await waiting
        with pytest.raises(NotPrimaryError):
            await recorder.record(batch(3))
    assert [[1]] == commits.groups


@pytest.mark.parametrize(
    ("error", "expected", "lost"),
    [
        pytest.param(
            StoreFenced("held by lrm-2"), NoPrimaryError, 1, id="a store of another is nobody's primary here"
        ),
        pytest.param(
            StoreUnreachable("disk full"), OutcomeUnknownError, 0, id="a failed commit may have taken place"
        ),
    ],
)
async def test_a_commit_that_fails_is_never_acknowledged(
    error: Exception, expected: type[Exception], lost: int
) -> None:
    # B-51
    commits = Commits()
    commits.error = error
    commits.let.set()
    async with running(commits) as recorder:
        recorder.open()
        with pytest.raises(expected):
            await recorder.record(batch(1))
    assert lost == len(commits.lost)
