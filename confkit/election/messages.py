"""What goes into the election's core and what comes out of it.

Events are facts with the time at which a request was *sent* where that counts; effects are orders to an
adapter or to the component. Every effect with a `call` or `op` number is answered by exactly one event that
carries it, however late; answers whose number is no longer waited for are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from confkit.election.types import (
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grant,
    Grounds,
    HandOver,
    Hint,
    InstanceName,
    LeaderRecord,
    LeaseId,
    Member,
    Permission,
    Promotion,
    State,
    View,
    WriteResult,
)
from confkit.fence import FenceRow

# --- events


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A lease was granted; None when etcd did not answer."""

    grant: Grant | None
    sent_s: float


@dataclass(frozen=True, slots=True)
class Renewed:
    """A renewal of `lease` was answered; `grant` is None when its outcome is not known."""

    lease: LeaseId
    grant: Grant | None
    sent_s: float


@dataclass(frozen=True, slots=True)
class ViewRead:
    """etcd was read; None when it did not answer."""

    op: int
    view: View | None
    sent_s: float


@dataclass(frozen=True, slots=True)
class Hinted:
    """The watch saw something."""

    hint: Hint


@dataclass(frozen=True, slots=True)
class KeyWritten:
    """A transaction on the leader key ended."""

    op: int
    result: WriteResult
    sent_s: float


@dataclass(frozen=True, slots=True)
class FenceRead:
    """The fence row was read; `reachable` is false when the store did not answer."""

    call: int
    row: FenceRow | None
    reachable: bool = True


@dataclass(frozen=True, slots=True)
class PermissionGiven:
    """The component allows a campaign, or says why not."""

    call: int
    permission: Permission


@dataclass(frozen=True, slots=True)
class IdentityCreated:
    """An identity was written, or there was one, or etcd did not answer: look."""

    call: int


@dataclass(frozen=True, slots=True)
class GenerationAnswered:
    """The generation was raised in the row, or not."""

    call: int
    outcome: GenerationRaise


@dataclass(frozen=True, slots=True)
class Promoted:
    """The component answered a promotion."""

    call: int
    promotion: Promotion


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The component looked at the fence row."""

    call: int
    confirmation: Confirmation


@dataclass(frozen=True, slots=True)
class HandOverPrepared:
    """The component stopped admitting and the successor is ready, or not."""

    call: int
    ready: bool


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """The component says whether it reaches its database."""

    reachable: bool


@dataclass(frozen=True, slots=True)
class StoreRefused:
    """A write under `epoch` was refused by the fence row."""

    epoch: Epoch
    confirmation: Confirmation


@dataclass(frozen=True, slots=True)
class HandOverAsked:
    """Somebody asks for a planned switchover; `request` comes back in the answer."""

    request: int
    to: InstanceName | None
    reason: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The process is to leave, handing over before if it can."""

    hand_over: bool


@dataclass(frozen=True, slots=True)
class Left:
    """The lease is revoked, or was tried to be."""


Event = (
    Tick
    | Granted
    | Renewed
    | ViewRead
    | Hinted
    | KeyWritten
    | FenceRead
    | PermissionGiven
    | IdentityCreated
    | GenerationAnswered
    | Promoted
    | Confirmed
    | HandOverPrepared
    | StoreSeen
    | StoreRefused
    | HandOverAsked
    | StopAsked
    | Left
)

# --- effects on etcd


@dataclass(frozen=True, slots=True)
class GrantLease:
    """Grant a lease of `ttl_s` seconds."""

    ttl_s: int


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Renew the lease once."""

    lease: LeaseId


@dataclass(frozen=True, slots=True)
class RefreshMember:
    """Write this member's key; and, while `held` is its leader key, how far the database went. Not answered."""

    lease: LeaseId
    role: State
    held: LeaderRecord | None


@dataclass(frozen=True, slots=True)
class ReadView:
    """Read etcd."""

    op: int


@dataclass(frozen=True, slots=True)
class CreateIdentity:
    """Write a new random identity if there is none."""

    call: int


@dataclass(frozen=True, slots=True)
class WriteKey:
    """One compared transaction on the leader key: campaign (no `held`), replace (both), give up (no
    `leader`).
    """

    op: int
    held: LeaderRecord | None
    leader: LeaderRecord | None


# --- effects on the component, carried out one after the other


@dataclass(frozen=True, slots=True)
class ReadFence:
    """Read the fence row."""

    call: int


@dataclass(frozen=True, slots=True)
class AskPermission:
    """Ask whether this server may campaign."""

    call: int
    row: FenceRow | None
    view: View


@dataclass(frozen=True, slots=True)
class RaiseGeneration:
    """Record a rebuilt etcd in the row."""

    call: int
    expected: FenceRow
    identity: EtcdIdentity
    revision: int


@dataclass(frozen=True, slots=True)
class Promote:
    """Raise the token, catch up, open."""

    call: int
    epoch: Epoch
    grounds: Grounds


@dataclass(frozen=True, slots=True)
class Suspend:
    """Admit nothing until told."""

    reason: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """Look whether the row holds the token."""

    call: int
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Resume:
    """Serve again."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class PrepareHandOver:
    """Ask the successor, stop admitting, finish the commit in flight."""

    call: int
    successor: Member
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Demote:
    """Stop being primary."""

    reason: str
    successor: LeaderRecord | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """Revoke the lease, after everything before it was carried out; answered by Left."""

    lease: LeaseId | None


# --- effects for whoever watches


class Notice(Enum):
    """What an election tells the log; the event is chosen by the component."""

    BECAME_PRIMARY = "became_primary"
    BECAME_BACKUP = "became_backup"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    FENCED = "fenced"
    REFUSED = "refused"
    GENERATION_RAISED = "generation_raised"
    GENERATION_TOO_SOON = "generation_too_soon"
    WENT_BACK = "went_back"
    FLAPPING = "flapping"
    FLAPPING_OVER = "flapping_over"


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the log: 21-25120 to 21-25123, 21-25125 to 21-25128 and their like."""

    notice: Notice
    detail: str = ""
    epoch: Epoch | None = None


@dataclass(frozen=True, slots=True)
class AnswerHandOver:
    """Answer who asked for a switchover."""

    request: int
    answer: HandOver


Effect = (
    GrantLease
    | RenewLease
    | RefreshMember
    | ReadView
    | CreateIdentity
    | WriteKey
    | ReadFence
    | AskPermission
    | RaiseGeneration
    | Promote
    | Suspend
    | Confirm
    | Resume
    | PrepareHandOver
    | Demote
    | Leave
    | Announce
    | AnswerHandOver
)
