"""MemberService for every elected server: status and planned switchover.

The servicer only translates; whether a switchover may take place is asked of the component (the HA
feature, B-40), and who may succeed is decided by the election.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

import grpc.aio

from confapi.ha.v1 import ha_pb2, ha_pb2_grpc
from confclient.errors import (
    ConfservError,
    NoPrimaryError,
    NoSuccessorError,
    NotPrimaryError,
    OutcomeUnknownError,
    PreconditionError,
)
from confclient.identity import CertificateRole
from confkit.clock import boottime
from confkit.election.ports import Leadership
from confkit.election.switchover import successor_among
from confkit.election.types import (
    Epoch,
    HandOver,
    HandOverResult,
    InstanceName,
    LeaderRecord,
    Member,
    ProcessFacts,
    State,
)
from confkit.server import EVERYBODY, Policy

SERVICE = "confapi.ha.v1.MemberService"
POLICY: Policy = {
    f"/{SERVICE}/GetStatus": EVERYBODY,
    f"/{SERVICE}/SwitchOver": frozenset({CertificateRole.ADMINISTRATOR, CertificateRole.SOLUTION_CONTROL}),
}

_ROLES = {
    State.FOLLOWER: ha_pb2.ROLE_BACKUP,
    State.CANDIDATE: ha_pb2.ROLE_PROMOTING,
    State.LEADER: ha_pb2.ROLE_PRIMARY,
    State.SUSPENDED: ha_pb2.ROLE_SUSPENDED,
}


def epoch_message(epoch: Epoch | None) -> ha_pb2.Epoch | None:
    """An epoch on the wire."""
    return (
        None if epoch is None else ha_pb2.Epoch(generation=epoch.generation, mod_revision=epoch.mod_revision)
    )


def hint_message(leader: LeaderRecord | None, *, here: str) -> ha_pb2.PrimaryHint:
    """Where the primary is, for those who asked elsewhere; empty when it is this server or unknown."""
    if leader is None or leader.instance == here:
        return ha_pb2.PrimaryHint()
    return ha_pb2.PrimaryHint(
        instance=leader.instance, endpoints=leader.endpoints, epoch=epoch_message(leader.epoch)
    )


def not_primary(leader: LeaderRecord | None, *, here: str) -> ConfservError:
    """The refusal of a server that is not the primary: NOT_PRIMARY with a hint, or NO_PRIMARY (B-20)."""
    hint = hint_message(leader, here=here)
    if not hint.endpoints:
        return NoPrimaryError("no primary is known now: try again after a pause")
    return NotPrimaryError(f"{here} is not the primary: go to {hint.instance}", hint=hint)


class MemberService(ha_pb2_grpc.MemberServiceServicer):
    """Status and switchover of one elected server.

    Args:
        cluster: name of the cluster.
        component: confserv, lrm, licman, message-server, solution-control.
        facts: who this process is.
        leadership: its election.
        own: this server as a member, as it would register itself now.
        attributes: what the component adds to its status.
        refuse_switchover: the refusal of a planned switchover that the license does not allow, or None;
            it logs its own event (B-40).
    """

    def __init__(
        self,
        *,
        cluster: str,
        component: str,
        facts: ProcessFacts,
        leadership: Leadership,
        own: Callable[[], Member],
        attributes: Callable[[], Mapping[str, str]],
        refuse_switchover: Callable[[], ConfservError | None],
    ) -> None:
        self._cluster = cluster
        self._component = component
        self._facts = facts
        self._leadership = leadership
        self._own = own
        self._attributes = attributes
        self._refuse = refuse_switchover

    async def GetStatus(
        self, request: ha_pb2.GetStatusRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> ha_pb2.GetStatusResponse:
        """See the proto."""
        own = self._own()
        leader = self._leadership.primary()
        others = [member for member in self._leadership.members() if member.instance != own.instance]
        members = member_messages(self._component, [own, *others])
        return ha_pb2.GetStatusResponse(
            cluster=self._cluster,
            self=next(member for member in members if member.instance == own.instance),
            epoch=epoch_message(leader.epoch if leader else None),
            primary=next((m for m in members if leader is not None and m.instance == leader.instance), None),
            members=members,
            attributes=self._attributes(),
        )

    async def SwitchOver(
        self, request: ha_pb2.SwitchOverRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> ha_pb2.SwitchOverResponse:
        """See the proto."""
        if self._leadership.epoch_at(boottime()) is None:
            raise not_primary(self._leadership.primary(), here=self._facts.instance)
        refusal = self._refuse()
        if refusal is not None:
            raise refusal
        to = InstanceName(request.to) if request.to else None
        if request.dry_run:
            return ha_pb2.SwitchOverResponse(primary=self._successor(to))
        started = time.monotonic()
        outcome = await self._leadership.hand_over(to=to, reason=request.reason)
        duration_ms = (time.monotonic() - started) * 1000
        if outcome.result is not HandOverResult.DONE:
            raise self._refusal(outcome)
        return ha_pb2.SwitchOverResponse(
            primary=outcome.successor or "",
            epoch=epoch_message(outcome.epoch),
            duration_ms=duration_ms,
        )

    def _successor(self, to: InstanceName | None) -> str:
        members = self._leadership.members()
        successor = successor_among(members, own=self._facts.instance, to=to)
        if successor is None:
            raise self._refusal(HandOver(HandOverResult.NO_SUCCESSOR))
        return successor.instance

    def _refusal(self, outcome: HandOver) -> ConfservError:
        match outcome.result:
            case HandOverResult.NOT_PRIMARY:
                return not_primary(self._leadership.primary(), here=self._facts.instance)
            case HandOverResult.NO_SUCCESSOR:
                return NoSuccessorError(
                    outcome.detail or "no other member is warm: start one, or wait until it has caught up"
                )
            case HandOverResult.UNKNOWN:
                return OutcomeUnknownError(
                    "whether the role was handed over is not known yet: ask for the status"
                )
            case _:
                return PreconditionError(
                    f"the switchover did not take place ({outcome.result.value}): {outcome.detail}; "
                    "the primary goes on, try again",
                    result=outcome.result.value,
                )


def member_messages(component: str, members: Iterable[Member]) -> list[ha_pb2.Member]:
    """Members on the wire, by name, each with how far it is behind the most advanced one."""
    members = sorted(members, key=lambda member: member.instance)
    highest = max((member.state.applied_revision for member in members), default=0)
    return [_member_message(component, member, highest) for member in members]


def _member_message(component: str, member: Member, highest: int) -> ha_pb2.Member:
    facts, state = member.facts, member.state
    return ha_pb2.Member(
        component=component,
        instance=facts.instance,
        role=_ROLES[member.role],
        endpoints=facts.endpoints,
        applied_revision=state.applied_revision,
        lag_revisions=highest - state.applied_revision,
        version=facts.version,
        promotable=state.promotable,
        not_promotable_reason=state.extra.get("not_promotable", ""),
        process=ha_pb2.ProcessIdentity(
            host=facts.host,
            boot_id=facts.boot_id,
            pid=facts.pid,
            start_time_ticks=facts.process_start_ticks,
        ),
        lease_id=member.lease,
    )
