"""The License Manager as a member of its pair: promotion, refusal, a journal that went back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest

from confclient.errors import LicenseRequiredError, NoPrimaryError
from confkit.election.types import (
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
    History,
    InstanceName,
    LeaseId,
    Member,
    MemberState,
    ProcessFacts,
    PromotionResult,
    Refusal,
    State,
    View,
)
from confkit.events import EventLog
from confkit.fenced_component import Setting
from licman.adapters.memory import MemoryJournal
from licman.component import LicenseManager, license_of
from licman.core.model import Grant, Handle, Holding, LicenseText, Moment, Owner, PoolId, Wanted
from licman.desk import Desk, Surroundings

FIRST, SECOND = Epoch(1, 5), Epoch(1, 9)
TEXT = LicenseText(4, "sha", b"FEATURE f v 1 permanent 3")
HELD = Holding(Wanted(Owner("application/ann"), Handle("h"), "f", "1", 1), PoolId("p"), 1)


def grounds(**changes: object) -> Grounds:
    made = Grounds(EtcdIdentity("e"), 9, 2.0, 0.0, View(9))
    return replace(made, **changes)  # type: ignore[arg-type]


def member(name: str, *, promotable: bool = True) -> Member:
    facts = ProcessFacts(InstanceName(name))
    return Member(facts, State.FOLLOWER, MemberState(promotable=promotable), LeaseId(1))


@dataclass
class Server:
    """One License Manager without its election, on a journal that others may share."""

    journal: MemoryJournal
    thread: ThreadPoolExecutor
    name: str = "licman-1"
    ha_licensed: bool = True
    take_over: bool = False
    epoch: Epoch | None = None
    events: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        around = Surroundings(
            epoch_now=lambda: self.epoch,
            refusal=lambda: NoPrimaryError("not here"),
            now=lambda: Moment(1_795_521_600_000, 0.0),
            log=lambda number, **_: self.events.append(number),
        )
        log = EventLog(
            application=self.name, component="licman", sink=lambda event: self.events.append(event.event_id)
        )
        self.desk = Desk(self.journal, self.thread, around, heartbeat_timeout_s=10)
        self.component = LicenseManager(
            Setting(
                fence=self.journal,
                store_thread=self.thread,
                facts=lambda: ProcessFacts(InstanceName(self.name)),
                ha_licensed=lambda: self.ha_licensed,
                wall_ms=lambda: 1_795_521_600_000,
                events=log,
                take_over=self.take_over,
            ),
            journal=self.journal,
            desk=self.desk,
            followed=lambda: None,
        )

    async def promote(self, epoch: Epoch, **changes: object) -> PromotionResult:
        promotion = await self.component.promote(epoch, grounds(**changes))
        self.epoch = epoch if promotion.result is PromotionResult.OPENED else None
        return promotion.result


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def journal() -> MemoryJournal:
    made = MemoryJournal()
    made.records += [TEXT, Grant(HELD)]
    return made


async def test_a_promoted_server_knows_what_is_held_and_by_which_license(
    journal: MemoryJournal, thread: ThreadPoolExecutor
) -> None:  # B-42
    server = Server(journal, thread)
    assert PromotionResult.OPENED == await server.promote(FIRST)
    assert {
        "license_revision": "4",
        "held_handles": "1",
        "ha_licensed": "true",
    } == server.component.attributes()
    assert (2, History("history-1", 2)) == (
        server.component.member().applied_revision,
        server.component.member().history,
    )
    assert Confirmation.HOLDS == await server.component.confirm(FIRST)
    assert Confirmation.FENCED == await server.component.confirm(SECOND)


async def test_without_the_feature_only_the_last_primary_takes_the_role(
    journal: MemoryJournal, thread: ThreadPoolExecutor
) -> None:  # B-40, I-6
    first = Server(journal, thread, ha_licensed=False)
    assert PromotionResult.OPENED == await first.promote(FIRST)
    second = Server(journal, thread, "licman-2", ha_licensed=False)
    row = await second.component.read_fence()
    asked = [second.component.may_campaign(row, View(9)).refusal for _ in range(2)]
    assert [Refusal.NOT_LICENSED, Refusal.NOT_LICENSED] == asked
    assert ["00-25012"] == second.events
    assert PromotionResult.NOT_ALLOWED == await second.promote(SECOND)
    assert first.component.may_campaign(row, View(9)).allowed
    by_hand = Server(journal, thread, "licman-2", ha_licensed=False, take_over=True)
    assert by_hand.component.may_campaign(row, View(9)).allowed
    assert PromotionResult.OPENED == await by_hand.promote(SECOND)
    assert ["00-25022"] == by_hand.events


async def test_a_planned_switchover_is_refused_without_the_feature(
    journal: MemoryJournal, thread: ThreadPoolExecutor
) -> None:  # B-40
    server = Server(journal, thread, ha_licensed=False)
    assert isinstance(server.component.refuse_switchover(), LicenseRequiredError)
    server.ha_licensed = True
    assert server.component.refuse_switchover() is None


async def test_a_lower_token_is_refused(journal: MemoryJournal, thread: ThreadPoolExecutor) -> None:  # B-50
    assert PromotionResult.OPENED == await Server(journal, thread).promote(SECOND)
    assert PromotionResult.FENCED == await Server(journal, thread).promote(FIRST)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param(None, PromotionResult.OPENED, id="nothing is remembered"),
        pytest.param(History("history-1", 2), PromotionResult.OPENED, id="it ends where it ended"),
        pytest.param(History("history-1", 1), PromotionResult.OPENED, id="it goes on further"),
        pytest.param(History("history-1", 3), PromotionResult.WENT_BACK, id="it ends before"),
        pytest.param(History("another", 1), PromotionResult.WENT_BACK, id="it is another one"),
    ],
)
async def test_a_journal_that_went_back_opens_nothing(
    journal: MemoryJournal, thread: ThreadPoolExecutor, known: History | None, expected: PromotionResult
) -> None:  # B-51
    assert expected == await Server(journal, thread).promote(FIRST, view=View(9, history=known))


async def test_a_database_that_does_not_answer_says_so(
    journal: MemoryJournal, thread: ThreadPoolExecutor
) -> None:
    server = Server(journal, thread)
    journal.is_reachable = False
    assert PromotionResult.UNREACHABLE == await server.promote(FIRST)
    assert Confirmation.UNREACHABLE == await server.component.confirm(FIRST)


async def test_a_rebuilt_etcd_is_put_on_record(journal: MemoryJournal, thread: ThreadPoolExecutor) -> None:
    server = Server(journal, thread)
    await server.promote(FIRST)
    row = await server.component.read_fence()
    assert row is not None
    raised = await server.component.raise_generation(row, identity=EtcdIdentity("e2"), revision=1)
    assert GenerationRaise.RAISED == raised
    assert PromotionResult.MUST_WAIT == await server.promote(Epoch(2, 3))
    assert PromotionResult.OPENED == await server.promote(Epoch(2, 3), waited_s=2.0)


async def test_a_hand_over_needs_a_warm_successor_and_an_idle_journal(
    journal: MemoryJournal, thread: ThreadPoolExecutor
) -> None:  # B-53
    server = Server(journal, thread)
    await server.promote(FIRST)
    assert not await server.component.prepare_handover(member("licman-2", promotable=False), 1.0)
    assert await server.component.prepare_handover(member("licman-2"), 1.0)
    waiting = asyncio.create_task(server.desk.use())
    assert not (await asyncio.wait([waiting], timeout=0.05))[0]
    await server.component.resume(FIRST)
    assert ["h"] == [one.wanted.handle for row in (await waiting).rows for one in row.holdings]
    await server.component.suspend("test")
    await server.component.demote("test", None)
    with pytest.raises(NoPrimaryError):
        await server.desk.use()
    assert server.component.member().history is None


def test_a_license_that_does_not_parse_any_more_counts_for_nothing() -> None:
    assert license_of(None) is None
    assert license_of(replace(TEXT, text=b"FEATURE")) is None
