"""From a free leader key to holding it: fence row first, then etcd's identity and revision, then permission,
then the key.

The order is the point (`ha.md`, etcd rebuilt from nothing). Whatever goes wrong on the way ends the attempt,
and a pause follows.
"""

from __future__ import annotations

from confkit.election import tenure
from confkit.election.machine import Machine, Phase
from confkit.election.messages import (
    AskPermission,
    CreateIdentity,
    FenceRead,
    GenerationAnswered,
    IdentityCreated,
    KeyWritten,
    Notice,
    PermissionGiven,
    RaiseGeneration,
    ReadFence,
)
from confkit.election.types import EtcdIdentity, GenerationRaise, Permission, Refusal, View
from confkit.fence import FenceRow, etcd_was_rebuilt


def consider(m: Machine, now_s: float) -> None:
    """Decide what an idle member does about the key as last read."""
    if m.view is None or not m.settled:
        return
    leader = m.view.leader
    if (
        leader is not None
        and m.is_own(leader)
        and leader.epoch > m.given_up
        and leader.identity == m.view.identity
    ):
        tenure.take(m, leader, seen_s=m.view_sent_s, now_s=now_s)
    elif (leader is None or m.is_own(leader)) and may_start(m, now_s):
        start(m)


def may_start(m: Machine, now_s: float) -> bool:
    """Say whether an attempt may begin: a lease that counts, no pause running, not leaving."""
    return not m.stopping and now_s < m.lease_guard_s() and now_s >= starts_at_s(m, now_s)


def starts_at_s(m: Machine, now_s: float) -> float:
    """Give the earliest time of the next attempt; changes of role that came too often put it off."""
    if not m.flapping.excess(now_s):
        return m.not_before_s
    last_s = m.flapping.changes_s[-1]
    return max(m.not_before_s, last_s + m.flapping.delay_s(now_s, step_s=m.granted_ttl_s))


def start(m: Machine) -> None:
    """Read the fence row."""
    m.move(Phase.READING_FENCE)
    m.emit(ReadFence(m.next_call()))


def fail(m: Machine, now_s: float) -> None:
    """End the attempt; look again, and try again after a pause."""
    m.next_call()
    m.cool_down(now_s)
    m.settled = False
    m.next_view_s = min(m.next_view_s, m.not_before_s)
    m.move(Phase.IDLE)


def on_fence(m: Machine, event: FenceRead, now_s: float) -> None:
    """With the row in hand, read etcd."""
    if event.call != m.call or m.phase is not Phase.READING_FENCE:
        return
    if not event.reachable:
        fail(m, now_s)
        return
    m.row = event.row
    m.move(Phase.READING_VIEW)
    m.read_view()


def on_view(m: Machine, view: View, now_s: float) -> None:
    """Compare etcd with the row: create an identity, raise the generation, or go on to ask."""
    if view.leader is not None and not m.is_own(view.leader):
        m.failures = 0
        m.move(Phase.IDLE)
    elif view.identity is None:
        m.move(Phase.CREATING_IDENTITY)
        m.emit(CreateIdentity(m.next_call()))
    elif m.row is not None and _is_rebuilt(m, m.row, view):
        m.move(Phase.RAISING_GENERATION)
        m.emit(RaiseGeneration(m.next_call(), m.row, _identity_of(view), view.revision))
    else:
        m.basis = view
        m.move(Phase.ASKING)
        m.emit(AskPermission(m.next_call(), m.row, view))


def _is_rebuilt(m: Machine, row: FenceRow, view: View) -> bool:
    return row.token.generation <= m.went_back_in or etcd_was_rebuilt(
        row, identity=_identity_of(view), revision=view.revision, last_tenure=view.last_tenure
    )


def _identity_of(view: View) -> EtcdIdentity:
    assert view.identity is not None
    return view.identity


def on_identity(m: Machine, event: IdentityCreated) -> None:
    """Look which identity it is now."""
    if event.call == m.call and m.phase is Phase.CREATING_IDENTITY:
        m.move(Phase.READING_VIEW)
        m.read_view()


def on_generation(m: Machine, event: GenerationAnswered, now_s: float) -> None:
    """Start over with the row as it is now, or wait for an operator."""
    if event.call != m.call or m.phase is not Phase.RAISING_GENERATION:
        return
    if event.outcome in (GenerationRaise.RAISED, GenerationRaise.LOST):
        if event.outcome is GenerationRaise.RAISED:
            m.announce(Notice.GENERATION_RAISED, "etcd's data is not the one on record")
        start(m)
        return
    if event.outcome is GenerationRaise.TOO_SOON:
        _announce_once(
            m, Notice.GENERATION_TOO_SOON, "etcd changed twice within an hour; an operator decides"
        )
    fail(m, now_s)


def on_permission(m: Machine, event: PermissionGiven, now_s: float) -> None:
    """Go for the key; without permission a key found in our own name is given up."""
    if event.call != m.call or m.phase is not Phase.ASKING:
        return
    view = m.basis
    assert view is not None
    permission = event.permission if event.permission.refusal else _unless_paused(m, view)
    if not permission.allowed:
        _refuse(m, permission, now_s)
        return
    m.refused_detail = ""
    generation = 1 if m.row is None else m.row.token.generation
    m.move(Phase.CAMPAIGNING)
    prior = view.last_tenure if view.leader is None else view.leader.mod_revision
    own = m.own_record(generation=generation, identity=_identity_of(view), prior=prior)
    m.write_key(view.leader, own)


def _unless_paused(m: Machine, view: View) -> Permission:
    on_record = m.row is None or m.row.instance in ("", m.facts.instance)
    if view.pause is None or on_record or m.take_over:
        return Permission()
    return Permission(
        Refusal.PAUSED, f"automatic switchover was paused by {view.pause.by}: {view.pause.reason}"
    )


def _refuse(m: Machine, permission: Permission, now_s: float) -> None:
    notice = Notice.WENT_BACK if permission.refusal is Refusal.WENT_BACK else Notice.REFUSED
    _announce_once(m, notice, permission.detail)
    leader = m.basis.leader if m.basis else None
    if leader is not None:
        m.cool_down(now_s)
        m.given_up = max(m.given_up, leader.epoch)
        m.settled = False
        m.move(Phase.GIVING_UP)
        m.write_key(leader, None)
    else:
        fail(m, now_s)


def _announce_once(m: Machine, notice: Notice, detail: str) -> None:
    if detail != m.refused_detail:
        m.refused_detail = detail
        m.announce(notice, detail)


def on_written(m: Machine, event: KeyWritten, now_s: float) -> None:
    """Take the key that was won; an outcome that is not known is looked up, and a key found then is adopted
    or rewritten.
    """
    leader = m.written(event.result)
    if leader is not None and leader.epoch > m.given_up:
        tenure.take(m, leader, seen_s=event.sent_s, now_s=now_s)
        return
    if leader is not None:
        m.given_up = max(m.given_up, leader.epoch)
    fail(m, now_s)
    m.read_view()
