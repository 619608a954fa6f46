"""One member's core with its world played by hand: bring it to a situation, give it an event, look at what it
orders.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from confkit.election import messages as msg
from confkit.election.core import ElectionCore
from confkit.election.flapping import Flapping
from confkit.election.timing import Timing
from confkit.election.types import (
    Confirmation,
    EtcdIdentity,
    Grant,
    InstanceName,
    LeaderRecord,
    LeaseId,
    Member,
    MemberState,
    Pause,
    Permission,
    ProcessFacts,
    Promotion,
    State,
    View,
    WriteResult,
    Written,
)
from confkit.fence import FenceRow

ME, OTHER = InstanceName("me"), InstanceName("other")
LEASE, OTHER_LEASE = LeaseId(11), LeaseId(22)
IDENTITY = EtcdIdentity("etcd-1")
TTL_S = 5.0
E = TypeVar("E")


def record(
    name: InstanceName = ME, lease: LeaseId = LEASE, *, mod_revision: int = 20, generation: int = 1
) -> LeaderRecord:
    """A leader key."""
    return LeaderRecord(name, (f"{name}:1",), generation, IDENTITY, mod_revision, lease)


OTHERS = record(OTHER, OTHER_LEASE, mod_revision=15)
SUCCESSOR = Member(
    ProcessFacts(OTHER, ("other:1",)), State.FOLLOWER, MemberState(applied_revision=3), OTHER_LEASE
)


def view(
    leader: LeaderRecord | None = None,
    *,
    revision: int = 30,
    members: tuple[Member, ...] = (SUCCESSOR,),
    pause: Pause | None = None,
    identity: EtcdIdentity | None = IDENTITY,
) -> View:
    """What etcd holds."""
    return View(revision, identity, leader, members, None, pause, 10)


@dataclass
class Hand:
    """Steps a core and answers its orders; `ordered` are the effects of the last step."""

    core: ElectionCore = field(
        default_factory=lambda: ElectionCore(
            facts=ProcessFacts(ME, ("me:1",)), timing=Timing(lease_ttl_s=5), flapping=Flapping(limit=2)
        )
    )
    now_s: float = 100.0
    ordered: list[msg.Effect] = field(default_factory=list)
    row: FenceRow | None = None

    def give(self, event: msg.Event, *, after_s: float = 0.0) -> list[msg.Effect]:
        """Let time pass and give an event."""
        self.now_s += after_s
        self.ordered = self.core.step(event, self.now_s)
        return self.ordered

    def one(self, kind: type[E]) -> E:
        """The one order of a kind in the last step."""
        found = [effect for effect in self.ordered if isinstance(effect, kind)]
        assert 1 == len(found), f"{kind.__name__} among {self.ordered}"
        return found[0]

    def kinds(self) -> set[type]:
        """The kinds of the last orders, without the notices and the upkeep of the lease."""
        upkeep = (msg.Announce, msg.RenewLease, msg.RefreshMember)
        return {type(effect) for effect in self.ordered if not isinstance(effect, upkeep)}

    # --- the way to each situation

    def started(self) -> Hand:
        """Has a lease and looks at etcd."""
        self.give(msg.Tick())
        assert 5 == self.one(msg.GrantLease).ttl_s
        self.give(msg.Granted(Grant(LEASE, TTL_S), self.now_s))
        return self

    def sees(self, found: View) -> list[msg.Effect]:
        """Answer the read that was ordered last."""
        return self.give(msg.ViewRead(self.core._m.view_op, found, self.now_s))

    def follower(self) -> Hand:
        """Follows another primary."""
        self.started().sees(view(OTHERS))
        return self

    def asking(self, found: View | None = None) -> Hand:
        """Has read row and etcd, and asks its component."""
        self.started().sees(found or view())
        self.give(msg.FenceRead(self.one(msg.ReadFence).call, self.row))
        self.sees(found or view())
        return self

    def campaigning(self) -> Hand:
        """Has ordered the transaction for the key."""
        self.asking()
        self.give(msg.PermissionGiven(self.one(msg.AskPermission).call, Permission()))
        return self

    def promoting(self) -> Hand:
        """Holds the key under token 1.20."""
        self.campaigning()
        self.written(Written.APPLIED)
        return self

    def leader(self) -> Hand:
        """Serves under token 1.20."""
        self.promoting()
        self.give(msg.Promoted(self.one(msg.Promote).call, Promotion.opened()))
        return self

    def transferring(self) -> Hand:
        """Has sent the hand-over."""
        self.leader()
        self.give(msg.HandOverAsked(1, None, "test", 1.0))
        self.give(msg.HandOverPrepared(self.one(msg.PrepareHandOver).call, ready=True))
        return self

    def suspended(self) -> Hand:
        """Was primary, and its guard has run out."""
        self.leader().give(msg.Tick(), after_s=TTL_S)
        return self

    def confirming(self) -> Hand:
        """Has lease and key again, and asks the fence row."""
        self.suspended()
        self.give(msg.Renewed(LEASE, Grant(LEASE, TTL_S), self.now_s))
        self.sees(view(record()))
        return self

    # --- answers

    def written(self, written: Written, mod_revision: int = 20) -> list[msg.Effect]:
        """Answer the transaction on the key that was ordered last."""
        result = WriteResult(written, mod_revision if written is Written.APPLIED else 0)
        return self.give(msg.KeyWritten(self.core._m.call, result, self.now_s))

    def confirmed(self, confirmation: Confirmation) -> list[msg.Effect]:
        """Answer the question about the fence row."""
        return self.give(msg.Confirmed(self.core._m.call, confirmation))
