"""The desk at which licenses are checked out: ledger and journal joined, in groups.

What the ledger decides goes to the journal in the order of the decisions; all that waits goes into one
transaction, and nobody is answered before it is durable. Only a server that is primary, and can prove it at
that instant, answers at all: one that is suspended lets callers wait, one that is not primary refuses them.
After a database did not answer, the journal is read before anything is repeated, since the last transaction
may have been committed. All of it but the journal runs in the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from confclient.errors import ConfservError, OutcomeUnknownError
from confkit.election.ports import StoreUnreachable
from confkit.election.types import Epoch
from confkit.license.pools import Pools
from licman.core.ledger import Ledger
from licman.core.model import (
    Denied,
    Granted,
    Handle,
    LicenseText,
    Moment,
    Owner,
    Record,
    Release,
    Wanted,
)
from licman.core.use import PoolUse, use_of
from licman.ports import Fenced, Journal, Journalled, WentBack

GROUP_RECORDS = 2_000
"""About how many records go into one transaction at most."""

RETRY_S = 0.2
"""Pause before a database that did not answer is asked again, in seconds."""

_PROOF_RETRY_S = 0.02
_TICKS_PER_TIMEOUT = 20


class Admission(Enum):
    """What becomes of a caller who comes now."""

    CLOSED = "closed"
    SUSPENDED = "suspended"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class License:
    """A license as the desk counts against it."""

    text: LicenseText
    pools: Pools


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the desk asks and tells others.

    `epoch_now` gives the token of which this server is sure now; `refusal` the error for whoever asks a
    server that is not primary; `now` both clocks; `log` takes a number of the catalogue and attributes.
    """

    epoch_now: Callable[[], Epoch | None]
    refusal: Callable[[], ConfservError]
    now: Callable[[], Moment]
    log: Callable[..., object]


@dataclass(slots=True)
class _Entry:
    """Records that belong to one answer, none for an answer that only waits for those before it."""

    records: Sequence[Record]
    done: asyncio.Future[Epoch] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(frozen=True, slots=True)
class UseReport:
    """Who uses what at an instant, counted against one license revision (0: none is known)."""

    rows: tuple[PoolUse, ...]
    license_revision: int
    wall_ms: int


class Desk:
    """Check-out, check-in and heartbeats of the primary. `thread` is an executor with one thread, the
    journal's.

    A holder that is silent for `heartbeat_timeout_s` loses what it holds.
    """

    def __init__(
        self, journal: Journal, thread: Executor, around: Surroundings, *, heartbeat_timeout_s: float
    ) -> None:
        """Begin closed."""
        self._journal = journal
        self._thread = thread
        self._around = around
        self.heartbeat_timeout_s = heartbeat_timeout_s
        self._admission = Admission.CLOSED
        self._waiting: deque[_Entry] = deque()
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ledger: Ledger | None = None
        self._license: License | None = None
        self._history_id = ""
        self._next_tick_s = 0.0
        self._expired_told: frozenset[str] = frozenset()
        self.last = 0
        """Number of the last record that is known to be durable."""
        self.reachable = True
        """Whether the database answered last time."""

    # the life of a primary

    def open(self, loaded: Journalled, *, history_id: str, license_in_force: License | None) -> None:
        """Serve from what the journal says is held; every holder gets a full timeout to attach again
        (B-42).
        """
        now = self._around.now()
        self._license = license_in_force
        pools = license_in_force.pools if license_in_force else None
        self._ledger = Ledger(pools, loaded.holdings, heartbeat_timeout_s=self.heartbeat_timeout_s, now=now)
        self._history_id, self.last = history_id, loaded.last
        self._waiting.clear()
        if license_in_force is not None and license_in_force.text != loaded.license:
            self._waiting.append(_unawaited([license_in_force.text]))
        self._become(Admission.OPEN)

    def follow(self, license_in_force: License) -> None:
        """Count against a new license from here on."""
        if self._ledger is None or self._license == license_in_force:
            self._license = license_in_force
            return
        self._license = license_in_force
        self._ledger.follow(license_in_force.pools)
        self._expired_told = frozenset()
        self._enqueue(_unawaited([license_in_force.text]))

    def suspend(self) -> None:
        """Let callers wait."""
        if self._admission is Admission.OPEN:
            self._become(Admission.SUSPENDED)

    def resume(self) -> None:
        """Serve again; nobody could show that it lives meanwhile, so every holder gets its time again."""
        if self._admission is Admission.SUSPENDED:
            if self._ledger is not None:
                self._ledger.grant_time(self._around.now())
            self._become(Admission.OPEN)

    def close(self) -> None:
        """Refuse what waits and what comes. A group that the database has already is still answered as it
        ends.
        """
        self._ledger = None
        self._become(Admission.CLOSED)
        _fail_all(self._waiting, self._around.refusal())
        self._waiting.clear()

    async def settle(self) -> None:
        """Return when no transaction is in flight."""
        await self._idle.wait()

    # callers

    async def check_out(self, wanted: Wanted) -> tuple[Granted | Denied, Epoch]:
        """Grant or deny; a grant is durable when this returns. Raises RequestError for what can never be
        granted.
        """
        ledger, epoch = await self._current()
        answer = ledger.check_out(wanted, self._around.now())
        record = answer.record if isinstance(answer, Granted) else None
        if isinstance(answer, Denied):
            self._around.log(
                "67-25010", feature=wanted.feature, client=wanted.owner, reason=answer.reason.name
            )
        return answer, await self._durable([record] if record else [], epoch)

    async def check_in(self, owner: Owner, handles: Iterable[Handle]) -> tuple[tuple[Release, ...], Epoch]:
        """Give back; durable when this returns."""
        ledger, epoch = await self._current()
        released = ledger.check_in(owner, handles, self._around.now())
        return released, await self._durable(released, epoch)

    async def heartbeat(self, owner: Owner, handles: Iterable[Handle]) -> tuple[tuple[Handle, ...], Epoch]:
        """Note that a holder lives; gives the handles that it does not hold."""
        ledger, epoch = await self._current()
        return ledger.heartbeat(owner, handles, self._around.now()), epoch

    async def use(self, feature: str = "") -> UseReport:
        """Tell who uses what now."""
        ledger, _ = await self._current()
        now = self._around.now()
        pools = self._license.pools if self._license else None
        rows = use_of(pools, ledger.holdings, day=now.day, feature=feature)
        return UseReport(rows, self._license.text.revision if self._license else 0, now.wall_ms)

    @property
    def held_handles(self) -> int:
        """How many handles are held, 0 when this server does not know."""
        return len(self._ledger.holdings) if self._ledger else 0

    @property
    def license_revision(self) -> int:
        """The license revision that is counted against, 0 when none is known."""
        return self._license.text.revision if self._license else 0

    async def _current(self) -> tuple[Ledger, Epoch]:
        """Wait until this server can prove that it is primary. Raises when it is not."""
        while True:
            if self._admission is Admission.CLOSED or self._ledger is None:
                raise self._around.refusal()
            epoch = self._around.epoch_now()
            if self._admission is Admission.OPEN and epoch is not None:
                return self._ledger, epoch
            await self._pause(_PROOF_RETRY_S)

    async def _durable(self, records: Sequence[Record], epoch: Epoch) -> Epoch:
        """Wait until these records, and all before them, are durable; gives the token under which they
        are.
        """
        if not records and not self._waiting and self._idle.is_set():
            return epoch
        entry = _Entry(records)
        self._enqueue(entry)
        return await entry.done

    # the one task

    async def run(self) -> None:
        """Write what waits and free what silent holders held, until cancelled.

        Raises WentBack when the journal is not the one that was opened: whoever goes on would grant from a
        past.
        """
        while True:
            epoch = self._around.epoch_now()
            if self._admission is not Admission.OPEN or epoch is None:
                await self._pause(_PROOF_RETRY_S if self._waiting else 1.0)
                continue
            self._tick()
            if not self._waiting:
                await self._pause(max(0.01, self._next_tick_s - self._around.now().boottime_s))
                continue
            self._idle.clear()
            try:
                await self._write_group(self._take_group(), epoch)
            finally:
                self._idle.set()

    def _tick(self) -> None:
        now = self._around.now()
        if self._ledger is None or now.boottime_s < self._next_tick_s:
            return
        self._next_tick_s = now.boottime_s + self.heartbeat_timeout_s / _TICKS_PER_TIMEOUT
        freed = self._ledger.expire(now)
        for release in freed:
            wanted = release.holding.wanted
            self._around.log("67-25011", client=wanted.owner, feature=wanted.feature, handle=wanted.handle)
        if freed:
            self._waiting.append(_unawaited(freed))
        self._tell_expired(self._ledger, now)

    def _tell_expired(self, ledger: Ledger, now: Moment) -> None:
        """Say once that something expired while it is held (B-42)."""
        pools = self._license.pools if self._license else None
        if pools is None:
            return
        names = {holding.wanted.feature for holding in ledger.holdings} - self._expired_told
        for name in sorted(names):
            if pools.of(name) and not any(pool.is_valid_on(now.day) for pool in pools.of(name)):
                self._around.log("67-25012", feature=name, used=ledger.held_of(name))
                self._expired_told |= {name}

    def _take_group(self) -> list[_Entry]:
        group, records = list[_Entry](), 0
        while self._waiting and (not group or records + len(self._waiting[0].records) <= GROUP_RECORDS):
            group.append(self._waiting.popleft())
            records += len(group[-1].records)
        return group

    async def _write_group(self, group: list[_Entry], epoch: Epoch) -> None:
        records = [record for entry in group for record in entry.records]
        tenure = self._ledger
        try:
            await self._append_surely(records, epoch)
        except Fenced:
            if self._ledger is tenure:
                self.close()
            _fail_all(group, self._around.refusal())
        except _GaveUp:
            _fail_all(
                group, OutcomeUnknownError("the journal does not answer: repeat it under the same handle")
            )
        except BaseException:
            _fail_all(group, OutcomeUnknownError("the License Manager ends: repeat it under the same handle"))
            raise
        else:
            if self._ledger is tenure:
                self.last += len(records)
            for entry in group:
                _succeed(entry, epoch)

    async def _append_surely(self, records: Sequence[Record], epoch: Epoch) -> None:
        """Append, asking again as long as the database does not answer and this tenure lasts.

        The last transaction of a database that did not answer may have been committed, or may be yet; the
        journal's end tells.
        """
        tenure, last, doubtful = self._ledger, self.last, False
        append = functools.partial(
            self._journal.append, records, epoch=epoch, history_id=self._history_id, first=last + 1
        )
        while records:
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, append)
            except StoreUnreachable as error:
                if self.reachable:
                    self._around.log("67-25013", detail=error)
                self.reachable, doubtful = False, True
            except WentBack as error:
                if not (doubtful and error.last == last + len(records)):
                    self._around.log("67-25015", detail=error)
                    raise
                break
            else:
                break
            await asyncio.sleep(RETRY_S)
            if self._ledger is not tenure or tenure is None:
                raise _GaveUp
        self._reached()

    def _reached(self) -> None:
        if not self.reachable:
            self.reachable = True
            self._around.log("67-25014")

    # waiting

    def _enqueue(self, entry: _Entry) -> None:
        self._waiting.append(entry)
        self._changed.set()

    def _become(self, admission: Admission) -> None:
        self._admission = admission
        self._changed.set()

    async def _pause(self, timeout_s: float) -> None:
        """Wait for a change, at most so long. (`asyncio.wait_for` of Python 3.11 can lose a cancellation here.)"""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()


class _GaveUp(Exception):
    """The role went elsewhere while a database did not answer."""


def _unawaited(records: Sequence[Record]) -> _Entry:
    """Make an entry for whose end nobody waits; its failure is no one's."""
    entry = _Entry(records)
    entry.done.add_done_callback(lambda done: done.cancelled() or done.exception())
    return entry


def _fail_all(entries: Iterable[_Entry], error: ConfservError) -> None:
    for entry in entries:
        _fail(entry, error)


def _fail(entry: _Entry, error: ConfservError) -> None:
    if not entry.done.done():
        entry.done.set_exception(error)


def _succeed(entry: _Entry, result: Any) -> None:
    if not entry.done.done():
        entry.done.set_result(result)
