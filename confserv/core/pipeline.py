"""Group commit as a state machine: what was asked comes in, what the store and the clients must be told comes
out.

Each request is looked up by its id, drafted against memory and all that waits before it, and waits; all that
waits goes to the store as one group; answers come after the commit alone. When a group fails it is taken
apart and drafted again. The caller's duties:

1. Carry out every effect, in order.
2. Report the result of each `Commit`, `ReadTail` and `LookUp` exactly once; at most one of the first two is under way.
3. Say truthfully in `may_act` whether the lease guard holds, and `pump` again when it holds anew.
4. Before `open`, wait until nothing is in flight, and read the tail after the fence row was raised.

It reads no clock: `now_ms` is wall time in milliseconds. What it does not promise: an answer within any time.
B-50, B-51, `ha.md` (Fencing in the database, The change log).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from confkit.election.types import Epoch
from confserv.core.configuration import Configuration
from confserv.core.drafts import Drafts, Write
from confserv.core.effects import (
    Answer,
    Applied,
    Commit,
    Effect,
    LookUp,
    Outcome,
    ReadTail,
    Refuse,
    RetryLater,
    StepDown,
    Ticket,
)
from confserv.core.history import Seen, gone_back
from confserv.core.log import Found, LogEntry, RequestKey, Tail
from confserv.core.operations import WriteRequest
from confserv.core.phases import Phase, TenureState
from confserv.core.recent import RecentLog
from confserv.core.refusals import Refused, not_primary, outcome_unknown, rejected, request_id_reused
from confserv.core.requests import check_request_id
from confserv.core.rules import Rules


class Pipeline:
    """One for the life of a server; it owns the configuration in memory."""

    def __init__(self, rules: Rules, *, recent: RecentLog | None = None) -> None:
        self.configuration = Configuration(rules.scope_of)
        self.recent = recent or RecentLog()
        self._tenure = TenureState()
        self._drafts = Drafts(rules, self.configuration)
        self._waiting: dict[Ticket, Write] = {}
        self._flight: list[Write] = []
        self._looking: dict[RequestKey, Write] = {}
        self._live: dict[RequestKey, Write] = {}

    @property
    def phase(self) -> Phase:
        """Whether writes are admitted."""
        return self._tenure.phase

    @property
    def epoch(self) -> Epoch:
        """The token of this tenure, or of the last one."""
        return self._tenure.epoch

    @property
    def history_id(self) -> str:
        """The history that memory is of, "" when none was ever seen."""
        return self._tenure.history_id

    @property
    def sure(self) -> bool:
        """False while it is not known what was committed: no read is current then."""
        return not self._tenure.unsure

    @property
    def idle(self) -> bool:
        """True when nothing that was admitted waits for its outcome."""
        return not self._live

    @property
    def in_flight(self) -> bool:
        """True while something was handed to the store whose outcome is not known yet."""
        return bool(self._flight)

    @property
    def has_work(self) -> bool:
        """True when `pump` may have something to do."""
        return bool(self._waiting or self._drafts.pending)

    @property
    def seen(self) -> Seen:
        """What memory knows to have been in the log."""
        return Seen(self.configuration.revision, self.configuration.last, self.history_id)

    def load(self, *, history_id: str, recent: Iterable[LogEntry]) -> None:
        """Take over what the store had at the start; the configuration was filled by the caller."""
        self._tenure.history_id = history_id
        for entry in recent:
            self.recent.add(entry)
            self._drafts.last_time_ms = entry.time_ms

    # -- what clients do

    def submit(
        self,
        ticket: Ticket,
        request: WriteRequest,
        *,
        now_ms: int,
        may_act: bool,
        reserved_value: str | None = None,
    ) -> list[Effect]:
        """Take a request. It is answered or refused, sooner or later, exactly once, unless it is withdrawn."""
        if self.phase is Phase.CLOSED:
            return [Refuse(ticket, not_primary())]
        self._waiting[ticket] = Write(request, [ticket], reserved_value)
        return self.pump(now_ms=now_ms, may_act=may_act)

    def withdraw(self, ticket: Ticket) -> bool:
        """Forget a caller that has gone away; true when it was not admitted yet. What was may still be
        committed."""
        return self._waiting.pop(ticket, None) is not None

    # -- what the election does

    def open(self, epoch: Epoch, *, history_id: str, tail: Tail, now_ms: int) -> list[Effect]:
        """Begin a tenure under `epoch`. `tail`, complete, was read behind the applied revision after the
        fence row was raised: what it does not have was not committed, and never will be.
        """
        self._tenure = TenureState(Phase.OPEN, epoch, history_id)
        effects = self._catch_up(tail)
        return effects + self._start_over(now_ms) + self.pump(now_ms=now_ms, may_act=True)

    def suspend(self) -> None:
        """Admit nothing, commit nothing more; all waits."""
        if self.phase is not Phase.CLOSED:
            self._tenure.phase = Phase.SUSPENDED

    def drain(self) -> None:
        """Admit nothing, commit what was admitted."""
        if self.phase is Phase.OPEN:
            self._tenure.phase = Phase.DRAINING

    def resume(self, *, now_ms: int, may_act: bool) -> list[Effect]:
        """Go on after `suspend` or `drain`."""
        if self.phase is Phase.CLOSED:
            return []
        self._tenure.phase = Phase.OPEN
        return self.pump(now_ms=now_ms, may_act=may_act)

    def close(self) -> list[Effect]:
        """End the tenure: what was never handed to the store is refused with NOT_PRIMARY; what was is
        answered when its outcome is known (`committed`, `give_up`).
        """
        if self.phase is Phase.CLOSED:
            return []
        self._tenure.phase = Phase.CLOSED
        for write in self._looking.values():
            write.refusal = None if write.doubtful else not_primary()
        waiting = list(self._waiting.values())
        self._waiting.clear()
        effects = self._refuse(waiting, not_primary()) + self._never_written(self._drafts.take_all())
        return effects + (self.give_up() if self._tenure.unsure else [])

    def give_up(self) -> list[Effect]:
        """After `close`: the outcome of the last commit is not coming, so look it up."""
        self._tenure.unsure = False
        flight, self._flight = self._flight, []
        return self._look_up(flight)

    # -- what the store reports

    def committed(self, outcome: Outcome, detail: str, *, now_ms: int, may_act: bool) -> list[Effect]:
        """Take the outcome of the last `Commit`. One that comes after `give_up` is ignored: the log has
        the truth."""
        if not self._flight:
            return []
        match outcome:
            case Outcome.COMMITTED:
                return self._succeed() + self._settle(now_ms, may_act)
            case Outcome.FENCED | Outcome.WENT_BACK:
                return self._step_down(went_back=outcome is Outcome.WENT_BACK, detail=detail)
            case Outcome.MISPLACED | Outcome.UNKNOWN:
                return self._become_unsure()
            case Outcome.REJECTED:
                return self._take_apart(detail, now_ms, may_act)
            case Outcome.UNREACHABLE:
                return [*self._put_back(), *([] if self.phase is Phase.CLOSED else [RetryLater(detail)])]
            case Outcome.LATE:
                return self._put_back()

    def tail_read(self, tail: Tail, *, now_ms: int, may_act: bool) -> list[Effect]:
        """Take the tail that `ReadTail` asked for: what of the last group is in it was committed; the rest
        goes again under the same revisions, so that a commit that lands late cannot land twice.
        """
        if self.phase is Phase.CLOSED or self.sure:
            return []
        fault = gone_back(tail, self.seen)
        if fault is not None:
            return self._step_down(went_back=True, detail=fault)
        effects = self._catch_up(tail)
        if tail.holder != self.epoch:
            return effects + self._step_down(went_back=False, detail=f"the fence row holds {tail.holder}")
        if not tail.complete:
            return [*effects, ReadTail()]
        self._tenure.unsure = False
        return effects + self._start_over(now_ms) + self.pump(now_ms=now_ms, may_act=may_act)

    def looked_up(self, found: Found, requests: Sequence[RequestKey]) -> list[Effect]:
        """Take what the log says of request ids: the first answer if it is there; else the refusal, or for
        what was handed over NOT_PRIMARY if the fence row holds another token, else OUTCOME_UNKNOWN.
        """
        effects: list[Effect] = []
        for key in requests:
            write = self._looking.pop(key, None)
            if write is None:
                continue
            entry = found.entries.get(key)
            if entry is not None:
                effects += self._answer(write, entry)
            elif write.refusal is not None:
                effects += self._refuse([write], write.refusal)
            else:
                fenced = found.holder is not None and found.holder != self.epoch
                effects += self._refuse([write], not_primary() if fenced else outcome_unknown())
        return effects

    def look_up_failed(self, requests: Sequence[RequestKey]) -> list[Effect]:
        """The log could not be read: nothing is known of these requests but that they may be repeated."""
        writes = [write for key in requests if (write := self._looking.pop(key, None)) is not None]
        return self._refuse(writes, outcome_unknown())

    def follow(self, tail: Tail) -> list[Effect]:
        """Apply what another server has committed, while this one is closed. The caller has asked `gone_back`."""
        assert self.phase is Phase.CLOSED, "a primary follows nobody"
        self._tenure.history_id = tail.history_id or self._tenure.history_id
        return self._catch_up(tail)

    def pump(self, *, now_ms: int, may_act: bool) -> list[Effect]:
        """Admit what waits and hand the next group to the store, as far as this server may now."""
        effects: list[Effect] = []
        if self.phase is Phase.OPEN and may_act and self.sure:
            waiting = list(self._waiting.values())
            self._waiting.clear()
            effects = [effect for write in waiting for effect in self._admit(write, now_ms)]
        return effects + self._launch(may_act=may_act)

    # -- inside: admission

    def _admit(self, write: Write, now_ms: int) -> list[Effect]:
        key = write.request.key
        entry = self.recent.find(key)
        if entry is not None:
            return self._answer(write, entry)
        twin = self._live.get(key)
        if twin is not None:
            if twin.request.content_hash != write.request.content_hash:
                return _refusals(write, request_id_reused(key.request_id))
            twin.tickets += write.tickets
            return []
        try:
            check_request_id(write.request.request_id, now_ms=now_ms)
        except Refused as refusal:
            return _refusals(write, refusal)
        self._live[key] = write
        return self._draft([write], now_ms)

    def _draft(self, writes: Iterable[Write], now_ms: int) -> list[Effect]:
        effects: list[Effect] = []
        for write in writes:
            refusal = self._drafts.draft(write, epoch=self.epoch, now_ms=now_ms)
            if refusal is not None:
                write.refusal = refusal
                effects += self._look_up([write])
        return effects

    def _launch(self, *, may_act: bool) -> list[Effect]:
        ready = self.phase in (Phase.OPEN, Phase.DRAINING) and may_act and self.sure
        if not ready or self._flight or not self._drafts.pending:
            return []
        self._flight = self._drafts.take_group()
        return [Commit(tuple(write.drafted for write in self._flight), self.epoch, self.history_id)]

    # -- inside: outcomes

    def _succeed(self) -> list[Effect]:
        flight, self._flight = self._flight, []
        entries = tuple(write.drafted for write in flight)
        self._take(entries)
        answers = [effect for write in flight for effect in self._answer(write, write.drafted)]
        return [Applied(entries), *answers]

    def _settle(self, now_ms: int, may_act: bool) -> list[Effect]:
        """After a commit: what still waits is laid over the new memory, and what was kept is drafted again."""
        if self.phase is Phase.CLOSED:
            return []
        self._drafts.lay_anew()
        effects = self._draft(self._drafts.take_kept(), now_ms)
        return effects + self.pump(now_ms=now_ms, may_act=may_act)

    def _start_over(self, now_ms: int) -> list[Effect]:
        """Draft all that was not committed anew, in the old order, against memory as it is now."""
        flight, self._flight = self._flight, []
        self._drafts.put_back(flight)
        return self._draft(self._drafts.take_all(), now_ms)

    def _become_unsure(self) -> list[Effect]:
        for write in self._flight:
            write.doubtful = True
        if self.phase is Phase.CLOSED:
            return self.give_up()
        self._tenure.unsure = True
        return [ReadTail()]

    def _take_apart(self, detail: str, now_ms: int, may_act: bool) -> list[Effect]:
        group, self._flight = self._flight, []
        if self.phase is Phase.CLOSED:
            return self._never_written(group)
        effects: list[Effect] = []
        if len(group) == 1:
            group[0].refusal = rejected(detail)
            effects = self._look_up(group)
        else:
            for write in group:
                write.alone = True
            self._drafts.put_back(group)
        return effects + self._start_over(now_ms) + self.pump(now_ms=now_ms, may_act=may_act)

    def _put_back(self) -> list[Effect]:
        group, self._flight = self._flight, []
        if self.phase is Phase.CLOSED:
            return self._never_written(group)
        self._drafts.put_back(group)
        return []

    def _step_down(self, *, went_back: bool, detail: str) -> list[Effect]:
        """The fence refused the last group, so nothing of it was written now."""
        was_closed = self.phase is Phase.CLOSED
        flight, self._flight = self._flight, []
        self._tenure.unsure = False
        effects = self._refuse(flight, outcome_unknown()) if went_back else self._never_written(flight)
        effects += self.close()
        return effects if was_closed else [*effects, StepDown(went_back, detail)]

    def _never_written(self, writes: Sequence[Write]) -> list[Effect]:
        """At the end of a tenure: NOT_PRIMARY, but for what was handed over once under an outcome that is
        not known."""
        doubtful = [write for write in writes if write.doubtful]
        certain = [write for write in writes if not write.doubtful]
        return self._refuse(certain, not_primary()) + self._look_up(doubtful)

    def _catch_up(self, tail: Tail) -> list[Effect]:
        entries = tuple(e for e in tail.entries if e.revision > self.configuration.revision)
        self._take(entries)
        effects: list[Effect] = [Applied(entries)] if entries else []
        for entry in entries:
            write = self._live.get(entry.request)
            if write is not None and entry.request not in self._looking:
                self._flight = [other for other in self._flight if other is not write]
                self._drafts.discard([write])
                effects += self._answer(write, entry)
        return effects

    def _take(self, entries: Iterable[LogEntry]) -> None:
        for entry in entries:
            self.configuration.apply(entry)
            self.recent.add(entry)
            self._drafts.last_time_ms = max(self._drafts.last_time_ms, entry.time_ms)

    def _look_up(self, writes: Sequence[Write]) -> list[Effect]:
        keys = tuple(write.request.key for write in writes)
        self._looking.update(zip(keys, writes, strict=True))
        return [LookUp(keys)] if keys else []

    def _answer(self, write: Write, entry: LogEntry) -> list[Effect]:
        if write.request.content_hash != entry.content_hash:
            return self._refuse([write], request_id_reused(entry.request_id))
        self._forget(write)
        return [Answer(ticket, entry) for ticket in write.tickets]

    def _refuse(self, writes: Iterable[Write], refusal: Refused) -> list[Effect]:
        effects: list[Effect] = []
        for write in writes:
            self._forget(write)
            effects += _refusals(write, refusal)
        return effects

    def _forget(self, write: Write) -> None:
        if self._live.get(write.request.key) is write:
            del self._live[write.request.key]


def _refusals(write: Write, refusal: Refused) -> list[Effect]:
    return [Refuse(ticket, refusal) for ticket in write.tickets]
