"""From holding the leader key to being open, suspended, or over.

A token that was given up, for whatever reason, is never taken up again: `Machine.given_up` remembers the
highest. Being open is not enough to act: the guard, asked with the time, decides
(`core.ElectionCore.epoch_at`).
"""

from __future__ import annotations

from dataclasses import replace

from confkit.election.machine import NEVER, Machine, Phase, Tenure
from confkit.election.messages import (
    Confirm,
    Confirmed,
    Demote,
    KeyWritten,
    Notice,
    Promote,
    Promoted,
    Resume,
    StoreRefused,
    Suspend,
)
from confkit.election.types import (
    Confirmation,
    Grounds,
    HandOverResult,
    LeaderRecord,
    Promotion,
    PromotionResult,
    View,
)

ROUNDING_S = 0.001
"""Added to a wait, so that sums of floats never make it too short by an instant."""


def take(m: Machine, record: LeaderRecord, *, seen_s: float, now_s: float) -> None:
    """Hold the key from now on; `seen_s` is when the request was sent that showed it."""
    m.tenure = Tenure(record, won_s=now_s, seen_s=seen_s)
    m.act_at_s = now_s
    m.write_pending = False
    m.next_call()
    m.move(Phase.WAITING)
    m.next_view_s = min(m.next_view_s, seen_s + m.timing.renewal_s)


def proceed(m: Machine, now_s: float) -> None:
    """Do what time or a confirmed guard allows: promote, suspend, confirm, resign."""
    if m.tenure is None:
        return
    guarded = now_s < m.guard_s()
    if m.phase in (Phase.OPEN, Phase.PREPARING) and not guarded:
        suspend(m, "the lease could not be confirmed in time")
    elif m.phase is Phase.WAITING and guarded and now_s >= m.act_at_s:
        _promote(m, m.tenure, now_s)
    elif m.phase is Phase.SUSPENDED and guarded and now_s >= m.act_at_s:
        m.move(Phase.CONFIRMING)
        m.emit(Confirm(m.next_call(), m.tenure.epoch))
    elif m.phase is Phase.OPEN and now_s >= m.confirm_at_s:
        m.confirm_at_s = (
            now_s + m.granted_ttl_s
        )  # a primary with nothing to write learns of a higher token, too
        m.emit(Confirm(m.next_call(), m.tenure.epoch))
    if now_s - m.trouble_since_s >= m.granted_ttl_s:
        _resign(m, now_s)


def _promote(m: Machine, held: Tenure, now_s: float) -> None:
    assert m.view is not None
    m.move(Phase.PROMOTING)
    grounds = Grounds(
        identity=held.record.identity,
        etcd_revision=max(
            held.record.mod_revision, m.view.revision if m.view.identity == held.record.identity else 0
        ),
        granted_ttl_s=m.granted_ttl_s,
        waited_s=now_s - held.won_s,
        view=m.view,
        prior_revision=held.record.prior,
        take_over=m.take_over,
    )
    m.emit(Promote(m.next_call(), held.epoch, grounds))


def on_promoted(m: Machine, event: Promoted, now_s: float) -> None:
    """Open, wait, or give the key up; an answer about another tenure is ignored, its demotion is under way."""
    if event.call != m.call or m.phase is not Phase.PROMOTING:
        return
    assert m.tenure is not None
    promotion = event.promotion
    match promotion.result:
        case PromotionResult.OPENED:
            m.failures = 0
            m.trouble_since_s = NEVER
            m.was_primary = True
            m.confirm_at_s = now_s + m.granted_ttl_s
            m.move(Phase.OPEN)
            m.announce(Notice.BECAME_PRIMARY, promotion.detail, m.tenure.epoch)
        case PromotionResult.UNREACHABLE:
            m.trouble_since_s = min(m.trouble_since_s, now_s)
            m.act_at_s = now_s + m.timing.retry_s
            m.move(Phase.WAITING)
        case PromotionResult.MUST_WAIT:
            m.act_at_s = m.tenure.won_s + promotion.wait_s + ROUNDING_S
            m.move(Phase.WAITING)
        case PromotionResult.FENCED:
            _fenced(m, promotion, now_s)
        case PromotionResult.WENT_BACK:
            m.announce(Notice.WENT_BACK, promotion.detail)
            give_up(m, "the database went back", now_s)
        case PromotionResult.NOT_ALLOWED:
            m.announce(Notice.REFUSED, promotion.detail)
            give_up(m, "the promotion was refused", now_s)


def _fenced(m: Machine, promotion: Promotion, now_s: float) -> None:
    assert m.tenure is not None
    if promotion.held is not None and promotion.held < m.tenure.epoch:
        # a lower token that was refused all the same: etcd is not the one under which the row was written
        m.went_back_in = max(m.went_back_in, promotion.held.generation)
    m.announce(Notice.FENCED, promotion.detail, promotion.held)
    give_up(m, "another server holds a higher token", now_s)


def suspend(m: Machine, reason: str) -> None:
    """Serve nothing until lease, key and fence row are confirmed."""
    m.end_handover(HandOverResult.NOT_READY, reason)
    assert m.tenure is not None
    m.tenure = replace(m.tenure, seen_s=-NEVER)  # the key counts only when it is seen again
    m.act_at_s = -NEVER
    m.next_call()
    m.move(Phase.SUSPENDED)
    m.emit(Suspend(reason))
    m.announce(Notice.SUSPENDED, reason)
    m.ignore_reads_under_way()
    m.read_view()


def on_confirmed(m: Machine, event: Confirmed, now_s: float) -> None:
    """Resume when the row holds our token and the guard still runs; a refused token gives the key up."""
    if event.call == m.call and m.phase is Phase.REWRITING and m.write_pending:
        _on_confirmed_rewriting(m, event.confirmation, now_s)
        return
    if event.call != m.call or m.phase not in (Phase.CONFIRMING, Phase.OPEN):
        return
    assert m.tenure is not None
    match event.confirmation:
        case Confirmation.HOLDS if m.phase is Phase.OPEN:
            m.trouble_since_s = NEVER
        case Confirmation.HOLDS if now_s < m.guard_s():
            m.trouble_since_s = NEVER
            m.confirm_at_s = now_s + m.granted_ttl_s
            m.move(Phase.OPEN)
            m.emit(Resume(m.tenure.epoch))
            m.announce(Notice.RESUMED, epoch=m.tenure.epoch)
        case Confirmation.HOLDS:
            m.move(Phase.SUSPENDED)
        case Confirmation.UNREACHABLE:
            m.trouble_since_s = min(m.trouble_since_s, now_s)
            if m.phase is Phase.CONFIRMING:
                m.act_at_s = now_s + m.timing.retry_s
                m.move(Phase.SUSPENDED)
        case Confirmation.FENCED:
            m.announce(Notice.FENCED, epoch=m.tenure.epoch)
            give_up(m, "another server holds a higher token", now_s)
        case Confirmation.WENT_BACK:
            m.announce(Notice.WENT_BACK)
            give_up(m, "the database went back", now_s)


def on_refused(m: Machine, event: StoreRefused, now_s: float) -> None:
    """Stop being primary: a write under this token was refused by the fence row."""
    if m.tenure is None or m.tenure.epoch != event.epoch or m.phase in (Phase.TRANSFERRING, Phase.REWRITING):
        return
    went_back = event.confirmation is Confirmation.WENT_BACK
    m.announce(Notice.WENT_BACK if went_back else Notice.FENCED, epoch=event.epoch)
    give_up(m, "the database refused this server's token", now_s)


def on_view(m: Machine, view: View, sent_s: float, now_s: float) -> None:
    """Find the key as we hold it, or learn that the tenure is over."""
    if m.phase in (Phase.TRANSFERRING, Phase.REWRITING) and m.write_pending:
        return  # the answer to the transaction says more than a read beside it
    if m.phase is Phase.REWRITING:
        rewrite(m, view.leader)
        return
    assert m.tenure is not None
    held, leader = m.tenure.record, view.leader
    if (
        leader is not None
        and view.identity == held.identity
        and m.is_own(leader)
        and leader.epoch == held.epoch
    ):
        m.saw_key(sent_s)
    else:
        lose(m, "the leader key is another's or gone", successor=None if m.is_own(leader) else leader)


def rewrite(m: Machine, found: LeaderRecord | None) -> None:
    """Write our own key anew under a new token, so that a late hand-over fails; only while the key found is
    ours.
    """
    assert m.tenure is not None
    if found is None or not m.is_own(found):
        lose(m, "the leader key was handed over", successor=found)
        return
    m.move(Phase.REWRITING)
    m.found, m.write_pending = found, True
    m.emit(Confirm(m.next_call(), m.tenure.epoch))


def _on_confirmed_rewriting(m: Machine, confirmation: Confirmation, now_s: float) -> None:
    """Rewrite only a tenure that the fence row confirms: in an etcd restored to before the hand-over our key
    would else look like a successor's.
    """
    assert m.tenure is not None
    assert m.found is not None
    held, found = m.tenure.record, m.found
    if confirmation is Confirmation.HOLDS:
        m.given_up = max(m.given_up, found.epoch)
        own = m.own_record(generation=held.generation, identity=held.identity, prior=found.mod_revision)
        m.write_key(found, own)
    elif confirmation is Confirmation.UNREACHABLE:
        m.write_pending = False
        m.next_view_s = now_s + m.timing.retry_s
    else:
        m.announce(
            Notice.FENCED if confirmation is Confirmation.FENCED else Notice.WENT_BACK, epoch=held.epoch
        )
        give_up(m, "another server holds a higher token", now_s, found=found)


def on_rewritten(m: Machine, event: KeyWritten, now_s: float) -> None:
    """Promote ourselves again under the new token; anything else is looked up first."""
    record = m.written(event.result)
    if record is None:
        m.read_view()
        return
    assert m.tenure is not None
    m.given_up = max(m.given_up, m.tenure.epoch)
    take(m, record, seen_s=event.sent_s, now_s=now_s)


def lose(m: Machine, reason: str, *, successor: LeaderRecord | None) -> None:
    """End the tenure: the key is no longer ours."""
    m.end_handover(HandOverResult.UNKNOWN, reason)
    _end(m, reason, successor)
    m.move(Phase.IDLE)
    if m.lease is not None:
        m.read_view()


def give_up(m: Machine, reason: str, now_s: float, *, found: LeaderRecord | None = None) -> None:
    """End the tenure of our own accord, and delete the key, compared; `found` is the key where it is not as
    we won it.
    """
    assert m.tenure is not None
    held = found or m.tenure.record
    m.given_up = max(m.given_up, held.epoch)
    m.end_handover(HandOverResult.REFUSED, reason)
    _end(m, reason, None)
    m.cool_down(now_s)
    m.move(Phase.GIVING_UP)
    m.write_key(held, None)


def on_given_up(m: Machine) -> None:
    """Look what is there now; a key that is still in our name is rewritten or deleted by the next candidacy."""
    m.write_pending = False
    m.move(Phase.IDLE)
    m.ignore_reads_under_way()
    m.read_view()


def _end(m: Machine, reason: str, successor: LeaderRecord | None) -> None:
    m.forget_tenure()
    m.emit(Demote(reason, successor))
    if m.was_primary:
        m.announce(Notice.BECAME_BACKUP, reason)
    m.was_primary = False


def _resign(m: Machine, now_s: float) -> None:
    """Let another try that reaches the database, when we have not for one TTL."""
    if m.phase in (Phase.TRANSFERRING, Phase.REWRITING) or m.view is None:
        return
    others = [member for member in m.view.members if member.instance != m.facts.instance]
    if any(other.state.database_reachable and other.state.promotable for other in others):
        give_up(m, "the database has been out of reach for one TTL, and another member reaches it", now_s)
