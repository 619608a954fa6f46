"""The desk: grants durable before the answer, groups, suspension, demotion, a database that does not
answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from confclient.errors import NoPrimaryError, OutcomeUnknownError
from confkit.election.ports import StoreUnreachable
from confkit.election.types import ALLOWED, Epoch, EtcdIdentity, Grounds, InstanceName, ProcessFacts, View
from confkit.license.pools import pools_of
from confkit.license.syntax import parse
from licman.adapters.memory import MemoryJournal
from licman.core.model import (
    DenialReason,
    Denied,
    Granted,
    Handle,
    LicenseText,
    Moment,
    Owner,
    Record,
    RequestError,
    Wanted,
)
from licman.desk import Desk, License, Surroundings
from licman.ports import WentBack

EPOCH, LATER = Epoch(1, 7), Epoch(1, 9)
GROUNDS = Grounds(EtcdIdentity("e"), 9, 2.0, 0.0, View(9))
ANN, BOB = Owner("application/ann"), Owner("application/bob")
TIMEOUT_S = 20.0
NOW_MS = 1_795_521_600_000  # 2026-11-24 12:00 UTC


def license_of(*rows: str, revision: int = 1) -> License:
    text = "\n".join(rows).encode()
    return License(LicenseText(revision, "sha", text), pools_of(parse(text, source="a")))


ONE = license_of("FEATURE f v 1 permanent 1")
MANY = license_of("FEATURE f v 1 permanent 1000")


class RecordingJournal(MemoryJournal):
    """Counts transactions, can commit without answering, and can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[int] = []
        self.swallow_answer = False
        self.gate = threading.Event()
        self.gate.set()

    def append(self, records: Sequence[Record], **place: object) -> None:  # type: ignore[override]
        assert self.gate.wait(10)
        super().append(records, **place)  # type: ignore[arg-type]
        self.groups.append(len(records))
        if self.swallow_answer:
            self.swallow_answer = False
            raise StoreUnreachable("the connection broke after the commit")


@dataclass
class Scene:
    """A desk with its task, a journal, and clocks that stand still until moved."""

    journal: RecordingJournal
    desk: Desk = None  # type: ignore[assignment]
    task: asyncio.Task[None] = None  # type: ignore[assignment]
    epoch: Epoch | None = EPOCH
    second: float = 0.0
    logged: list[str] = field(default_factory=list)

    def now(self) -> Moment:
        return Moment(NOW_MS + int(self.second * 1000), self.second)

    def open(self, license_in_force: License | None = ONE, *, epoch: Epoch = EPOCH) -> None:
        raised = self.journal.raise_fence(
            epoch, GROUNDS, facts=ProcessFacts(InstanceName("l1")), permit=lambda _: ALLOWED
        )
        assert raised.row is not None
        self.epoch = epoch
        self.desk.open(
            self.journal.load(), history_id=raised.row.history_id, license_in_force=license_in_force
        )

    async def check_out(self, handle: str = "h", owner: Owner = ANN) -> Granted | Denied:
        return (await self.desk.check_out(Wanted(owner, Handle(handle), "f", "1", 1)))[0]

    def held(self) -> list[str]:
        return [one.wanted.handle for one in self.journal.load().holdings]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene(RecordingJournal())
    thread = ThreadPoolExecutor(1)
    around = Surroundings(
        epoch_now=lambda: made.epoch,
        refusal=lambda: NoPrimaryError("not here"),
        now=made.now,
        log=lambda number, **_: made.logged.append(number),
    )
    made.desk = Desk(made.journal, thread, around, heartbeat_timeout_s=TIMEOUT_S)
    made.task = asyncio.create_task(made.desk.run())
    yield made
    made.journal.gate.set()
    made.task.cancel()
    with contextlib.suppress(asyncio.CancelledError, WentBack):
        await made.task
    thread.shutdown()


async def until(condition: Callable[[], bool], *, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # what is waited for sets no event
            await asyncio.sleep(0.005)


async def test_a_grant_is_in_the_journal_before_it_is_answered(scene: Scene) -> None:
    scene.open()
    answer, epoch = await scene.desk.check_out(Wanted(ANN, Handle("h"), "f", "1", 1))
    assert isinstance(answer, Granted)
    assert (EPOCH, ["h"], ONE.text) == (epoch, scene.held(), scene.journal.load().license)  # B-42


async def test_a_repetition_is_not_answered_before_the_first_is_durable(scene: Scene) -> None:
    scene.open()
    scene.journal.gate.clear()
    both = [asyncio.create_task(scene.check_out()) for _ in range(2)]
    assert not (await asyncio.wait(both, timeout=0.1))[0]
    scene.journal.gate.set()
    answers = await asyncio.gather(*both)
    assert [True, True] == [isinstance(answer, Granted) for answer in answers]
    assert ["h"] == scene.held()  # I-8


async def test_what_waits_goes_into_one_transaction(scene: Scene) -> None:
    scene.open(MANY)
    await scene.check_out("first")
    scene.journal.gate.clear()
    waiting = [asyncio.create_task(scene.check_out("held up"))]
    await until(lambda: not scene.desk._idle.is_set())
    waiting += [asyncio.create_task(scene.check_out(f"h{n}")) for n in range(50)]
    await asyncio.sleep(0)
    scene.journal.gate.set()
    await asyncio.gather(*waiting)
    assert [1, 50] == scene.journal.groups[-2:]


async def test_checking_in_is_durable_and_frees(scene: Scene) -> None:
    scene.open()
    await scene.check_out()
    assert DenialReason.ALL_IN_USE == getattr(await scene.check_out("x", BOB), "reason", None)
    released, _ = await scene.desk.check_in(ANN, [Handle("h")])
    assert (["h"], []) == ([one.holding.wanted.handle for one in released], scene.held())
    assert isinstance(await scene.check_out("x", BOB), Granted)
    assert "67-25010" in scene.logged


async def test_a_silent_holder_is_freed_and_it_is_written_down(scene: Scene) -> None:
    scene.open()
    await scene.check_out()
    scene.second = TIMEOUT_S
    await until(lambda: scene.held() == [])  # B-42
    assert "67-25011" in scene.logged
    lost, _ = await scene.desk.heartbeat(ANN, [Handle("h")])
    assert ("h",) == lost


async def test_a_holder_that_beats_keeps_what_it_holds(scene: Scene) -> None:
    scene.open()
    await scene.check_out()
    scene.second = TIMEOUT_S - 1
    assert ((), EPOCH) == await scene.desk.heartbeat(ANN, [Handle("h")])
    scene.second = TIMEOUT_S + 5
    await scene.desk.use()
    await asyncio.sleep(0.05)
    assert ["h"] == scene.held()


async def test_a_successor_serves_from_the_journal(scene: Scene) -> None:
    scene.open()
    await scene.check_out()
    scene.desk.close()
    scene.open(epoch=LATER)
    assert DenialReason.ALL_IN_USE == getattr(await scene.check_out("x", BOB), "reason", None)
    again, epoch = await scene.desk.check_out(Wanted(ANN, Handle("h"), "f", "1", 1))
    assert (True, LATER, ["h"]) == (isinstance(again, Granted), epoch, scene.held())  # B-42


async def test_the_license_of_the_journal_counts_until_a_newer_one_is_told(scene: Scene) -> None:
    scene.open(None)
    assert DenialReason.NO_LICENSE == getattr(await scene.check_out(), "reason", None)
    scene.desk.follow(ONE)
    assert isinstance(await scene.check_out(), Granted)
    two = license_of("FEATURE f v 1 permanent 2", revision=2)
    scene.desk.follow(two)
    scene.desk.follow(two)
    assert isinstance(await scene.check_out("x", BOB), Granted)
    assert (two.text, 2) == (scene.journal.load().license, scene.desk.license_revision)
    assert [1, 2] == [one.revision for one in scene.journal.records if isinstance(one, LicenseText)]


async def test_a_server_that_is_not_primary_refuses(scene: Scene) -> None:
    with pytest.raises(NoPrimaryError):
        await scene.check_out()
    scene.open()
    scene.desk.close()
    for call in (
        scene.check_out(),
        scene.desk.check_in(ANN, []),
        scene.desk.heartbeat(ANN, []),
        scene.desk.use(),
    ):
        with pytest.raises(NoPrimaryError):
            await call


async def test_a_suspended_server_lets_callers_wait(scene: Scene) -> None:
    scene.open()
    await scene.check_out()
    scene.desk.suspend()
    waiting = [
        asyncio.create_task(scene.desk.heartbeat(ANN, [Handle("h")])),
        asyncio.create_task(scene.check_out("x")),
    ]
    assert not (await asyncio.wait(waiting, timeout=0.1))[0]
    scene.second = 10 * TIMEOUT_S
    scene.desk.resume()
    lost, _ = await waiting[0]
    assert () == lost  # the outage was not the holder's
    assert isinstance(await waiting[1], Denied)


async def test_without_proof_of_the_role_nothing_is_answered(scene: Scene) -> None:
    scene.open()
    scene.epoch = None
    waiting = asyncio.create_task(scene.check_out())
    assert not (await asyncio.wait([waiting], timeout=0.1))[0]
    assert [] == scene.held()  # B-50
    scene.epoch = EPOCH
    assert isinstance(await waiting, Granted)


async def test_who_lost_the_token_grants_nothing_more(scene: Scene) -> None:
    scene.open()
    scene.journal.raise_fence(
        LATER, GROUNDS, facts=ProcessFacts(InstanceName("l2")), permit=lambda _: ALLOWED
    )
    with pytest.raises(NoPrimaryError):
        await scene.check_out()
    assert [] == scene.held()  # B-50
    with pytest.raises(NoPrimaryError):
        await scene.check_out()


async def test_a_database_that_comes_back_takes_what_waited(scene: Scene) -> None:
    scene.open()
    await scene.desk.use()
    scene.journal.is_reachable = False
    waiting = asyncio.create_task(scene.check_out())
    await until(lambda: not scene.desk.reachable)
    scene.journal.is_reachable = True
    assert isinstance(await waiting, Granted)
    assert (["h"], True) == (scene.held(), scene.desk.reachable)
    assert ["67-25013", "67-25014"] == scene.logged


async def test_a_commit_whose_answer_was_lost_is_not_written_twice(scene: Scene) -> None:
    scene.open()
    await scene.check_out("first", BOB)
    await scene.desk.check_in(BOB, [Handle("first")])
    scene.journal.swallow_answer = True
    assert isinstance(await scene.check_out(), Granted)
    assert ["h"] == scene.held()  # B-51
    assert len(scene.journal.records) == scene.desk.last


async def test_a_role_lost_while_the_database_is_away_leaves_the_outcome_open(scene: Scene) -> None:
    scene.open()
    await until(lambda: scene.desk.last == 1)
    scene.journal.is_reachable = False
    waiting = asyncio.create_task(scene.check_out())
    await until(lambda: not scene.desk.reachable)
    scene.desk.close()
    with pytest.raises(OutcomeUnknownError):
        await waiting
    scene.journal.is_reachable = True
    scene.open(epoch=LATER)
    assert isinstance(await scene.check_out(), Granted)
    assert ["h"] == scene.held()


async def test_what_was_never_handed_to_the_database_is_refused_and_not_in_doubt(scene: Scene) -> None:
    scene.open()
    scene.journal.is_reachable = False
    await until(lambda: not scene.desk.reachable)
    waiting = asyncio.create_task(scene.check_out())
    await asyncio.sleep(0)
    scene.desk.close()
    with pytest.raises(NoPrimaryError):
        await waiting


async def test_a_journal_that_was_replaced_ends_the_process(scene: Scene) -> None:
    scene.open()
    await scene.check_out()
    scene.journal.records.clear()
    with pytest.raises(OutcomeUnknownError):
        await scene.desk.check_in(ANN, [Handle("h")])
    with pytest.raises(WentBack):
        await scene.task  # B-51
    assert "67-25015" in scene.logged


async def test_expiry_while_held_is_said_once(scene: Scene) -> None:
    scene.open(license_of("FEATURE f v 1 24-nov-2026 1"))
    await scene.check_out()
    scene.second = 86_400
    scene.desk.suspend()
    scene.desk.resume()
    await until(lambda: "67-25012" in scene.logged)  # B-42
    scene.second += 5
    await until(lambda: scene.desk._next_tick_s > scene.second)
    assert (1, ["h"]) == (scene.logged.count("67-25012"), scene.held())


async def test_a_request_that_can_never_be_granted_is_refused_and_the_desk_goes_on(scene: Scene) -> None:
    scene.open()
    with pytest.raises(RequestError):
        await scene.check_out("")
    assert isinstance(await scene.check_out(), Granted)  # B-60


async def test_the_report_counts_against_one_license(scene: Scene) -> None:
    scene.open()
    await scene.check_out()
    report = await scene.desk.use()
    assert (1, NOW_MS, [("f", 1, 1)]) == (
        report.license_revision,
        report.wall_ms,
        [(row.feature, row.issued, row.used) for row in report.rows],
    )
