"""Keeping the lease, and reading etcd: what a member does whatever its role.

A renewal or a read whose outcome is not known extends nothing. That etcd forgot the lease ends any tenure at
once.
"""

from __future__ import annotations

from confkit.election import candidacy, tenure
from confkit.election.machine import HOLDS_KEY, NEVER, Machine, Phase
from confkit.election.messages import (
    Granted,
    GrantLease,
    Hinted,
    Notice,
    Renewed,
    RenewLease,
    StoreSeen,
    ViewRead,
)
from confkit.election.types import Hint, View


def keep(m: Machine, now_s: float) -> None:
    """Order what is due: grant, renewal, read."""
    if now_s >= m.next_lease_call_s and not m.lease_call_pending:
        m.lease_call_pending = True
        if m.lease is None:
            m.emit(GrantLease(m.timing.lease_ttl_s))
        else:
            m.next_lease_call_s = now_s + m.timing.renewal_s
            m.emit(RenewLease(m.lease))
            m.refresh_member()
    if now_s >= m.next_view_s and not m.view_pending:
        m.read_view()


def on_granted(m: Machine, event: Granted, now_s: float) -> None:
    """Begin to live under a lease: register, look around."""
    m.lease_call_pending = False
    if event.grant is None:
        m.next_lease_call_s = now_s + m.timing.retry_s
        return
    m.lease, m.granted_ttl_s, m.renewed_s = event.grant.lease, event.grant.ttl_s, event.sent_s
    m.next_lease_call_s = event.sent_s + m.timing.renewal_s
    m.refresh_member()
    m.read_view()


def on_renewed(m: Machine, event: Renewed, now_s: float) -> None:
    """Extend the guard from the time the renewal was sent, or learn that the lease is gone."""
    m.lease_call_pending = False
    if event.lease != m.lease:
        return
    if event.grant is None:
        m.next_lease_call_s = min(m.next_lease_call_s, now_s + m.timing.retry_s)
    elif event.grant.ttl_s <= 0:
        _lose_lease(m, now_s)
    else:
        m.granted_ttl_s = event.grant.ttl_s
        m.renewed_s = max(m.renewed_s, event.sent_s)
        m.next_lease_call_s = event.sent_s + m.timing.renewal_s


def _lose_lease(m: Machine, now_s: float) -> None:
    m.lease = None
    m.next_lease_call_s = now_s
    if m.phase in HOLDS_KEY:
        tenure.lose(m, "the lease has run out in etcd", successor=None)
    else:
        m.next_call()
        m.settled = False
        m.move(Phase.IDLE)


def on_view(m: Machine, event: ViewRead, now_s: float) -> None:
    """Take in what etcd holds, unless a newer read was ordered since; then act on it."""
    if event.op != m.view_op:
        return
    m.view_pending = False
    again, m.view_again = m.view_again, False
    if event.view is None:
        m.next_view_s = now_s + m.timing.retry_s
        if m.phase is Phase.READING_VIEW:
            candidacy.fail(m, now_s)
        return
    m.next_view_s = event.sent_s + m.timing.renewal_s
    _note(m, event.view, event.sent_s, now_s)
    if m.phase in HOLDS_KEY:
        tenure.on_view(m, event.view, event.sent_s, now_s)
    elif m.phase is Phase.READING_VIEW:
        candidacy.on_view(m, event.view, now_s)
    if again and not m.view_pending:
        m.read_view()


def _note(m: Machine, view: View, sent_s: float, now_s: float) -> None:
    if m.view is not None and m.view.pause is not None and view.pause is None:
        m.forget_failures()
    m.view, m.view_sent_s = view, sent_s
    m.settled = True
    if view.leader is not None:
        m.flapping = m.flapping.saw(view.leader.instance, now_s, planned=view.leader.handed_over)
        if not m.is_own(view.leader):
            m.forget_failures()


def on_hint(m: Machine, event: Hinted, now_s: float) -> None:
    """Look: a key that is gone sends a follower straight into its candidacy, whose own reads decide."""
    if m.lease is None:
        return
    if event.hint is Hint.LEADER_GONE and m.phase is Phase.IDLE and candidacy.may_start(m, now_s):
        candidacy.start(m)
    elif m.view_pending:
        m.view_again = True
    else:
        m.read_view()


def on_store_seen(m: Machine, event: StoreSeen, now_s: float) -> None:
    """Note since when the database has been out of reach."""
    if event.reachable:
        m.trouble_since_s = NEVER
    else:
        m.trouble_since_s = min(m.trouble_since_s, now_s)


def watch_flapping(m: Machine, now_s: float) -> None:
    """Announce that roles change too often, and that they no longer do; only the primary speaks."""
    excess = m.flapping.excess(now_s)
    if excess and not m.flapping_announced and m.phase is Phase.OPEN:
        m.flapping_announced = True
        m.announce(
            Notice.FLAPPING, f"{excess + m.flapping.limit} changes of role in {m.flapping.window_s:g} s"
        )
    elif not excess and m.flapping_announced:
        m.flapping_announced = False
        m.announce(Notice.FLAPPING_OVER)
