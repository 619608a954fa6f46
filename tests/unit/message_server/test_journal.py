"""Group commit, suspension, demotion, and a database that does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from confclient.errors import InvalidError, NoPrimaryError
from confkit.election.ports import StoreUnreachable
from confkit.election.types import (
    ALLOWED,
    Epoch,
    EtcdIdentity,
    Grounds,
    InstanceName,
    ProcessFacts,
    View,
)
from message_server.adapters.memory import MemoryLogStore
from message_server.core.events import EventFilter, EventUid, LogRecord, Position, StoredRecord
from message_server.journal import Admission, Journal, Surroundings
from message_server.ports import AppendRefused

EPOCH = Epoch(1, 7)
GROUNDS = Grounds(EtcdIdentity("e"), 9, 2.0, 0.0, View(9))


def record(number: int, **fields: str) -> LogRecord:
    return LogRecord(EventUid(str(uuid.UUID(int=number))), "21-25100", 4, 1, fields.get("text", ""), 1, "a")


class RecordingStore(MemoryLogStore):
    """A memory store that counts transactions, refuses poison, and can commit without answering."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[int] = []
        self.swallow_answer = False

    def append(self, records: Sequence[LogRecord], **place: object) -> tuple[StoredRecord, ...]:  # type: ignore[override]
        if any(r.text == "poison" for r in records):
            raise AppendRefused("poison")
        stored = super().append(records, **place)  # type: ignore[arg-type]
        self.groups.append(len(records))
        if self.swallow_answer:
            self.swallow_answer = False
            raise StoreUnreachable("the connection broke after the commit")
        return stored


@dataclass
class Scene:
    """A running journal and what it said."""

    store: RecordingStore
    journal: Journal = None  # type: ignore[assignment]
    epoch: Epoch | None = EPOCH
    told: list[int] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)

    def open(self) -> None:
        raised = self.store.raise_fence(
            EPOCH, GROUNDS, facts=ProcessFacts(InstanceName("m1")), permit=lambda _: ALLOWED
        )
        assert raised.row is not None
        self.journal.open(history_id=raised.row.history_id, head=self.store.head())


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene(RecordingStore())
    writer = ThreadPoolExecutor(1)
    made.journal = Journal(
        made.store,
        writer,
        Surroundings(
            epoch_now=lambda: made.epoch,
            refusal=lambda: NoPrimaryError("not here"),
            wall_ms=lambda: 5,
            tell=lambda events: made.told.extend(event.position for event in events),
            log=lambda number, **_: made.logged.append(number),
        ),
    )
    task = asyncio.create_task(made.journal.run())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    writer.shutdown()


async def test_a_batch_is_answered_with_the_token_under_which_it_is_durable(scene: Scene) -> None:  # B-50
    scene.open()
    assert EPOCH == await scene.journal.append([record(1), record(2)])
    assert ([1, 2], 2) == (scene.told, scene.store.head())


async def test_all_that_waits_goes_into_one_transaction(scene: Scene) -> None:
    scene.open()
    scene.journal.suspend()
    waiting = [asyncio.create_task(scene.journal.append([record(n)])) for n in range(100)]
    await asyncio.sleep(0)
    scene.journal.resume()
    await asyncio.gather(*waiting)
    assert [100] == scene.store.groups


async def test_a_group_has_a_bound(scene: Scene) -> None:
    scene.open()
    scene.journal.suspend()
    waiting = [
        asyncio.create_task(scene.journal.append([record(b * 1000 + n) for n in range(1000)]))
        for b in range(6)
    ]
    await asyncio.sleep(0)
    scene.journal.resume()
    await asyncio.gather(*waiting)
    assert [5000, 1000] == scene.store.groups


async def test_a_repeated_batch_is_acknowledged_and_told_once(scene: Scene) -> None:  # B-51
    scene.open()
    await scene.journal.append([record(1)])
    assert EPOCH == await scene.journal.append([record(1)])
    assert ([1], 1) == (scene.told, scene.store.head())


async def test_one_bad_batch_harms_nobody_else(scene: Scene) -> None:  # B-60
    scene.open()
    scene.journal.suspend()
    batches = [[record(1)], [record(2, text="poison")], [record(3)]]
    waiting = [asyncio.create_task(scene.journal.append(batch)) for batch in batches]
    await asyncio.sleep(0)
    scene.journal.resume()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert (EPOCH, InvalidError, EPOCH) == (answers[0], type(answers[1]), answers[2])
    assert (["42-25013"], 2) == (scene.logged, scene.store.head())


async def test_a_server_that_is_not_primary_refuses(scene: Scene) -> None:  # B-50
    with pytest.raises(NoPrimaryError):
        await scene.journal.append([record(1)])
    with pytest.raises(NoPrimaryError):
        await scene.journal.current()


async def test_a_suspended_server_lets_batches_wait_and_stores_nothing(scene: Scene) -> None:  # B-50
    scene.open()
    scene.journal.suspend()
    batch = asyncio.create_task(scene.journal.append([record(1)]))
    query = asyncio.create_task(scene.journal.current())
    done, _ = await asyncio.wait({batch, query}, timeout=0.1)
    assert (set(), 0) == (done, scene.store.head())
    scene.journal.resume()
    assert (EPOCH, EPOCH) == (await batch, await query)


async def test_a_server_without_proof_of_its_role_stores_nothing(scene: Scene) -> None:  # B-50
    scene.open()
    scene.epoch = None
    batch = asyncio.create_task(scene.journal.append([record(1)]))
    done, _ = await asyncio.wait({batch}, timeout=0.1)
    assert (set(), 0) == (done, scene.store.head())
    scene.epoch = EPOCH
    assert EPOCH == await batch


async def test_demotion_refuses_what_waits(scene: Scene) -> None:  # B-51
    scene.open()
    scene.journal.suspend()
    batch = asyncio.create_task(scene.journal.append([record(1)]))
    await asyncio.sleep(0)
    scene.journal.close()
    with pytest.raises(NoPrimaryError):
        await batch
    assert 0 == scene.store.head()


async def test_a_fenced_server_closes_and_refuses_what_waits(scene: Scene) -> None:  # B-50
    scene.open()
    scene.store.raise_fence(
        Epoch(1, 8), GROUNDS, facts=ProcessFacts(InstanceName("m2")), permit=lambda _: ALLOWED
    )
    with pytest.raises(NoPrimaryError):
        await scene.journal.append([record(1)])
    assert (Admission.CLOSED, 0) == (scene.journal.admission, scene.store.head())


async def test_a_batch_waits_while_the_database_does_not_answer(scene: Scene) -> None:
    scene.open()
    scene.store.is_reachable = False
    batch = asyncio.create_task(scene.journal.append([record(1)]))
    done, _ = await asyncio.wait({batch}, timeout=0.1)
    assert (set(), False) == (done, scene.journal.reachable)
    scene.store.is_reachable = True
    assert EPOCH == await batch
    assert (["42-25011", "42-25012"], True, [1]) == (scene.logged, scene.journal.reachable, scene.told)


async def test_a_commit_whose_answer_was_lost_is_neither_doubled_nor_hidden(
    scene: Scene,
) -> None:  # B-51, B-52
    scene.open()
    scene.store.swallow_answer = True
    assert EPOCH == await scene.journal.append([record(1), record(2)])
    await scene.journal.append([record(3)])
    events = scene.store.read(EventFilter(), after=Position(0), until=Position(99), limit=9)
    assert ([1, 2, 3], [1, 2, 3]) == (scene.told, [event.position for event in events])


async def test_demotion_during_an_outage_refuses_what_waits(scene: Scene) -> None:
    scene.open()
    scene.store.is_reachable = False
    batch = asyncio.create_task(scene.journal.append([record(1)]))
    await asyncio.wait({batch}, timeout=0.05)
    scene.journal.close()
    with pytest.raises(NoPrimaryError):
        await asyncio.wait_for(batch, 5)


async def test_a_handover_waits_for_the_transaction_in_flight(scene: Scene) -> None:  # B-53
    scene.open()
    batch = asyncio.create_task(scene.journal.append([record(1)]))
    await asyncio.sleep(0)
    scene.journal.suspend()
    await asyncio.wait_for(scene.journal.settle(), 5)
    assert (batch.done(), scene.store.head()) in [(True, 1), (False, 0)]
    scene.journal.close()
    await asyncio.gather(batch, return_exceptions=True)
