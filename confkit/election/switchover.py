"""Handing the role over in one transaction of etcd, and leaving.

The successor must have answered that it is ready and nothing may be admitted any more before the transaction
is sent (B-53). Not knowing its outcome is the dangerous case: nothing is served until our own key was
rewritten and won again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from confkit.election import tenure
from confkit.election.machine import Machine, PendingHandOver, Phase
from confkit.election.messages import (
    AnswerHandOver,
    Demote,
    HandOverAsked,
    HandOverPrepared,
    KeyWritten,
    Leave,
    Notice,
    PrepareHandOver,
    Resume,
    StopAsked,
    Suspend,
)
from confkit.election.types import HandOver, HandOverResult, InstanceName, Member, Written

STOP_HANDOVER_TIMEOUT_S = 5.0


def on_asked(m: Machine, event: HandOverAsked) -> None:
    """Begin a planned switchover, or say why not."""
    busy = m.pending is not None or m.stopping
    if m.phase is not Phase.OPEN:
        result = HandOverResult.BUSY if busy else HandOverResult.NOT_PRIMARY
        m.emit(AnswerHandOver(event.request, HandOver(result)))
        return
    successor = choose(m, event.to)
    if successor is None:
        wanted = (
            f"{event.to} is not a member that may be promoted" if event.to else "no member may be promoted"
        )
        m.emit(AnswerHandOver(event.request, HandOver(HandOverResult.NO_SUCCESSOR, event.to, wanted)))
        return
    _begin(m, PendingHandOver(event.request, successor, event.reason), event.timeout_s)


def choose(m: Machine, to: InstanceName | None) -> Member | None:
    """Give the member to hand over to: the one asked for, else the one that has applied most."""
    return None if m.view is None else successor_among(m.view.members, own=m.facts.instance, to=to)


def successor_among(
    members: Iterable[Member], *, own: InstanceName, to: InstanceName | None
) -> Member | None:
    """Give the member that would succeed `own`: `to` if it may be promoted, without one who has applied most."""
    ready = [
        member
        for member in members
        if member.instance != own and member.state.promotable and to in (None, member.instance)
    ]
    return max(ready, key=lambda member: (member.state.applied_revision, member.instance), default=None)


def _begin(m: Machine, pending: PendingHandOver, timeout_s: float) -> None:
    m.pending = pending
    m.move(Phase.PREPARING)
    m.emit(PrepareHandOver(m.next_call(), pending.successor, timeout_s))


def on_prepared(m: Machine, event: HandOverPrepared, now_s: float) -> None:
    """Put the key in the successor's name, or go on as primary."""
    if event.call != m.call or m.phase is not Phase.PREPARING:
        return
    assert m.tenure is not None
    assert m.pending is not None
    if not event.ready:
        _stay(m, "successor or component was not ready in time")
    elif now_s >= m.guard_s():
        tenure.suspend(m, "the lease could not be confirmed in time")
    else:
        held, successor = m.tenure.record, m.pending.successor
        m.move(Phase.TRANSFERRING)
        m.write_key(
            held,
            replace(
                held,
                instance=successor.instance,
                endpoints=successor.facts.endpoints,
                lease=successor.lease,
                mod_revision=0,
                prior=held.mod_revision,
                handed_over=True,
            ),
        )


def _stay(m: Machine, detail: str) -> None:
    assert m.tenure is not None
    m.end_handover(HandOverResult.NOT_READY, detail)
    if m.stopping:
        leave(m)
        return
    m.move(Phase.OPEN)
    m.emit(Resume(m.tenure.epoch))


def on_transferred(m: Machine, event: KeyWritten, now_s: float) -> None:
    """Follow the successor; or, when the outcome is not known, rewrite our key before anything else."""
    assert m.tenure is not None
    record = m.written(event.result)
    if record is not None:
        reason = f"handed over to {record.instance}" + (f": {m.pending.reason}" if m.pending else "")
        m.end_handover(HandOverResult.DONE, epoch=record.epoch)
        m.know_leader(record)
        tenure.lose(m, reason, successor=record)
    elif event.result.written is Written.REFUSED:
        m.end_handover(HandOverResult.REFUSED, "etcd refused: the successor has left, or the token is gone")
        if m.stopping:
            leave(m)
            return
        tenure.suspend(m, "etcd refused the hand-over")
    else:
        m.end_handover(
            HandOverResult.UNKNOWN, "etcd did not answer; this server serves nothing until it knows"
        )
        if m.stopping:
            leave(m)
            return
        m.emit(Suspend("the outcome of the hand-over is not known"))
        m.announce(Notice.SUSPENDED, "the outcome of the hand-over is not known")
        m.ignore_reads_under_way()
        tenure.rewrite(m, m.tenure.record)


def on_stop(m: Machine, event: StopAsked) -> None:
    """Hand over if there is to whom; then leave."""
    m.stopping = True
    successor = choose(m, None) if event.hand_over and m.phase is Phase.OPEN else None
    if successor is not None:
        _begin(m, PendingHandOver(None, successor, "this server is stopped"), STOP_HANDOVER_TIMEOUT_S)


def leave_if_due(m: Machine) -> None:
    """Leave once nothing of a hand-over is under way any more."""
    if m.stopping and m.phase not in (Phase.PREPARING, Phase.TRANSFERRING):
        leave(m)


def leave(m: Machine) -> None:
    """Stop being anything, in this order: the component is closed, then the lease with its keys is revoked."""
    m.end_handover(HandOverResult.REFUSED, "this server is stopping")
    was_primary, m.was_primary = m.was_primary, False
    m.forget_tenure()
    m.emit(Demote("this server is stopped"))
    if was_primary:
        m.announce(Notice.BECAME_BACKUP, "this server is stopped")
    m.move(Phase.LEAVING)
    m.emit(Leave(m.lease))


def on_left(m: Machine) -> None:
    """Be gone."""
    m.move(Phase.LEFT)
