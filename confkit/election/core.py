"""The pure core of the election. Its words come from `types.py` and are given on here, so that users import
one module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confkit.election import candidacy, switchover, tenure, upkeep
from confkit.election.flapping import Flapping
from confkit.election.machine import GONE, NEVER, SERVES, STATE_OF, Machine, Phase
from confkit.election.messages import (
    Confirmed,
    Effect,
    Event,
    FenceRead,
    GenerationAnswered,
    Granted,
    HandOverAsked,
    HandOverPrepared,
    Hinted,
    IdentityCreated,
    KeyWritten,
    Left,
    PermissionGiven,
    Promoted,
    Renewed,
    StopAsked,
    StoreRefused,
    StoreSeen,
    Tick,
    ViewRead,
)
from confkit.election.timing import Timing
from confkit.election.types import (
    ALLOWED,
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
    HandOver,
    HandOverResult,
    History,
    InstanceName,
    LeaderRecord,
    LeaseId,
    Member,
    MemberState,
    Pause,
    Permission,
    ProcessFacts,
    Promotion,
    PromotionResult,
    Refusal,
    State,
    View,
)

__all__ = [
    "ALLOWED",
    "Confirmation",
    "Epoch",
    "EtcdIdentity",
    "GenerationRaise",
    "Grounds",
    "HandOver",
    "HandOverResult",
    "History",
    "InstanceName",
    "LeaderRecord",
    "LeaseId",
    "Member",
    "MemberState",
    "Pause",
    "Permission",
    "ProcessFacts",
    "Promotion",
    "PromotionResult",
    "Refusal",
    "State",
    "View",
]


class ElectionCore:
    """One member's election as a pure machine: `step` takes an event and the time, gives effects.

    Duties of the caller: carry out every effect, those on the component one after the other in the order
    given; answer each numbered one exactly once; step a Tick no later than `deadline_s`; give times of one
    clock that never goes back. A broken invariant raises and the process must end.
    """

    def __init__(
        self,
        *,
        facts: ProcessFacts,
        timing: Timing | None = None,
        flapping: Flapping | None = None,
        take_over: bool = False,
    ) -> None:
        self._m = Machine(
            facts=facts,
            timing=timing or Timing(),
            flapping=flapping or Flapping(),
            take_over=take_over,
        )

    @property
    def phase(self) -> Phase:
        """Where this member stands, finer than `state`."""
        return self._m.phase

    @property
    def state(self) -> State:
        """Follower, candidate, leader or suspended."""
        return STATE_OF[self._m.phase]

    @property
    def lease(self) -> LeaseId | None:
        """The lease of this process, None before the first grant and after a loss."""
        return self._m.lease

    @property
    def view(self) -> View | None:
        """etcd as last read."""
        return self._m.view

    @property
    def tenure(self) -> LeaderRecord | None:
        """The leader key as this member holds it, None when it does not."""
        return self._m.tenure.record if self._m.tenure else None

    @property
    def given_up(self) -> Epoch:
        """The highest token that this process has given up."""
        return self._m.given_up

    def epoch_at(self, now_s: float) -> Epoch | None:
        """Give the token under which this member is primary at `now_s`; None when it is not, or cannot know.
        B-50.
        """
        m, held = self._m, self._m.tenure  # read once: other threads may ask
        if m.phase in SERVES and held is not None and now_s < m.guard_of(held):
            return held.epoch
        return None

    def deadline_s(self, now_s: float) -> float:
        """Give the time of the next Tick that is needed after the step at `now_s`, infinity for none.

        What is due by then and was not done waits for another event, not for time.
        """
        m = self._m
        if m.phase in GONE:
            return NEVER
        times_s = (
            NEVER if m.lease_call_pending else m.next_lease_call_s,
            NEVER if m.view_pending else m.next_view_s,
            m.guard_s() if m.phase in SERVES else NEVER,
            m.confirm_at_s if m.phase is Phase.OPEN else NEVER,
            m.act_at_s if m.phase in (Phase.WAITING, Phase.SUSPENDED) else NEVER,
            m.trouble_since_s + m.granted_ttl_s if m.tenure is not None else NEVER,
            m.not_before_s if m.phase is Phase.IDLE else NEVER,
        )
        return min((time_s for time_s in times_s if time_s > now_s), default=NEVER)

    def step(self, event: Event, now_s: float) -> list[Effect]:
        """Take one event in, then do what is due."""
        m = self._m
        m.effects = []
        if m.phase is Phase.LEFT:
            return []
        if m.phase not in GONE or isinstance(event, Left | HandOverAsked):
            _HANDLERS[type(event)](m, event, now_s)
        if m.phase not in GONE:
            switchover.leave_if_due(m)
        if m.phase not in GONE:
            tenure.proceed(m, now_s)
            if m.phase is Phase.IDLE and m.lease is not None:
                candidacy.consider(m, now_s)
                tenure.proceed(m, now_s)
            upkeep.watch_flapping(m, now_s)
            upkeep.keep(m, now_s)
        return m.effects


def _on_written(m: Machine, event: KeyWritten, now_s: float) -> None:
    if event.op != m.call or not m.write_pending:
        return
    match m.phase:
        case Phase.CAMPAIGNING:
            candidacy.on_written(m, event, now_s)
        case Phase.TRANSFERRING:
            switchover.on_transferred(m, event, now_s)
        case Phase.REWRITING:
            tenure.on_rewritten(m, event, now_s)
        case Phase.GIVING_UP:
            tenure.on_given_up(m)


_Handler = Callable[[Machine, Any, float], None]
_HANDLERS: dict[type, _Handler] = {
    Tick: lambda m, e, now_s: None,
    Granted: upkeep.on_granted,
    Renewed: upkeep.on_renewed,
    ViewRead: upkeep.on_view,
    Hinted: upkeep.on_hint,
    StoreRefused: tenure.on_refused,
    StoreSeen: upkeep.on_store_seen,
    KeyWritten: _on_written,
    FenceRead: candidacy.on_fence,
    IdentityCreated: lambda m, e, now_s: candidacy.on_identity(m, e),
    GenerationAnswered: candidacy.on_generation,
    PermissionGiven: candidacy.on_permission,
    Promoted: tenure.on_promoted,
    Confirmed: tenure.on_confirmed,
    HandOverPrepared: switchover.on_prepared,
    HandOverAsked: lambda m, e, now_s: switchover.on_asked(m, e),
    StopAsked: lambda m, e, now_s: switchover.on_stop(m, e),
    Left: lambda m, e, now_s: switchover.on_left(m),
}
