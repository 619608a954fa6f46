"""What the election needs from the world, and what it gives to it: five small Protocols.

A server that is elected implements `Component`; it is given a `Leadership`. `Coordination` is etcd, or
memory. The duties of whoever implements `Component`:

1. The runner never has two calls of a component in flight and always awaits the answer, in the order given. A
   call may take as long as it must, but whatever it admits meanwhile it asks `Leadership.epoch_at(now)`
   first: a guard runs out during a call, too.
2. Nothing is served as primary before `promote` has returned OPENED, nor after `demote` was called, nor in
   between while suspended.
3. Every write transaction checks the fence row itself (`confkit.fence.check_write`); the election cannot do
   this for you.
4. `demote` may come at any time, also twice, also without a promotion before it.
5. `promote` may also come to a component that is suspended or prepared for a hand-over: its key was rewritten
   under a new token, and what waits goes on under that one.
6. Every call may raise `StoreUnreachable`. Any other exception ends the process: a restarted backup is safer
   than a confused primary.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from confkit.election.types import (
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grant,
    Grounds,
    HandOver,
    Hint,
    History,
    InstanceName,
    LeaderRecord,
    LeaseId,
    Member,
    MemberState,
    Pause,
    Permission,
    Promotion,
    State,
    View,
    WriteResult,
)
from confkit.fence import FenceRow


class StoreUnreachable(Exception):
    """The store that holds the fence row did not answer; nothing is known, and the election asks again."""


class CoordinationUnavailable(Exception):
    """No endpoint of etcd answered in time: whether the call took effect is not known."""


class CoordinationRefused(Exception):
    """etcd answered, and refuses for good: wrong certificate, no permission, bad request. Names the endpoint
    and the reason.
    """


class Component(Protocol):
    """What an elected server can do: Configuration Server, LRM, License Manager, Message Server, Solution
    Control.
    """

    async def read_fence(self) -> FenceRow | None:
        """Read the fence row, None when the store never had a primary. Raises StoreUnreachable."""

    def may_campaign(self, row: FenceRow | None, view: View) -> Permission:
        """Say at once, without IO, whether this server may become primary, given row and etcd as just read.

        B-40 (`confkit.fence.may_take_role`), database known reachable, history not gone back.
        """

    async def raise_generation(
        self, expected: FenceRow, *, identity: EtcdIdentity, revision: int
    ) -> GenerationRaise:
        """Record a rebuilt etcd by compare-and-set on the whole row as it was read
        (`confkit.fence.raised_generation`).
        """

    async def promote(self, epoch: Epoch, grounds: Grounds) -> Promotion:
        """Raise the fence row, catch up in one snapshot begun after that, open.

        The transaction that raises the row checks the HA feature and the holder on record again (B-40). Never
        raises.
        """

    async def suspend(self, reason: str) -> None:
        """Admit no write and no current read: they wait. The primary does not know whether it still is one."""

    async def confirm(self, epoch: Epoch) -> Confirmation:
        """Say whether the fence row still holds `epoch`; asked before a suspended primary resumes."""

    async def resume(self, epoch: Epoch) -> None:
        """Serve again what waited since `suspend` or since a hand-over that did not take place."""

    async def prepare_handover(self, successor: Member, timeout_s: float) -> bool:
        """Ask the successor whether it is ready, stop admitting writes and current reads, finish the commit
        in flight.

        False when any of it failed or would take longer than `timeout_s`; the runner then calls `resume`.
        B-53.
        """

    async def demote(self, reason: str, successor: LeaderRecord | None) -> None:
        """Stop being primary: answer what waits with NOT_PRIMARY and the successor's endpoints if known, end
        streams, follow.
        """

    def member(self) -> MemberState:
        """Say how this server stands, without IO; asked with each renewal of the lease."""


class Leadership(Protocol):
    """What an elected server may ask of its election; `runner.Election` is the real one."""

    @property
    def state(self) -> State:
        """The state of the machine; being LEADER gives no right to write, `epoch_at` does."""

    @property
    def lease_id(self) -> LeaseId | None:
        """This process's lease, to register with the Local Control Agent."""

    def epoch_at(self, now_s: float) -> Epoch | None:
        """Give the token under which this server is primary at `now_s` (CLOCK_BOOTTIME), None when it is not
        or cannot know.

        Ask before every act of a primary: admission, commit, current read.
        """

    def primary(self) -> LeaderRecord | None:
        """Give the leader key as last read; it may be out of date."""

    def members(self) -> tuple[Member, ...]:
        """Give the members as last read."""

    async def hand_over(
        self, *, to: InstanceName | None = None, reason: str = "", timeout_s: float = 5.0
    ) -> HandOver:
        """Switch over to `to`, or to the member that has applied most. Answers when this server has given the
        role up, or kept it.
        """

    def refused(self, epoch: Epoch, confirmation: Confirmation) -> None:
        """Tell that a write under `epoch` was refused by the fence row (FENCED or WENT_BACK).

        The election would find out within one TTL by itself; this makes it at once.
        """

    async def pause_failover(self, *, reason: str, by: str) -> None:
        """Stop automatic switchover of the whole pair until `resume_failover`."""

    async def resume_failover(self) -> None:
        """Allow automatic switchover again."""

    def subscribe(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change` in the event loop after each change of state, token, primary or members; the
        answer unsubscribes.
        """


class Coordination(Protocol):
    """etcd, as far as an election needs it, bound to one cluster and component.

    Every call has a deadline of its own and raises CoordinationUnavailable after it: the effect is then
    unknown, and may still come later. Reads are linearizable.
    """

    async def grant(self, ttl_s: int) -> Grant:
        """Grant a lease of at least `ttl_s` whole seconds."""

    async def renew(self, lease: LeaseId) -> Grant:
        """Renew it once."""

    async def revoke(self, lease: LeaseId) -> None:
        """End it and delete its keys; a lease that does not exist is no error."""

    async def view(self) -> View:
        """Read identity, leader, members, history and pause in one transaction."""

    async def create_identity(self, identity: EtcdIdentity) -> None:
        """Write the identity if there is none."""

    async def put_member(self, member: Member) -> bool:
        """Write this member's key on its lease; false when there is no such lease."""

    async def put_history(self, history: History, *, held: LeaderRecord) -> None:
        """Write how far the database went, only while the leader key is `held`."""

    async def put_pause(self, pause: Pause | None) -> None:
        """Pause automatic switchover of this component, or end the pause."""

    async def campaign(self, leader: LeaderRecord) -> WriteResult:
        """Write the leader key on `leader.lease` if there is none, the identity is `leader.identity` and the
        last tenure is `leader.prior`.
        """

    async def replace(self, held: LeaderRecord, leader: LeaderRecord) -> WriteResult:
        """Write `leader` in the place of `held`, compared on identity, mod_revision and lease: a hand-over or
        a rewrite.

        When `leader` names another instance, that member's key must stand on `leader.lease`.
        """

    async def give_up(self, held: LeaderRecord) -> WriteResult:
        """Delete the leader key, compared like `replace`."""

    def hints(self) -> AsyncIterator[Hint]:
        """Yield hints that something changed, for ever; they may be late, doubled or missing."""
