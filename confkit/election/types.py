"""The words of the election: ids, tokens, members, views of etcd, and the answers of a component.

Why it exists: the pure core, the adapters, the fence and every elected server speak of the same few things.
All are frozen. It decides nothing; the rules are in `core.py` and in `confkit.fence`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NewType

InstanceName = NewType("InstanceName", str)
"""The name of one server of a pair, unique in its cluster; the last part of its certificate's URI."""

LeaseId = NewType("LeaseId", int)
"""An etcd lease. One a process."""

EtcdIdentity = NewType("EtcdIdentity", str)
"""The random UUID under `/{cluster}/identity`: another one means that etcd's data is another."""


@dataclass(frozen=True, slots=True, order=True)
class Epoch:
    """The token of `ha.md`: (generation, mod_revision of the leader key), ordered; each tenure has its own.

    Generation grows only when etcd was rebuilt from nothing; mod_revision is 0 only between that and the next
    promotion.
    """

    generation: int
    mod_revision: int

    def __str__(self) -> str:
        return f"{self.generation}.{self.mod_revision}"


class State(Enum):
    """What a member is, as the state machine sees it. Only LEADER, within its guard, may write."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """Who this process is: what the member key, the fence row and the Local Control Agent compare.

    `process_start_ticks` is field 22 of /proc/PID/stat; with `boot_id` and `pid` it names one process for
    ever.
    """

    instance: InstanceName
    endpoints: tuple[str, ...] = ()
    version: str = ""
    host: str = ""
    pid: int = 0
    process_start_ticks: int = 0
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """How far a database went: its history id (new after a restore) and its last revision;
    `/{cluster}/{component}/history`.
    """

    history_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class MemberState:
    """What a component says of itself at each refresh of its lease; never written per commit.

    `promotable` says that it could open now (warm, and not out of service); `database_reachable` is what
    others look at before a primary that cannot commit resigns. `extra` is free text for status displays.
    """

    applied_revision: int = 0
    promotable: bool = True
    database_reachable: bool = True
    history: History | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Member:
    """One registered member, as its key `/{cluster}/{component}/members/{instance}` says, with the lease that
    holds the key.
    """

    facts: ProcessFacts
    role: State
    state: MemberState
    lease: LeaseId

    @property
    def instance(self) -> InstanceName:
        """The member's name."""
        return self.facts.instance


@dataclass(frozen=True, slots=True)
class LeaderRecord:
    """The leader key as it stands in etcd: its value, the revision that wrote it and the lease that holds it."""

    instance: InstanceName
    endpoints: tuple[str, ...]
    generation: int
    identity: EtcdIdentity
    mod_revision: int
    lease: LeaseId
    prior: int = 0
    """The mod_revision of the tenure before this one; whoever writes the key compares it."""
    handed_over: bool = False
    """Written by its predecessor in a planned switchover, not won."""

    @property
    def epoch(self) -> Epoch:
        """The token of this tenure; the generation is the key's own, never the fence row's."""
        return Epoch(self.generation, self.mod_revision)


@dataclass(frozen=True, slots=True)
class Pause:
    """Automatic switchover is paused for the whole pair: by whom and why; `/{cluster}/{component}/failover`."""

    reason: str
    by: str
    since_ms: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """Everything an election looks at in etcd, read in one transaction, at one revision of etcd."""

    revision: int
    identity: EtcdIdentity | None = None
    leader: LeaderRecord | None = None
    members: tuple[Member, ...] = ()
    history: History | None = None
    pause: Pause | None = None
    last_tenure: int = 0
    """The mod_revision of the last tenure that this etcd knows, ended or not:
    `/{cluster}/{component}/tenure`.
    """


class Refusal(Enum):
    """Why a component may not become primary now."""

    NOT_LICENSED = "not_licensed"
    DATABASE_UNREACHABLE = "database_unreachable"
    WENT_BACK = "went_back"
    NOT_READY = "not_ready"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether a component may campaign; `refusal` is None when it may. `detail` is for people (B-40, B-60)."""

    refusal: Refusal | None = None
    detail: str = ""

    @property
    def allowed(self) -> bool:
        """True when nothing is against it."""
        return self.refusal is None


ALLOWED = Permission()


class PromotionResult(Enum):
    """How a promotion ended; all but OPENED leave the component closed."""

    OPENED = "opened"
    FENCED = "fenced"
    """The row holds this token or a higher one."""
    NOT_ALLOWED = "not_allowed"
    """License or holder on record changed since the campaign (B-40)."""
    UNREACHABLE = "unreachable"
    """The database did not answer; nothing is known, asking again under the same token is right."""
    WENT_BACK = "went_back"
    """The log is behind what somebody has seen (21-25126); an operator decides."""
    MUST_WAIT = "must_wait"
    """The row holds mod_revision 0 and this tenure has not waited `wait_s` since it won the key."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """The answer of `Component.promote`."""

    result: PromotionResult
    detail: str = ""
    held: Epoch | None = None
    """FENCED: the token found in the row."""
    wait_s: float = 0.0
    """MUST_WAIT: the TTL on record, in seconds."""

    @classmethod
    def opened(cls) -> Promotion:
        """Open for clients."""
        return cls(PromotionResult.OPENED)


class Confirmation(Enum):
    """What the fence row says of a token, asked before a suspended leader resumes."""

    HOLDS = "holds"
    FENCED = "fenced"
    WENT_BACK = "went_back"
    UNREACHABLE = "unreachable"


class GenerationRaise(Enum):
    """How raising the generation after a rebuilt etcd ended."""

    RAISED = "raised"
    LOST = "lost"
    """The row is not as it was read: start over."""
    TOO_SOON = "too_soon"
    """A second change within the hour: an operator decides (21-25125)."""
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a promotion stands on, beside its token.

    `waited_s` is how long ago, in seconds, the key was won; the component gives MUST_WAIT when the row holds
    mod_revision 0 and this is less than the TTL on record. `view` is etcd as last read: its `history` and
    `members` say what the log must hold.
    """

    identity: EtcdIdentity
    etcd_revision: int
    granted_ttl_s: float
    waited_s: float
    view: View
    prior_revision: int | None = None
    """The last tenure that etcd knew before this one: a later token in the row means that etcd went back."""
    take_over: bool = False
    """An operator ordered it by hand (`--take-over`, B-40): the license and the holder on record are not
    asked.
    """


class HandOverResult(Enum):
    """How a planned switchover ended, as the member that was asked knows it."""

    DONE = "done"
    NOT_PRIMARY = "not_primary"
    NO_SUCCESSOR = "no_successor"
    NOT_READY = "not_ready"
    """The successor or the component refused, or was not ready in time; this server goes on as primary."""
    REFUSED = "refused"
    """etcd refused the transaction: the successor or the token is gone."""
    UNKNOWN = "unknown"
    """The outcome is not known; this server serves nothing until it has won its key anew."""
    BUSY = "busy"
    """Another hand-over is running."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """The answer to a request for a planned switchover."""

    result: HandOverResult
    successor: InstanceName | None = None
    detail: str = ""
    epoch: Epoch | None = None
    """The successor's token, once the role is handed over."""


class Written(Enum):
    """What became of a transaction on the leader key."""

    APPLIED = "applied"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The outcome of a compared transaction; `mod_revision` is the new one of the leader key when APPLIED."""

    written: Written
    mod_revision: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease as etcd granted or renewed it; `ttl_s` 0 means that it exists no more."""

    lease: LeaseId
    ttl_s: float


class Hint(Enum):
    """What a watch saw. Only a reason to look."""

    LEADER_GONE = "leader_gone"
    LEADER_CHANGED = "leader_changed"
    MEMBERS_CHANGED = "members_changed"
