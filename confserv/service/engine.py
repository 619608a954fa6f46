"""The configuration of one server, alive: joins the pipeline of writes to the store, the clock and the
watchers.

All decisions are the pipeline's; this shell carries its effects out: commits in the store's one writer
thread, reads in others, and everything else in the event loop, so that memory is touched by nobody else.
While it is no primary it follows the change log. What it does not promise: that this server is primary; the
election and the fence row decide.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Sequence

import structlog

from confclient.errors import NoPrimaryError
from confkit.clock import Clock
from confkit.election.ports import StoreUnreachable
from confkit.election.types import Epoch
from confserv.core.bootstrap import first_request
from confserv.core.configuration import Configuration
from confserv.core.effects import (
    Answer,
    Applied,
    Commit,
    Effect,
    LookUp,
    ReadTail,
    Refuse,
    RetryLater,
    StepDown,
    Ticket,
)
from confserv.core.history import Seen, gone_back
from confserv.core.log import HistoryPage, LogEntry, Tail
from confserv.core.objects import Key, Record, TypeName
from confserv.core.operations import Operation, Target, WriteRequest
from confserv.core.phases import Phase
from confserv.core.pipeline import Pipeline
from confserv.core.recent import AT_START, CAPACITY, RecentLog
from confserv.core.refusals import not_primary
from confserv.core.rules import Rules
from confserv.core.writes import find
from confserv.ports import ConfigurationStore
from confserv.service.background import Background, Changes
from confserv.service.callers import Callers
from confserv.service.reachability import RETRY_S, Reachability
from confserv.service.store_threads import StoreThreads
from confserv.service.watchers import WatchHub

POLL_S = 0.075
"""A backup looks for new log entries so often, in seconds."""

_GIVE_UP_S = 1.0
_LOOK_AGAIN_S = 0.02
_LOOK_UP_TRIES = 5
_log = structlog.get_logger()


class WentBack(Exception):
    """The database is not the one it was, or lacks what was seen (21-25126); an operator decides. B-51."""


class ConfigurationEngine:
    """One server's configuration.

    `epoch_now` is the election's token at this moment, None without one; `on_step_down` is called when the
    fence row has refused this server, or the database went back: the election must be told. `reserved_value`
    gives the option of B-6 as reads show it.
    """

    def __init__(
        self,
        *,
        store: ConfigurationStore,
        rules: Rules,
        clock: Clock,
        hub: WatchHub,
        epoch_now: Callable[[], Epoch | None],
        on_step_down: Callable[[StepDown], None],
        reserved_value: Callable[[], str | None] = lambda: None,
        on_reachability: Callable[[], None] = lambda: None,
        patience_s: float = 10.0,
        recent: int = CAPACITY,
    ) -> None:
        """Begin closed and empty; `load` first. Writes wait `patience_s` seconds while suspended; the newest
        `recent` transactions stay in memory.
        """
        self._store = StoreThreads(store)
        self._rules = rules
        self._clock = clock
        self.hub = hub
        self._epoch_now = epoch_now
        self._on_step_down = on_step_down
        self._reserved_value = reserved_value
        self._patience_s = patience_s
        self._pipeline = Pipeline(rules, recent=RecentLog(recent))
        self._recent = recent
        self._callers = Callers()
        self._commits = itertools.count(1)
        self._current_commit = 0
        self._background = Background()
        self._changed = Changes()
        self._promoting = False
        self._pump_due = False
        self._database = Reachability("the change log", on_reachability)
        self.went_back: str | None = None

    # -- what is known

    @property
    def configuration(self) -> Configuration:
        """All objects as of `revision`."""
        return self._pipeline.configuration

    @property
    def revision(self) -> int:
        """The last revision that was applied."""
        return self._pipeline.configuration.revision

    @property
    def history_id(self) -> str:
        """The history that memory is of, "" before the first promotion ever."""
        return self._pipeline.history_id

    @property
    def database_reachable(self) -> bool:
        """Whether the database answered when it was asked last."""
        return self._database.reachable

    @property
    def is_open(self) -> bool:
        """True while writes are admitted and reads are current, as far as the store is concerned."""
        return self._pipeline.phase is Phase.OPEN and self._pipeline.sure and not self._promoting

    def find(self, target: Target) -> Record:
        """Find one object by number or name. Raises Refused (UNKNOWN_TYPE, NOT_FOUND)."""
        return find(self.configuration, self._rules, target)

    def check_type(self, type: TypeName) -> None:
        """Say whether there is such a type. Raises Refused (UNKNOWN_TYPE)."""
        self._rules.spec(self.configuration, type)

    def recent_after(self, revision: int) -> tuple[LogEntry, ...] | None:
        """Give the transactions behind `revision` from memory, None when it no longer has them all."""
        if revision == self.revision:
            return ()
        return self._pipeline.recent.after(revision)

    # -- life

    async def load(self) -> None:
        """Fill memory with what the store holds. Raises StoreUnreachable."""
        loaded = await self._store.load(recent=min(self._recent, AT_START))
        configuration = self._pipeline.configuration
        configuration.load(loaded.records, next_dbids=loaded.next_dbids, revision=loaded.revision)
        configuration.last = loaded.last
        self._pipeline.load(history_id=loaded.history_id, recent=loaded.recent)

    async def follow(self) -> None:
        """Follow the change log while this server is no primary; runs for ever."""
        while True:
            behind = self._may_follow and await self._follow_once()
            await asyncio.sleep(0.0 if behind else POLL_S)

    async def stop(self) -> None:
        """End the tasks; a commit under way is finished."""
        await self._background.stop()
        await self._store.stop()

    # -- what the election does

    async def prepare_promotion(self) -> Seen:
        """Stop following, and say what memory has: the tail of the promotion is to be read behind it."""
        self._promoting = True
        await self._changed.until(lambda: not self._pipeline.in_flight, timeout_s=_GIVE_UP_S)
        self._current_commit = 0  # whatever comes of a commit that is still under way, the tail has the truth
        return self._pipeline.seen

    async def open(
        self,
        epoch: Epoch,
        *,
        history_id: str,
        tail: Tail,
        elsewhere: int = 0,
        history_id_elsewhere: str = "",
        first_objects: Sequence[Operation] = (),
        actor: str = "confserv",
    ) -> None:
        """Begin a tenure, after `prepare_promotion`. `tail` is all that the log has behind what
        `prepare_promotion` said, read after the fence row was raised to `epoch`. An empty database gets
        `first_objects` before anything is served.

        `elsewhere` and `history_id_elsewhere` are what other members and etcd have seen of the log. Raises
        WentBack, or Refused when the first objects could not be committed; then call `demote`.
        """
        seen = self._pipeline.seen
        fault = gone_back(
            tail, Seen(seen.revision, seen.last, seen.history_id, elsewhere, history_id_elsewhere)
        )
        if fault is not None:
            self.went_back = fault
            raise WentBack(fault)
        assert tail.complete, "a promotion reads the whole tail"
        self._perform(
            self._pipeline.open(epoch, history_id=history_id, tail=tail, now_ms=self._clock.wall_ms())
        )
        if self.revision == 0 and first_objects:
            await self._submit(
                first_request(first_objects, actor=actor, now_ms=self._clock.wall_ms(), random=os.urandom(10))
            )
        self._promoting = False
        self._changed.tell()

    def suspend(self) -> None:
        """Admit no write and no current read: they wait."""
        self._pipeline.suspend()

    def resume(self) -> None:
        """Serve again after `suspend` or `drain`."""
        self._promoting = False
        self._perform(self._pipeline.resume(now_ms=self._clock.wall_ms(), may_act=self._may_act()))
        self._changed.tell()

    async def drain(self, *, timeout_s: float) -> bool:
        """Admit nothing more and finish what was admitted; false when that takes longer than `timeout_s`
        seconds."""
        self._pipeline.drain()
        return await self._changed.until(lambda: self._pipeline.idle, timeout_s=timeout_s)

    async def demote(self) -> None:
        """Stop being primary; every write under way gets its answer as `ha.md` (Demotion) says, then the
        log is followed."""
        self._perform(self._pipeline.close())
        if not await self._changed.until(lambda: not self._pipeline.in_flight, timeout_s=_GIVE_UP_S):
            self._current_commit = 0
            self._perform(self._pipeline.give_up())
        await self._changed.until(lambda: self._pipeline.idle, timeout_s=_GIVE_UP_S)
        self._promoting = False
        self._changed.tell()

    # -- what clients do

    async def submit(self, request: WriteRequest) -> LogEntry:
        """Commit a transaction, or give the first answer of a request id that was committed before.

        Raises Refused, NoPrimaryError when it was not even admitted in `patience_s` seconds, and UnavailableError
        when too many wait.
        """
        if self._promoting:
            await self.current()
        return await self._submit(request)

    async def current(self) -> None:
        """Return when reads are current as far as the store is concerned. Raises Refused (NOT_PRIMARY), or
        NoPrimaryError after `patience_s` seconds.
        """
        if not self.is_open and not await self._changed.until(
            lambda: self.is_open or self._is_closed, timeout_s=self._patience_s
        ):
            raise _cannot_prove()
        if self._is_closed:
            raise not_primary()

    async def read_log(self, *, after_revision: int) -> Tail:
        """Read a page of the change log from the store. Raises StoreUnreachable."""
        return await self._store.tail(after_revision=after_revision)

    async def history(self, *, key: Key | None, after_revision: int, limit: int) -> HistoryPage:
        """Read whole transactions, of one object or of all. Raises StoreUnreachable."""
        return await self._store.history(key=key, after_revision=after_revision, limit=limit)

    async def reached(self, revision: int) -> None:
        """Return when `revision` was applied."""
        await self._changed.until(lambda: self.revision >= revision)

    # -- inside

    @property
    def _is_closed(self) -> bool:
        return self._pipeline.phase is Phase.CLOSED and not self._promoting

    def _may_act(self) -> bool:
        return self._promoting or self._epoch_now() == self._pipeline.epoch

    async def _submit(self, request: WriteRequest) -> LogEntry:
        ticket, answer = self._callers.enter()
        expiry = asyncio.get_running_loop().call_later(self._patience_s, self._expire, ticket)
        try:
            self._perform(
                self._pipeline.submit(
                    ticket,
                    request,
                    now_ms=self._clock.wall_ms(),
                    may_act=self._may_act(),
                    reserved_value=self._reserved_value(),
                )
            )
            return await answer
        finally:
            expiry.cancel()
            self._callers.leave(ticket)
            self._pipeline.withdraw(ticket)

    def _expire(self, ticket: Ticket) -> None:
        if self._pipeline.withdraw(ticket):
            self._callers.settle(ticket, _cannot_prove())

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Commit():
                    self._current_commit = next(self._commits)
                    self._background.start(self._commit(effect, self._current_commit))
                case Answer():
                    self._callers.settle(effect.ticket, effect.entry)
                case Refuse():
                    self._callers.settle(effect.ticket, effect.refusal)
                case Applied():
                    self.hub.publish(effect.entries, history_id=self.history_id)
                case ReadTail():
                    self._background.start(self._read_tail())
                case LookUp():
                    self._background.start(self._look_up(effect))
                case RetryLater():
                    self._database.silent(effect.detail)
                    self._pump_later(RETRY_S)
                case StepDown():
                    self.went_back = effect.detail if effect.went_back else self.went_back
                    self._on_step_down(effect)
        if self._pipeline.has_work and not self._pipeline.in_flight:
            self._pump_later(_LOOK_AGAIN_S)
        self._changed.tell()

    async def _commit(self, commit: Commit, number: int) -> None:
        result = await self._store.commit(commit, may_commit=self._may_act)
        if number != self._current_commit:
            return
        effects = self._pipeline.committed(
            result.outcome, result.detail, now_ms=self._clock.wall_ms(), may_act=self._may_act()
        )
        if not any(isinstance(e, RetryLater | ReadTail) for e in effects):
            self._database.answered()
        self._perform(effects)

    async def _read_tail(self) -> None:
        tail = await self._database.ask(lambda: self.read_log(after_revision=self.revision))
        assert tail is not None, "asked until there is an answer"
        self._perform(self._pipeline.tail_read(tail, now_ms=self._clock.wall_ms(), may_act=self._may_act()))

    async def _look_up(self, effect: LookUp) -> None:
        found = await self._database.ask(lambda: self._store.find(effect.requests), tries=_LOOK_UP_TRIES)
        if found is None:
            self._perform(self._pipeline.look_up_failed(effect.requests))
        else:
            self._perform(self._pipeline.looked_up(found, effect.requests))

    @property
    def _may_follow(self) -> bool:
        return self._pipeline.phase is Phase.CLOSED and not self._promoting and not self._pipeline.in_flight

    async def _follow_once(self) -> bool:
        """Apply a page of the log; true when there is more."""
        try:
            tail = await self.read_log(after_revision=self.revision)
        except StoreUnreachable as error:
            self._database.silent(error)
            return False
        self._database.answered()
        if not self._may_follow:
            return False
        fault = gone_back(tail, self._pipeline.seen)
        if fault is not None:
            if self.went_back is None:
                self._on_step_down(StepDown(went_back=True, detail=fault))
            self.went_back = fault
            return False
        self._perform(self._pipeline.follow(tail))
        return not tail.complete

    def _pump_later(self, delay_s: float) -> None:
        if not self._pump_due:
            self._pump_due = True
            asyncio.get_running_loop().call_later(delay_s, self.poke)

    def poke(self) -> None:
        """Look at once whether what waits may go on: the election has a new state."""
        self._pump_due = False
        self._perform(self._pipeline.pump(now_ms=self._clock.wall_ms(), may_act=self._may_act()))


def _cannot_prove() -> NoPrimaryError:
    return NoPrimaryError("this server cannot prove now that it is the primary: try again")
