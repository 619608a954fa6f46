"""The state of one member's election, its phases and which may follow which.

The rules work on this in four parts: `upkeep.py` (lease, reading etcd), `candidacy.py` (up to winning the
key), `tenure.py` (from the key to open, suspended or over), `switchover.py` (handing over, leaving).
`core.py` joins them. Nothing here reads a clock or does IO.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum, auto

from confkit.election.flapping import Flapping
from confkit.election.messages import (
    Announce,
    AnswerHandOver,
    Effect,
    Notice,
    ReadView,
    RefreshMember,
    WriteKey,
)
from confkit.election.timing import Timing, guard_until_s
from confkit.election.types import (
    Epoch,
    EtcdIdentity,
    HandOver,
    HandOverResult,
    LeaderRecord,
    LeaseId,
    Member,
    ProcessFacts,
    State,
    View,
    WriteResult,
    Written,
)
from confkit.fence import FenceRow


class Phase(Enum):
    """Where a member stands; `STATE_OF` says which of the four states that is."""

    IDLE = auto()
    READING_FENCE = auto()
    READING_VIEW = auto()
    CREATING_IDENTITY = auto()
    RAISING_GENERATION = auto()
    ASKING = auto()
    CAMPAIGNING = auto()
    WAITING = auto()
    """Has the key; waits for a guard, for a wiped etcd's former primary, or for the database."""
    PROMOTING = auto()
    OPEN = auto()
    PREPARING = auto()
    TRANSFERRING = auto()
    SUSPENDED = auto()
    CONFIRMING = auto()
    REWRITING = auto()
    """A hand-over may still be applied: nothing is served until the key was rewritten."""
    GIVING_UP = auto()
    LEAVING = auto()
    LEFT = auto()


_P = Phase
STATE_OF: dict[Phase, State] = {
    **dict.fromkeys((_P.IDLE, _P.GIVING_UP, _P.LEAVING, _P.LEFT), State.FOLLOWER),
    **dict.fromkeys(
        (
            _P.READING_FENCE,
            _P.READING_VIEW,
            _P.CREATING_IDENTITY,
            _P.RAISING_GENERATION,
            _P.ASKING,
            _P.CAMPAIGNING,
            _P.WAITING,
            _P.PROMOTING,
        ),
        State.CANDIDATE,
    ),
    **dict.fromkeys((_P.OPEN, _P.PREPARING, _P.TRANSFERRING), State.LEADER),
    **dict.fromkeys((_P.SUSPENDED, _P.CONFIRMING, _P.REWRITING), State.SUSPENDED),
}

_ENDS = {_P.IDLE, _P.LEAVING}
FOLLOWS: dict[Phase, frozenset[Phase]] = {
    phase: frozenset(after | _ENDS)
    for phase, after in {
        _P.IDLE: {_P.READING_FENCE, _P.WAITING},
        _P.READING_FENCE: {_P.READING_VIEW},
        _P.READING_VIEW: {_P.CREATING_IDENTITY, _P.RAISING_GENERATION, _P.ASKING},
        _P.CREATING_IDENTITY: {_P.READING_VIEW},
        _P.RAISING_GENERATION: {_P.READING_FENCE},
        _P.ASKING: {_P.CAMPAIGNING, _P.GIVING_UP},
        _P.CAMPAIGNING: {_P.WAITING},
        _P.WAITING: {_P.PROMOTING, _P.GIVING_UP},
        _P.PROMOTING: {_P.OPEN, _P.WAITING, _P.GIVING_UP},
        _P.OPEN: {_P.PREPARING, _P.SUSPENDED, _P.GIVING_UP},
        _P.PREPARING: {_P.OPEN, _P.TRANSFERRING, _P.SUSPENDED, _P.GIVING_UP},
        _P.TRANSFERRING: {_P.SUSPENDED, _P.REWRITING},
        _P.SUSPENDED: {_P.CONFIRMING, _P.GIVING_UP},
        _P.CONFIRMING: {_P.OPEN, _P.SUSPENDED, _P.GIVING_UP},
        _P.REWRITING: {_P.WAITING, _P.GIVING_UP},
        _P.GIVING_UP: set[Phase](),
        _P.LEAVING: {_P.LEFT},
    }.items()
} | {_P.LEFT: frozenset()}

HOLDS_KEY = frozenset(
    {
        _P.WAITING,
        _P.PROMOTING,
        _P.OPEN,
        _P.PREPARING,
        _P.TRANSFERRING,
        _P.SUSPENDED,
        _P.CONFIRMING,
        _P.REWRITING,
    }
)
SERVES = frozenset({_P.OPEN, _P.PREPARING})
GONE = frozenset({_P.LEAVING, _P.LEFT})


class IllegalTransition(AssertionError):
    """A phase was to be followed by one that cannot follow it: a bug, which ends the process."""


@dataclass(frozen=True, slots=True)
class Tenure:
    """The leader key as this member holds it. `seen_s` is when the last read that confirmed it was sent."""

    record: LeaderRecord
    won_s: float
    seen_s: float

    @property
    def epoch(self) -> Epoch:
        """The token."""
        return self.record.epoch


@dataclass(frozen=True, slots=True)
class PendingHandOver:
    """A hand-over in progress; `request` is None when the process only wants to leave."""

    request: int | None
    successor: Member
    reason: str


NEVER = math.inf
LONG_AGO = -math.inf
NO_EPOCH = Epoch(0, 0)


class Machine:
    """Everything a member remembers of its election. Times are seconds of one clock that runs on while the
    machine sleeps.
    """

    def __init__(self, *, facts: ProcessFacts, timing: Timing, flapping: Flapping, take_over: bool) -> None:
        self.facts = facts
        self.timing = timing
        self.flapping = flapping
        self.take_over = take_over
        self.effects: list[Effect] = []
        self.phase = Phase.IDLE
        self.published = State.FOLLOWER
        # the lease
        self.lease: LeaseId | None = None
        self.granted_ttl_s = float(timing.lease_ttl_s)
        self.renewed_s = LONG_AGO
        self.next_lease_call_s = LONG_AGO
        self.lease_call_pending = False
        # etcd as last read
        self.view: View | None = None
        self.view_op = 0
        self.view_pending = False
        self.view_again = False
        self.view_sent_s = LONG_AGO
        self.next_view_s = NEVER
        self.settled = False
        self.went_back_in = 0  # the generation in which the fence row proved that etcd went back
        # candidacy
        self.row: FenceRow | None = None
        self.basis: View | None = (
            None  # etcd as read after the row; later reads do not count for this attempt
        )
        self.call = 0
        self.not_before_s = LONG_AGO
        self.failures = 0
        self.refused_detail = ""
        # tenure
        self.tenure: Tenure | None = None
        self.act_at_s = NEVER
        self.given_up = NO_EPOCH
        self.confirm_at_s = NEVER
        self.trouble_since_s = NEVER
        self.was_primary = False
        # switching over
        self.pending: PendingHandOver | None = None
        self.writing: LeaderRecord | None = None
        self.found: LeaderRecord | None = None  # our key as last read, to be rewritten
        self.write_pending = False
        self.stopping = False
        self.flapping_announced = False

    # --- small things that all rules use

    def emit(self, effect: Effect) -> None:
        """Order something."""
        self.effects.append(effect)

    def announce(self, notice: Notice, detail: str = "", epoch: Epoch | None = None) -> None:
        """Tell the log."""
        self.effects.append(Announce(notice, detail, epoch))

    def move(self, phase: Phase) -> None:
        """Go to another phase. Raises IllegalTransition and changes nothing when it cannot follow."""
        if phase is self.phase:
            return
        if phase not in FOLLOWS[self.phase]:
            raise IllegalTransition(f"{self.phase.name} cannot be followed by {phase.name}")
        self.phase = phase
        role = STATE_OF[phase]
        if role not in (self.published, State.CANDIDATE) and self.lease is not None and phase not in GONE:
            self.refresh_member()

    def next_call(self) -> int:
        """Number a call; answers to all earlier ones are ignored from now on."""
        self.call += 1
        return self.call

    def refresh_member(self) -> None:
        """Write the member key, and the history when primary."""
        assert self.lease is not None
        self.published = STATE_OF[self.phase]
        held = self.tenure.record if self.tenure is not None and self.phase in SERVES else None
        self.emit(RefreshMember(self.lease, STATE_OF[self.phase], held))

    def read_view(self) -> None:
        """Read etcd anew; an answer to an earlier read is ignored."""
        self.view_op += 1
        self.view_pending, self.view_again = True, False
        self.emit(ReadView(self.view_op))

    def ignore_reads_under_way(self) -> None:
        """Ignore answers to reads that may be older than what was written or found since."""
        self.view_op += 1
        self.view_pending = False

    def write_key(self, held: LeaderRecord | None, leader: LeaderRecord | None) -> None:
        """Write the leader key, compared; one such transaction is under way at a time."""
        self.writing, self.write_pending = leader, True
        self.emit(WriteKey(self.next_call(), held, leader))

    def written(self, result: WriteResult) -> LeaderRecord | None:
        """Give the leader key as it was written, None when it was not or nobody knows."""
        self.write_pending = False
        if result.written is not Written.APPLIED:
            return None
        self.ignore_reads_under_way()
        return replace(self.writing, mod_revision=result.mod_revision) if self.writing else None

    def lease_guard_s(self) -> float:
        """Give the time until which the lease counts as ours."""
        if self.lease is None:
            return LONG_AGO
        return guard_until_s(sent_s=self.renewed_s, granted_ttl_s=self.granted_ttl_s)

    def guard_s(self) -> float:
        """Give the time until which this member may act as primary."""
        return LONG_AGO if self.tenure is None else self.guard_of(self.tenure)

    def guard_of(self, held: Tenure) -> float:
        """Give the guard of a tenure: its lease *and* its key must have been confirmed not too long ago."""
        if self.lease is None:
            return LONG_AGO
        sent_s = min(self.renewed_s, held.seen_s)
        return guard_until_s(sent_s=sent_s, granted_ttl_s=self.granted_ttl_s)

    def own_record(self, *, generation: int, identity: EtcdIdentity, prior: int) -> LeaderRecord:
        """Give the leader key as this member would write it."""
        assert self.lease is not None
        return LeaderRecord(
            instance=self.facts.instance,
            endpoints=self.facts.endpoints,
            generation=generation,
            identity=identity,
            mod_revision=0,
            lease=self.lease,
            prior=prior,
        )

    def is_own(self, leader: LeaderRecord | None) -> bool:
        """Say whether the key is in our name on our present lease; a former life's lease is somebody else's."""
        return leader is not None and leader.instance == self.facts.instance and leader.lease == self.lease

    def forget_tenure(self) -> None:
        """Give the token up for ever; the next decision waits for a fresh read."""
        if self.tenure is not None:
            self.given_up = max(self.given_up, self.tenure.epoch)
        self.tenure = None
        self.act_at_s = NEVER
        self.settled = False
        self.write_pending = False
        self.next_call()

    def cool_down(self, now_s: float) -> None:
        """Wait before the next attempt, longer each time."""
        pause_s = min(self.timing.retry_s * 2.0**self.failures, self.granted_ttl_s)
        self.failures = min(self.failures + 1, 10)
        self.not_before_s = now_s + pause_s

    def forget_failures(self) -> None:
        """Let the next attempt begin at once: what failed was another matter."""
        self.failures, self.not_before_s = 0, LONG_AGO

    def know_leader(self, leader: LeaderRecord) -> None:
        """Take over what our own transaction made of the leader key, without waiting for the next read."""
        if self.view is not None:
            self.view = replace(self.view, leader=leader)

    def answer(
        self, request: int | None, result: HandOverResult, detail: str = "", epoch: Epoch | None = None
    ) -> None:
        """Answer who asked for a switchover."""
        if request is not None:
            successor = self.pending.successor.instance if self.pending else None
            self.emit(AnswerHandOver(request, HandOver(result, successor, detail, epoch)))

    def end_handover(self, result: HandOverResult, detail: str = "", epoch: Epoch | None = None) -> None:
        """Answer and forget the hand-over in progress, if any."""
        if self.pending is not None:
            self.answer(self.pending.request, result, detail, epoch)
            self.pending = None

    def saw_key(self, seen_s: float) -> None:
        """Note that a read sent at `seen_s` found the key as we hold it."""
        assert self.tenure is not None
        self.tenure = replace(self.tenure, seen_s=max(self.tenure.seen_s, seen_s))
