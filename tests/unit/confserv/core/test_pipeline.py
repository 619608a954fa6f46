"""Group commit, step by step: what goes to the store, and who is told what, whatever the store reports."""

from __future__ import annotations

from collections import deque

import pytest

from confkit.election.types import Epoch
from confserv.core.effects import (
    Answer,
    Applied,
    Commit,
    Effect,
    LookUp,
    Outcome,
    ReadTail,
    Refuse,
    RetryLater,
    StepDown,
    Ticket,
)
from confserv.core.log import EntryIdentity, Found, LogEntry, RequestKey, Tail
from confserv.core.operations import Operation, WriteRequest
from confserv.core.phases import Phase
from confserv.core.pipeline import Pipeline
from confserv.core.recent import RecentLog
from tests.support.configurations import (
    EPOCH,
    HISTORY,
    NOW_MS,
    RULES,
    create,
    delete,
    environment,
    request,
    request_id,
)

LATER = Epoch(1, 20)


class Desk:
    """A pipeline whose effects are looked at by the test, which also plays the store."""

    def __init__(self, *, recent: RecentLog | None = None) -> None:
        self.pipeline = Pipeline(RULES, recent=recent)
        self.log: list[LogEntry] = []
        self.holder = EPOCH
        self.may_act = True
        self.effects: deque[Effect] = deque()
        self.told: dict[int, str] = {}
        self.entries: dict[int, LogEntry] = {}
        self.applied: list[int] = []
        self._tickets = 0
        self.take(self.pipeline.open(EPOCH, history_id=HISTORY, tail=self.tail(), now_ms=NOW_MS))
        self.write(environment())
        self.commit()

    def take(self, effects: list[Effect]) -> None:
        """Note what the pipeline asks for; answers and refusals are kept by ticket."""
        for effect in effects:
            match effect:
                case Answer():
                    assert effect.ticket not in self.told, "answered twice"
                    self.told[effect.ticket] = f"revision {effect.entry.revision}"
                    self.entries[effect.ticket] = effect.entry
                case Refuse():
                    assert effect.ticket not in self.told, "answered twice"
                    self.told[effect.ticket] = str(effect.refusal.reason)
                case Applied():
                    self.applied += [entry.revision for entry in effect.entries]
                case _:
                    self.effects.append(effect)

    def write(
        self, *operations: Operation, like: WriteRequest | None = None, content: str | None = None
    ) -> int:
        """Submit a transaction, or one made before; give its ticket."""
        self._tickets += 1
        asked = like or request(*operations, content=content)
        self.take(self.pipeline.submit(Ticket(self._tickets), asked, now_ms=NOW_MS, may_act=self.may_act))
        return self._tickets

    def next(self, kind: type[Effect]) -> Effect:
        """Take the next effect, which must be of that kind."""
        effect = self.effects.popleft()
        assert isinstance(effect, kind), f"{effect} is no {kind.__name__}"
        return effect

    def commit(self, outcome: Outcome = Outcome.COMMITTED, *, lands: bool | None = None) -> list[int]:
        """Report the outcome of the commit that was asked for; give its revisions."""
        group = self.next(Commit).group  # type: ignore[union-attr]
        if lands if lands is not None else outcome is Outcome.COMMITTED:
            self.log += group
        self.take(self.pipeline.committed(outcome, "made up", now_ms=NOW_MS, may_act=self.may_act))
        return [entry.revision for entry in group]

    def tail(self, *, holder: Epoch | None = None, limit: int = 100) -> Tail:
        """Give the log behind what memory has."""
        after = self.pipeline.configuration.revision
        at_start = self.log[after - 1].identity if 0 < after <= len(self.log) else None
        entries = tuple(self.log[after : after + limit])
        complete = after + len(entries) >= len(self.log)
        return Tail(HISTORY, holder or self.holder, len(self.log), at_start, entries, complete)

    def read_tail(self, **wishes: Epoch) -> None:
        """Give the tail that was asked for."""
        self.next(ReadTail)
        self.take(self.pipeline.tail_read(self.tail(**wishes), now_ms=NOW_MS, may_act=self.may_act))

    def look_up(self) -> tuple[RequestKey, ...]:
        """Look up in the log what was asked for."""
        asked = self.next(LookUp).requests  # type: ignore[union-attr]
        found = Found(self.holder, {e.request: e for e in self.log if e.request in asked})
        self.take(self.pipeline.looked_up(found, asked))
        return asked


@pytest.fixture
def desk() -> Desk:
    """A primary at revision 1."""
    return Desk()


def host(name: str) -> Operation:
    """Ask for a host."""
    return create("Host", name, address="a")


def test_nobody_is_answered_before_the_commit(desk: Desk) -> None:
    # B-51
    ticket = desk.write(host("rhea"))
    assert ticket not in desk.told
    desk.commit()
    assert "revision 2" == desk.told[ticket]


def test_all_that_waits_during_a_commit_goes_as_one_group(desk: Desk) -> None:
    # ha.md, group commit
    tickets = [desk.write(host(name)) for name in ("rhea", "dione", "mimas")]
    assert [2] == desk.commit()
    assert [3, 4] == desk.commit()
    assert ["revision 2", "revision 3", "revision 4"] == [desk.told[ticket] for ticket in tickets]
    assert [1, 2, 3, 4] == desk.applied


def test_a_transaction_sees_those_that_wait_before_it(desk: Desk) -> None:
    # ha.md, The change log: validated against memory and the pending ones before it
    desk.write(host("rhea"))
    gone = desk.write(delete("Host", "rhea"))
    again = desk.write(host("rhea"))
    desk.commit()
    desk.commit()
    assert ("revision 3", "revision 4") == (desk.told[gone], desk.told[again])
    assert 101 == desk.pipeline.configuration.get(desk.entries[again].changes[0].key).key.dbid  # type: ignore[union-attr]


def test_a_refusal_stands_at_once_when_memory_alone_refuses(desk: Desk) -> None:
    # B-60
    ticket = desk.write(create("Host", "rhea"))
    desk.look_up()
    assert "INVALID" == desk.told[ticket]


def test_what_only_a_waiting_write_is_against_is_decided_after_that_write(desk: Desk) -> None:
    # nobody is refused because of a write that never takes place
    first, second = desk.write(host("rhea")), desk.write(host("rhea"))
    assert second not in desk.told
    desk.commit(Outcome.REJECTED)
    assert {desk.log[0].request} != set(desk.look_up())
    desk.commit()
    assert ("INVALID", "revision 2") == (desk.told[first], desk.told[second])


def test_and_is_refused_when_that_write_was_committed(desk: Desk) -> None:
    # B-61
    first, second = desk.write(host("rhea")), desk.write(host("rhea"))
    desk.commit()
    desk.look_up()
    assert ("revision 2", "ALREADY_EXISTS") == (desk.told[first], desk.told[second])


def test_a_repeated_request_gets_the_first_answer_and_changes_nothing(desk: Desk) -> None:
    # B-51
    asked = request(host("rhea"))
    first = desk.write(like=asked)
    desk.commit()
    again = desk.write(like=asked)
    assert desk.entries[first] is desk.entries[again]
    assert not desk.effects


def test_a_request_repeated_while_it_waits_shares_the_one_answer(desk: Desk) -> None:
    # ha.md: looked up first, pending ones included
    asked = request(host("rhea"))
    tickets = [desk.write(like=asked) for _ in range(3)]
    assert [2] == desk.commit()
    assert ["revision 2"] * 3 == [desk.told[ticket] for ticket in tickets]


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "waiting"])
def test_the_same_id_with_other_content_is_refused(desk: Desk, committed: bool) -> None:
    # ha.md, The change log
    asked = request(host("rhea"))
    desk.write(like=asked)
    if committed:
        desk.commit()
    other = desk.write(like=request(host("dione"), id=asked.request_id))
    assert "REQUEST_ID_REUSED" == desk.told[other]


def test_the_same_id_of_another_principal_is_another_request(desk: Desk) -> None:
    # ha.md: scoped by principal
    asked = request(host("rhea"))
    desk.write(like=asked)
    other = desk.write(like=request(host("dione"), id=asked.request_id, actor="administrator/bob"))
    desk.commit()
    desk.commit()
    assert "revision 3" == desk.told[other]


def test_a_repetition_that_memory_has_forgotten_is_found_in_the_log_before_it_is_refused() -> None:
    # ha.md: looked up first
    desk = Desk(recent=RecentLog(capacity=1))
    asked = request(host("rhea"))
    desk.write(like=asked)
    desk.commit()
    desk.write(host("dione"))
    desk.commit()
    again = desk.write(like=asked)
    desk.look_up()
    assert "revision 2" == desk.told[again]


def test_a_repetition_that_would_pass_again_is_stopped_by_the_log() -> None:
    # I-2: once
    desk = Desk(recent=RecentLog(capacity=1))
    asked = request(host("rhea"))
    desk.write(like=asked)
    desk.commit()
    desk.write(delete("Host", "rhea"))
    desk.commit()
    again = desk.write(like=asked)
    desk.commit(Outcome.REJECTED)
    desk.look_up()
    assert "revision 2" == desk.told[again]
    assert [1, 2, 3] == desk.applied


@pytest.mark.parametrize(
    ("id", "reason"),
    [
        pytest.param("7", "INVALID", id="that is no UUID"),
        pytest.param("5f0f4b3e-8a5d-4c0e-9b1f-000000000000", "INVALID", id="that carries no time"),
        pytest.param(request_id(at_ms=NOW_MS - 90_000_000), "REQUEST_ID_EXPIRED", id="older than the window"),
    ],
)
def test_a_request_id_is_refused(desk: Desk, id: str, reason: str) -> None:
    # ha.md: one older than the window that is kept is refused rather than applied again
    assert reason == desk.told[desk.write(like=request(host("rhea"), id=id))]


def test_a_group_that_the_database_refuses_is_taken_apart_and_one_bad_write_harms_nobody_else(
    desk: Desk,
) -> None:
    # ha.md, The change log
    desk.write(host("first"))
    good, bad, other = desk.write(host("rhea")), desk.write(host("dione")), desk.write(host("mimas"))
    desk.commit()
    assert [3, 4, 5] == desk.commit(Outcome.REJECTED)
    assert [3] == desk.commit()
    assert [4] == desk.commit(Outcome.REJECTED)
    desk.look_up()
    assert [4] == desk.commit()
    assert ["revision 3", "INVALID", "revision 4"] == [desk.told[ticket] for ticket in (good, bad, other)]


def test_a_write_that_was_built_on_the_refused_one_is_judged_anew(desk: Desk) -> None:
    # ha.md: each is validated again
    desk.write(host("first"))
    bad, built_on_it = desk.write(host("rhea")), desk.write(delete("Host", "rhea"))
    desk.commit()
    desk.commit(Outcome.REJECTED)
    desk.commit(Outcome.REJECTED)
    desk.look_up()
    desk.look_up()
    assert ("INVALID", "NOT_FOUND") == (desk.told[bad], desk.told[built_on_it])


def test_a_database_that_does_not_answer_is_asked_again_with_the_same_group(desk: Desk) -> None:
    # B-51
    ticket = desk.write(host("rhea"))
    desk.commit(Outcome.UNREACHABLE)
    desk.next(RetryLater)
    desk.take(desk.pipeline.pump(now_ms=NOW_MS, may_act=True))
    assert [2] == desk.commit()
    assert "revision 2" == desk.told[ticket]


def test_a_commit_that_the_guard_took_back_goes_again_once_the_lease_is_confirmed(desk: Desk) -> None:
    # B-50, B-51
    ticket = desk.write(host("rhea"))
    desk.may_act = False
    desk.commit(Outcome.LATE)
    assert not desk.effects
    desk.take(desk.pipeline.pump(now_ms=NOW_MS, may_act=True))
    assert [2] == desk.commit()
    assert "revision 2" == desk.told[ticket]


def test_a_commit_that_the_guard_took_back_is_not_primary_when_the_role_is_gone(desk: Desk) -> None:
    # B-50, I-2
    ticket = desk.write(host("rhea"))
    desk.take(desk.pipeline.close())
    desk.commit(Outcome.LATE)
    assert "NOT_PRIMARY" == desk.told[ticket]


@pytest.mark.parametrize("landed", [True, False], ids=["landed", "was lost"])
def test_a_commit_whose_outcome_is_unknown_and(desk: Desk, landed: bool) -> None:
    # ha.md: a primary that does not know reads its tail before anything else
    ticket, waiting = desk.write(host("rhea")), desk.write(host("dione"))
    desk.commit(Outcome.UNKNOWN, lands=landed)
    assert not desk.pipeline.sure
    desk.read_tail()
    assert desk.pipeline.sure
    assert [2, 3][landed:] == desk.commit()
    assert ("revision 2", "revision 3") == (desk.told[ticket], desk.told[waiting])


def test_a_commit_that_lands_after_the_tail_was_read_is_found_under_its_revision_and_not_written_twice(
    desk: Desk,
) -> None:
    # ha.md: a commit that lands after the log was read
    ticket = desk.write(host("rhea"))
    group = desk.effects[0].group  # type: ignore[union-attr]
    desk.commit(Outcome.UNKNOWN, lands=False)
    desk.read_tail()
    desk.log += group
    desk.commit(Outcome.MISPLACED)
    desk.read_tail()
    assert "revision 2" == desk.told[ticket]
    assert [1, 2] == desk.applied
    assert not desk.effects


def test_a_fenced_write_was_not_written_and_ends_the_tenure(desk: Desk) -> None:
    # B-50, I-2: answered NOT_PRIMARY, never in the log
    tickets = [desk.write(host("rhea")), desk.write(host("dione"))]
    desk.commit(Outcome.FENCED)
    step = desk.next(StepDown)
    assert not step.went_back  # type: ignore[union-attr]
    assert Phase.CLOSED is desk.pipeline.phase
    assert ["NOT_PRIMARY", "NOT_PRIMARY"] == [desk.told[ticket] for ticket in tickets]


def test_a_database_that_went_back_ends_the_tenure_and_nothing_is_promised(desk: Desk) -> None:
    # B-51
    ticket = desk.write(host("rhea"))
    desk.commit(Outcome.WENT_BACK)
    step = desk.next(StepDown)
    assert step.went_back  # type: ignore[union-attr]
    assert "OUTCOME_UNKNOWN" == desk.told[ticket]


def test_a_tail_with_another_entry_than_the_one_applied_means_that_the_database_went_back(desk: Desk) -> None:
    # ha.md, Promotion: another one or missing
    desk.write(host("rhea"))
    desk.commit(Outcome.UNKNOWN, lands=False)
    other = EntryIdentity(1, EPOCH, RequestKey("administrator/bob", request_id()))
    desk.next(ReadTail)
    tail = Tail(HISTORY, EPOCH, 1, other, ())
    desk.take(desk.pipeline.tail_read(tail, now_ms=NOW_MS, may_act=True))
    assert desk.next(StepDown).went_back  # type: ignore[union-attr]


def test_demotion_refuses_what_was_never_handed_over_and_waits_for_what_was(desk: Desk) -> None:
    # ha.md, Demotion
    handed, pending = desk.write(host("rhea")), desk.write(host("dione"))
    desk.take(desk.pipeline.close())
    assert (None, "NOT_PRIMARY") == (desk.told.get(handed), desk.told[pending])
    desk.commit()
    assert "revision 2" == desk.told[handed]
    assert "NOT_PRIMARY" == desk.told[desk.write(host("mimas"))]


@pytest.mark.parametrize(
    ("landed", "holder", "told"),
    [
        pytest.param(True, EPOCH, "revision 2", id="is found: the first answer"),
        pytest.param(True, LATER, "revision 2", id="is found under another token: the first answer"),
        pytest.param(False, LATER, "NOT_PRIMARY", id="is not found, and another token holds: never written"),
        pytest.param(False, EPOCH, "OUTCOME_UNKNOWN", id="is not found, and may still land: unknown"),
    ],
)
def test_after_demotion_a_write_that_was_handed_over(
    desk: Desk, landed: bool, holder: Epoch, told: str
) -> None:
    # ha.md, Demotion; I-2
    ticket = desk.write(host("rhea"))
    desk.take(desk.pipeline.close())
    desk.holder = holder
    desk.commit(Outcome.UNKNOWN, lands=landed)
    desk.look_up()
    assert told == desk.told[ticket]


def test_a_retried_write_of_unknown_outcome_is_looked_up_before_it_is_called_not_primary(desk: Desk) -> None:
    # I-2: it may have landed between the tail and the successor's token
    ticket = desk.write(host("rhea"))
    group = desk.effects[0].group  # type: ignore[union-attr]
    desk.commit(Outcome.UNKNOWN, lands=False)
    desk.read_tail()
    desk.log += group
    desk.holder = LATER
    desk.commit(Outcome.FENCED)
    desk.look_up()
    assert "revision 2" == desk.told[ticket]


def test_giving_up_on_a_commit_looks_it_up_and_ignores_what_comes_of_it_later(desk: Desk) -> None:
    # ha.md, Demotion
    ticket = desk.write(host("rhea"))
    commit = desk.next(Commit)
    desk.take(desk.pipeline.close())
    desk.take(desk.pipeline.give_up())
    desk.look_up()
    assert "OUTCOME_UNKNOWN" == desk.told[ticket]
    desk.log += commit.group  # type: ignore[union-attr]
    desk.take(desk.pipeline.committed(Outcome.COMMITTED, "", now_ms=NOW_MS, may_act=True))
    assert 1 == desk.pipeline.configuration.revision
    desk.take(desk.pipeline.follow(desk.tail()))
    assert 2 == desk.pipeline.configuration.revision


def test_a_log_that_cannot_be_read_leaves_the_outcome_unknown(desk: Desk) -> None:
    ticket = desk.write(host("rhea"))
    desk.take(desk.pipeline.close())
    desk.commit(Outcome.UNKNOWN)
    asked = desk.next(LookUp).requests  # type: ignore[union-attr]
    desk.take(desk.pipeline.look_up_failed(asked))
    assert "OUTCOME_UNKNOWN" == desk.told[ticket]


def test_while_suspended_writes_wait_and_then_go_on(desk: Desk) -> None:
    # ha.md, SUSPENDED: no write is admitted
    handed, pending = desk.write(host("rhea")), desk.write(host("dione"))
    desk.pipeline.suspend()
    late = desk.write(host("mimas"))
    desk.commit()
    assert not desk.effects
    desk.take(desk.pipeline.resume(now_ms=NOW_MS, may_act=True))
    assert [3, 4] == desk.commit()
    assert ["revision 2", "revision 3", "revision 4"] == [desk.told[t] for t in (handed, pending, late)]


def test_past_the_lease_guard_nothing_is_admitted_or_committed_until_it_holds_again(desk: Desk) -> None:
    # ha.md: epoch_at(now), asked before every act
    desk.may_act = False
    ticket = desk.write(host("rhea"))
    assert not desk.effects
    desk.take(desk.pipeline.pump(now_ms=NOW_MS, may_act=True))
    desk.commit()
    assert "revision 2" == desk.told[ticket]


def test_draining_finishes_what_was_admitted_and_admits_nothing(desk: Desk) -> None:
    # ha.md, Switching over
    desk.write(host("rhea"))
    pending = desk.write(host("dione"))
    desk.pipeline.drain()
    late = desk.write(host("mimas"))
    desk.commit()
    desk.commit()
    assert desk.pipeline.idle
    assert ("revision 3", None) == (desk.told[pending], desk.told.get(late))
    desk.take(desk.pipeline.close())
    assert "NOT_PRIMARY" == desk.told[late]


def test_a_tenure_under_a_new_token_goes_on_with_what_waits(desk: Desk) -> None:
    # ha.md: rewritten the key, promoted itself again under the new token
    handed, pending = desk.write(host("rhea")), desk.write(host("dione"))
    commit = desk.next(Commit)
    desk.pipeline.suspend()
    desk.log += commit.group  # type: ignore[union-attr]
    desk.holder = LATER
    desk.take(desk.pipeline.open(LATER, history_id=HISTORY, tail=desk.tail(), now_ms=NOW_MS))
    assert "revision 2" == desk.told[handed]
    desk.commit()
    assert (LATER, 3) == (desk.entries[pending].epoch, desk.entries[pending].revision)


def test_a_caller_that_went_away_before_admission_leaves_nothing_behind(desk: Desk) -> None:
    desk.pipeline.suspend()
    gone = desk.write(host("rhea"))
    assert desk.pipeline.withdraw(Ticket(gone))
    desk.take(desk.pipeline.resume(now_ms=NOW_MS, may_act=True))
    assert not desk.effects
    assert gone not in desk.told


def test_the_times_of_the_log_never_decrease(desk: Desk) -> None:
    desk.take(desk.pipeline.submit(Ticket(90), request(host("rhea")), now_ms=NOW_MS + 500, may_act=True))
    desk.commit()
    later = desk.write(host("dione"))
    desk.commit()
    assert NOW_MS + 500 == desk.entries[later].time_ms
