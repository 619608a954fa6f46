"""The agent's machine: events in, effects out, the time as an argument.

Of every exit the leases come first: their revocation is what a successor waits for (P-2). The machine does not
promise that a process is alive because it stands here; only that, when its exit is told, exactly its leases
are revoked, and nobody else's. Effects are carried out in the order given.
"""

from __future__ import annotations

import signal
from dataclasses import replace

from local_agent.core.applications import Applications
from local_agent.core.model import (
    ApplicationName,
    Configured,
    Debt,
    Durable,
    Effect,
    Event,
    Exited,
    Heard,
    Instant,
    KillOrdered,
    Log,
    ProcessKey,
    Ready,
    Registered,
    Report,
    Reported,
    Revoke,
    Revoked,
    Save,
    Signal,
    Spawned,
    SpawnFailed,
    StartOrdered,
    StopOrdered,
    Tick,
    Watch,
    Watched,
)

PAUSE_S = 1.0
"""A tick that comes so much later than the one before it, in seconds, means that the agent itself was stopped: its own
silence is not held against the processes."""

ADOPTION_GRACE_S = 30.0
"""Time that processes get, in seconds, to send heartbeats again after the agent has restarted."""


class Machine:
    """All that one agent knows. Give it every event in its order, and carry out what it answers.

    `applications` is for reading.
    """

    def __init__(self) -> None:
        self.applications = Applications()
        self._watched: dict[ProcessKey, Watched] = {}
        self._debts: dict[ProcessKey, Debt] = {}
        self._last_tick_s: float | None = None

    def watched(self, process: ProcessKey) -> Watched | None:
        """Give what stands about a process; None when it is not watched (any more)."""
        return self._watched.get(process)

    def durable(self) -> Durable:
        """Give what has to survive the agent's own restart."""
        return Durable(tuple(self._watched.values()), tuple(self._debts.values()), self.applications.wanted())

    def restore(self, durable: Durable, now: Instant) -> list[Effect]:
        """Take up the list of a former life: watch again, pay what is owed. Call it once, before any event."""
        self.applications.restore(durable.wanted, now)
        effects: list[Effect] = []
        for entry in durable.watched:
            self._watched[entry.process] = replace(entry, heard_s=now.boottime_s + ADOPTION_GRACE_S)
            effects += self.applications.appeared(entry.application, entry.process, now)
            effects.append(Watch(entry.process))
        for debt in durable.debts:
            self._debts[debt.process] = debt
            effects += _payments(debt)
        return effects

    def step(self, event: Event, now: Instant) -> list[Effect]:
        """Take one event and say what is to be done, in order."""
        match event:
            case Registered():
                return self._registered(event, now)
            case Heard(process):
                return self._heard(process, now)
            case Exited():
                return self._exited(event, now)
            case KillOrdered():
                return self._kill(event)
            case Revoked(process, lease_id):
                return self._paid(process, lease_id=lease_id)
            case Reported(process):
                return self._paid(process, report=True)
            case Spawned():
                return self._spawned(event, now)
            case Tick():
                return self._tick(now)
            case _:
                return self._step_application(event, now)

    def _step_application(
        self, event: SpawnFailed | Ready | StartOrdered | StopOrdered | Configured, now: Instant
    ) -> list[Effect]:
        match event:
            case SpawnFailed(name, reason):
                return self.applications.spawn_failed(name, reason, now)
            case Ready(name):
                return self.applications.ready(name, now)
            case StartOrdered(name):
                return self.applications.start(name, now)
            case StopOrdered(name):
                return self.applications.stop(name, now)
            case Configured(specs):
                return self.applications.configured(specs)

    def _registered(self, event: Registered, now: Instant) -> list[Effect]:
        known = self._watched.get(event.process)
        leases = dict.fromkeys([*(known.lease_ids if known else ()), *event.lease_ids])
        self._watched[event.process] = Watched(
            event.process, event.application, event.component, tuple(leases), event.hang_timeout_s,
            now.boottime_s,
        )  # fmt: skip
        effects: list[Effect] = [] if known else [Watch(event.process)]
        effects += self.applications.appeared(event.application, event.process, now)
        if known is None or known.component != event.component:
            effects.append(_log("68-25010", event.process, event.application))
        return [*effects, Save()]

    def _heard(self, process: ProcessKey, now: Instant) -> list[Effect]:
        if process in self._watched:
            self._watched[process] = replace(self._watched[process], heard_s=now.boottime_s)
        return []

    def _exited(self, event: Exited, now: Instant) -> list[Effect]:
        entry = self._watched.pop(event.process, None)
        if entry is None:
            return []
        debt = Debt(entry.process, entry.application, entry.lease_ids)
        self._debts[entry.process] = debt
        log = _log("68-25011", event.process, entry.application, detail=_said(event.status))
        ended = self.applications.exited(entry.application, event.process, event.status, now)
        return [*_payments(debt), log, *ended, Save()]

    def _spawned(self, event: Spawned, now: Instant) -> list[Effect]:
        registered = event.process in self._watched  # it may be quicker than the news of its own birth
        effects: list[Effect] = []
        if not registered:
            self._watched[event.process] = Watched(event.process, event.application)
            effects.append(Watch(event.process))
        effects.append(_log("68-25014", event.process, event.application))
        effects += self.applications.spawned(event.application, event.process, now, registered=registered)
        return [*effects, Save()]

    def _kill(self, event: KillOrdered) -> list[Effect]:
        entry = self._watched.get(event.process)
        if entry is None:
            return []
        log = _log("68-25013", event.process, entry.application, by=event.by, detail=event.reason)
        return [Signal(event.process, signal.SIGKILL), log]

    def _paid(
        self, process: ProcessKey, *, lease_id: int | None = None, report: bool = False
    ) -> list[Effect]:
        debt = self._debts.get(process)
        if debt is None:
            return []
        left = tuple(lease for lease in debt.lease_ids if lease != lease_id)
        debt = replace(debt, lease_ids=left, report=debt.report and not report)
        if debt.lease_ids or debt.report:
            self._debts[process] = debt
        else:
            del self._debts[process]
        return [Save()]

    def _tick(self, now: Instant) -> list[Effect]:
        late_s = 0.0 if self._last_tick_s is None else now.boottime_s - self._last_tick_s
        self._last_tick_s = now.boottime_s
        effects: list[Effect] = []
        for entry in list(self._watched.values()):
            if late_s > PAUSE_S:
                entry = replace(entry, heard_s=entry.heard_s + late_s)
                self._watched[entry.process] = entry
            effects += self._hang(entry, now)
        return [*effects, *self.applications.overdue(now)]

    def _hang(self, entry: Watched, now: Instant) -> list[Effect]:
        silent_s = now.boottime_s - entry.heard_s
        if not entry.hang_timeout_s or silent_s <= entry.hang_timeout_s:
            return []
        self._watched[entry.process] = replace(entry, heard_s=now.boottime_s)
        log = _log("68-25012", entry.process, entry.application, silent_s=round(silent_s, 1))
        return [Signal(entry.process, signal.SIGKILL), log]


def _payments(debt: Debt) -> list[Effect]:
    effects: list[Effect] = []
    if debt.lease_ids:
        effects.append(Revoke(debt.process, debt.lease_ids))
    if debt.report:
        effects.append(Report(debt.process))
    return effects


def _log(number: str, process: ProcessKey, application: ApplicationName, **attributes: object) -> Log:
    return Log(number, {"client": application, "pid": process.pid, **attributes})


def _said(status: int | None) -> str:
    if status is None:
        return "status unknown"
    return f"signal {-status}" if status < 0 else f"status {status}"
