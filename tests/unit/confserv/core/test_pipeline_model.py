"""The pipeline against a simple model, under any order of requests, outcomes and changes of role.

The model knows the log alone. At the end of each run every caller must have been told what the log says: I-1, I-2
and I-3 of `ha.md`, B-50, B-51.
"""

from __future__ import annotations

from collections import deque

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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
from confserv.core.log import Found, LogEntry, Tail
from confserv.core.operations import Operation, WriteRequest
from confserv.core.phases import Phase
from confserv.core.pipeline import Pipeline
from confserv.core.recent import RecentLog
from tests.support.configurations import (
    HISTORY,
    NOW_MS,
    RULES,
    an_object,
    create,
    delete,
    environment,
    request,
    update,
)

NAMES = st.sampled_from(["rhea", "dione", "mimas"])
CHANCES = st.sampled_from(
    [
        Outcome.COMMITTED,
        Outcome.COMMITTED,
        Outcome.COMMITTED,
        Outcome.UNKNOWN,
        Outcome.UNREACHABLE,
        Outcome.LATE,
        Outcome.REJECTED,
    ]
)


@st.composite
def operations(draw: st.DrawFn) -> tuple[Operation, ...]:
    """Draw a transaction on a few names, so that requests are often in each other's way."""
    made: list[Operation] = []
    for _ in range(draw(st.integers(1, 3))):
        name = draw(NAMES)
        kind = draw(st.integers(0, 2))
        if kind == 0:
            made.append(create("Host", name, address="a"))
        elif kind == 1:
            made.append(delete("Host", name))
        else:
            made.append(update("Host", name, an_object("Host", address=draw(NAMES)), "body.address"))
    return tuple(made)


class Machine(RuleBasedStateMachine):
    """One server; the store, other servers and the clients are the test's."""

    def __init__(self) -> None:
        super().__init__()
        self.pipeline = Pipeline(RULES, recent=RecentLog(capacity=2))
        self.log: list[LogEntry] = []
        self.holder = Epoch(1, 1)
        self.work: deque[Effect] = deque()
        self.adrift: list[Commit] = []
        self.requests: dict[int, WriteRequest] = {}
        self.told: dict[int, LogEntry | str] = {}
        self.tickets = 0
        self.became(self.holder)
        self.submit((environment(),))

    # -- what may happen

    @rule(operations=operations())
    def write(self, operations: tuple[Operation, ...]) -> None:
        """A client writes."""
        self.submit(operations)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """A client repeats a request, answered or not."""
        self.submit_again(self.requests[data.draw(st.sampled_from(sorted(self.requests)))])

    @precondition(lambda self: self.work)
    @rule(outcome=CHANCES, lands=st.booleans())
    def the_store_reports(self, outcome: Outcome, lands: bool) -> None:
        """The store carries out the oldest effect."""
        self.carry_out(outcome, lands=lands)

    @precondition(lambda self: self.adrift)
    @rule()
    def a_commit_lands_late(self) -> None:
        """What was given up for unknown is committed after all, if the database still lets it."""
        self.try_to_write(self.adrift.pop(0))

    @precondition(lambda self: self.pipeline.phase is not Phase.CLOSED)
    @rule()
    def another_takes_over(self) -> None:
        """Another server raises the token and writes; this one has not noticed."""
        self.holder = Epoch(1, self.holder.mod_revision + 1)
        other = request(environment(), actor="administrator/bob")
        entry = LogEntry(
            len(self.log) + 1, self.holder, NOW_MS, other.actor, other.request_id, other.content_hash, "", ()
        )
        self.log.append(entry)

    @precondition(lambda self: self.pipeline.phase is not Phase.CLOSED)
    @rule()
    def demotion(self) -> None:
        """The election ends the tenure."""
        self.take(self.pipeline.close())
        if self.pipeline.in_flight and not any(isinstance(effect, Commit) for effect in self.work):
            self.take(self.pipeline.give_up())

    @precondition(lambda self: self.pipeline.phase is not Phase.CLOSED)
    @rule()
    def suspension(self) -> None:
        """The lease guard ran out."""
        self.pipeline.suspend()

    @precondition(lambda self: self.pipeline.phase is Phase.SUSPENDED)
    @rule()
    def resumption(self) -> None:
        """The lease was renewed, and the row confirmed."""
        if self.holder == self.pipeline.epoch:
            self.take(self.pipeline.resume(now_ms=NOW_MS, may_act=True))

    @precondition(lambda self: self.pipeline.phase is Phase.CLOSED and not self.pipeline.in_flight)
    @rule()
    def promotion(self) -> None:
        """The election begins a tenure."""
        self.holder = Epoch(1, self.holder.mod_revision + 1)
        self.became(self.holder)

    # -- what must hold at any time

    @invariant()
    def memory_is_a_prefix_of_the_log(self) -> None:
        """I-3: no holes, and nothing that was not committed."""
        last = self.pipeline.configuration.last
        revision = self.pipeline.configuration.revision
        assert revision <= len(self.log)
        assert last == (self.log[revision - 1].identity if revision else None)

    @invariant()
    def what_was_acknowledged_is_in_the_log_exactly_once(self) -> None:
        """I-2."""
        for ticket, told in self.told.items():
            times = [entry for entry in self.log if entry.request == self.requests[ticket].key]
            if isinstance(told, LogEntry):
                assert [told] == times
            else:
                assert len(times) <= 1

    @invariant()
    def tokens_never_decrease(self) -> None:
        """I-1."""
        epochs = [entry.epoch for entry in self.log]
        assert sorted(epochs) == epochs

    def teardown(self) -> None:
        """When all is quiet nobody waits any more, and who was told NOT_PRIMARY wrote nothing (I-2)."""
        self.take(self.pipeline.close())
        while self.work:
            self.carry_out()
        if self.pipeline.in_flight:
            self.take(self.pipeline.give_up())
        while self.work:
            self.carry_out()
        assert sorted(self.requests) == sorted(self.told)
        for ticket, told in self.told.items():
            if told == "NOT_PRIMARY" and self.is_only_ticket(ticket):
                assert self.requests[ticket].key not in {entry.request for entry in self.log}

    # -- inside

    def is_only_ticket(self, ticket: int) -> bool:
        """Whether the request was never repeated."""
        key = self.requests[ticket].key
        return [ticket] == [other for other, asked in self.requests.items() if asked.key == key]

    def submit(self, operations: tuple[Operation, ...]) -> None:
        """Submit a new request."""
        self.submit_again(request(*operations))

    def submit_again(self, asked: WriteRequest) -> None:
        """Submit a request under a new ticket."""
        self.tickets += 1
        self.requests[self.tickets] = asked
        self.take(self.pipeline.submit(Ticket(self.tickets), asked, now_ms=NOW_MS, may_act=True))

    def became(self, epoch: Epoch) -> None:
        """Open under a token that the row holds."""
        self.take(self.pipeline.open(epoch, history_id=HISTORY, tail=self.tail(), now_ms=NOW_MS))

    def tail(self) -> Tail:
        """Give the log behind memory."""
        after = self.pipeline.configuration.revision
        at_start = self.log[after - 1].identity if after else None
        return Tail(HISTORY, self.holder, len(self.log), at_start, tuple(self.log[after:]))

    def take(self, effects: list[Effect]) -> None:
        """Note what is asked for."""
        for effect in effects:
            match effect:
                case Answer():
                    assert effect.ticket not in self.told, "told twice"
                    self.told[effect.ticket] = effect.entry
                case Refuse():
                    assert effect.ticket not in self.told, "told twice"
                    self.told[effect.ticket] = str(effect.refusal.reason)
                case Applied() | StepDown():
                    pass
                case _:
                    self.work.append(effect)

    def report(self, commit: Commit, outcome: Outcome, *, lands: bool) -> None:
        """Let the database carry out a commit, or not, and say what it says."""
        if outcome in (Outcome.COMMITTED, Outcome.UNKNOWN) and (outcome is Outcome.COMMITTED or lands):
            verdict = self.try_to_write(commit)
            outcome = verdict if verdict is not Outcome.COMMITTED else outcome
        elif outcome is Outcome.UNKNOWN:
            self.adrift.append(commit)
        self.take(self.pipeline.committed(outcome, "made up", now_ms=NOW_MS, may_act=True))

    def try_to_write(self, commit: Commit) -> Outcome:
        """What a fenced store does with a group."""
        if commit.epoch != self.holder:
            return Outcome.FENCED
        if commit.group[0].revision != len(self.log) + 1:
            return Outcome.MISPLACED
        known = {entry.request for entry in self.log}
        if any(entry.request in known for entry in commit.group):
            return Outcome.REJECTED
        self.log += commit.group
        return Outcome.COMMITTED

    def carry_out(self, outcome: Outcome = Outcome.COMMITTED, *, lands: bool = True) -> None:
        """Carry out the oldest effect; a commit gets `outcome`."""
        effect = self.work.popleft()
        match effect:
            case Commit():
                self.report(effect, outcome, lands=lands)
            case ReadTail():
                self.take(self.pipeline.tail_read(self.tail(), now_ms=NOW_MS, may_act=True))
            case LookUp():
                asked = set(effect.requests)
                found = Found(self.holder, {e.request: e for e in self.log if e.request in asked})
                self.take(self.pipeline.looked_up(found, effect.requests))
            case RetryLater():
                self.take(self.pipeline.pump(now_ms=NOW_MS, may_act=True))


TestPipeline = Machine.TestCase
TestPipeline.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
