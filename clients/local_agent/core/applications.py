"""Start, stop and restart of applications: half of the agent's machine.

What it knows of a process is its key; whose exit is waited for is the other half's (`machine.py`). It does not
promise that a program is well because it runs: readiness is what the program says, a hang is what its missing
heartbeats say.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace

from local_agent.core.model import (
    Application,
    ApplicationName,
    ApplicationSpec,
    Effect,
    Instant,
    Log,
    ProcessKey,
    Readiness,
    RunState,
    Save,
    Signal,
    Spawn,
    Tell,
)
from local_agent.core.restarts import STABLE_AFTER_S, restart_delay_s

_LIVE = (RunState.STARTING, RunState.RUNNING, RunState.STOPPING)


class Applications:
    """The applications of one host, each in one state."""

    def __init__(self) -> None:
        self._applications: dict[ApplicationName, Application] = {}
        self._specs: Mapping[ApplicationName, ApplicationSpec] = {}

    def all(self) -> tuple[Application, ...]:
        """Give every application that is configured here or was seen, by name."""
        return tuple(self.get(name) for name in sorted({*self._applications, *self._specs}))

    def get(self, name: ApplicationName) -> Application:
        """Give one application; an unknown one is stopped."""
        return self._applications.get(name, Application(name))

    def spec(self, name: ApplicationName) -> ApplicationSpec | None:
        """Give how an application of this host is run; None when it is not one of this host."""
        return self._specs.get(name)

    def wanted(self) -> dict[ApplicationName, int]:
        """Give the applications that were ordered to run, with their restarts so far."""
        return {a.name: a.restarts for a in self._applications.values() if a.wanted}

    def restore(self, wanted: Mapping[ApplicationName, int], now: Instant) -> None:
        """Take up the orders of a former life; whatever does not run is started when the configuration is here."""
        for name, restarts in wanted.items():
            self._applications[name] = Application(
                name, RunState.FAILED, wanted=True, restarts=restarts, changed_ms=now.wall_ms,
                deadline_s=now.boottime_s,
            )  # fmt: skip

    def configured(self, specs: Mapping[ApplicationName, ApplicationSpec]) -> list[Effect]:
        """Take the configuration of this host; what runs is not touched by it."""
        changed = {name for name in {*specs, *self._specs} if specs.get(name) != self._specs.get(name)}
        self._specs = dict(specs)
        for name in changed - {*specs}:
            if self.get(name).state not in _LIVE:
                self._applications.pop(name, None)
        return [Tell(name) for name in sorted(changed)]

    def appeared(self, name: ApplicationName, process: ProcessKey, now: Instant) -> list[Effect]:
        """Take a process that registered: its application runs, unless that very process is being stopped."""
        application = self.get(name)
        if application.state is RunState.STOPPING and application.process == process:
            return []
        return self._set(
            replace(application, process=process, deadline_s=None, detail=""), RunState.RUNNING, now
        )

    def ready(self, name: ApplicationName, now: Instant) -> list[Effect]:
        """Take READY=1 of a program that is starting."""
        application = self.get(name)
        if application.state is not RunState.STARTING:
            return []
        return self._set(replace(application, deadline_s=None, detail=""), RunState.RUNNING, now)

    def start(self, name: ApplicationName, now: Instant) -> list[Effect]:
        """Take an order to run. One that is being stopped is started again once it has stopped."""
        application = replace(self.get(name), wanted=True)
        self._applications[name] = application
        spec = self._specs.get(name)
        if application.state in _LIVE or spec is None:
            return [Save()]
        return [*self._spawn(replace(application, restarts=0), spec, now), Save()]

    def stop(self, name: ApplicationName, now: Instant) -> list[Effect]:
        """Take an order to stop: SIGTERM now, SIGKILL when its time is over."""
        application = replace(self.get(name), wanted=False)
        self._applications[name] = application
        effects: list[Effect] = []
        if application.state in (RunState.STARTING, RunState.RUNNING):
            spec = self._specs.get(name) or ApplicationSpec(name, "")
            deadline_s = now.boottime_s + spec.shutdown_timeout_s
            effects += self._set(replace(application, deadline_s=deadline_s), RunState.STOPPING, now)
            if application.process is not None:
                effects.append(Signal(application.process, signal.SIGTERM))
        elif application.state is RunState.FAILED:
            effects += self._set(replace(application, deadline_s=None), RunState.STOPPED, now)
        return [*effects, Save()]

    def spawned(
        self, name: ApplicationName, process: ProcessKey, now: Instant, *, registered: bool
    ) -> list[Effect]:
        """Take the process that a start has made; `registered` when it has registered before."""
        application = replace(self.get(name), process=process)
        if application.state is RunState.STOPPING:
            return [*self._set(application, RunState.STOPPING, now), Signal(process, signal.SIGTERM)]
        spec = self._specs.get(name)
        if registered or (spec is not None and spec.readiness is Readiness.SPAWN):
            return self._set(replace(application, deadline_s=None), RunState.RUNNING, now)
        return self._set(application, RunState.STARTING, now)

    def spawn_failed(self, name: ApplicationName, reason: str, now: Instant) -> list[Effect]:
        """Take it that the program could not be started."""
        log = Log("68-25016", {"client": name, "detail": reason})
        return [log, *self._ended(replace(self.get(name), process=None, detail=reason), now)]

    def exited(
        self, name: ApplicationName, process: ProcessKey, status: int | None, now: Instant
    ) -> list[Effect]:
        """Take the end of a process; one that is no longer the application's changes nothing."""
        application = self.get(name)
        if application.process != process:
            return []
        return self._ended(replace(application, process=None, exit_status=status or 0), now)

    def overdue(self, now: Instant) -> list[Effect]:
        """Do what is due: start again what failed, kill what does not become ready or does not stop."""
        return [
            effect
            for application in list(self._applications.values())
            if application.deadline_s is not None and now.boottime_s >= application.deadline_s
            for effect in self._overdue(application, now)
        ]

    def _ended(self, application: Application, now: Instant) -> list[Effect]:
        spec = self._specs.get(application.name)
        if application.state is RunState.STOPPING:
            effects = self._set(replace(application, deadline_s=None), RunState.STOPPED, now)
            effects.append(Log("68-25015", {"client": application.name}))
            if application.wanted and spec is not None:
                effects += self._spawn(self.get(application.name), spec, now)
            return effects
        if application.state is RunState.RUNNING and now.boottime_s - application.since_s >= STABLE_AFTER_S:
            application = replace(application, restarts=0)
        again = application.wanted and (spec is None or (spec.enabled and spec.auto_restart))
        deadline_s = now.boottime_s + restart_delay_s(application.restarts) if again else None
        return self._set(replace(application, deadline_s=deadline_s), RunState.FAILED, now)

    def _overdue(self, application: Application, now: Instant) -> list[Effect]:
        if application.state is RunState.FAILED:
            return self._restart(application, now)
        self._applications[application.name] = replace(application, deadline_s=None)
        number = "68-25017" if application.state is RunState.STARTING else "68-25018"
        effects: list[Effect] = [Log(number, {"client": application.name})]
        if application.process is not None:
            effects.append(Signal(application.process, signal.SIGKILL))
        return effects

    def _restart(self, application: Application, now: Instant) -> list[Effect]:
        spec = self._specs.get(application.name)
        if spec is None:  # the configuration is not here yet
            return []
        if not (spec.enabled and spec.auto_restart):
            self._applications[application.name] = replace(application, deadline_s=None)
            return []
        application = replace(application, restarts=application.restarts + 1)
        log = Log("68-25019", {"client": application.name, "restarts": application.restarts})
        return [log, *self._spawn(application, spec, now), Save()]

    def _spawn(self, application: Application, spec: ApplicationSpec, now: Instant) -> list[Effect]:
        deadline_s = now.boottime_s + spec.startup_timeout_s
        starting = replace(application, process=None, deadline_s=deadline_s, detail="")
        return [*self._set(starting, RunState.STARTING, now), Spawn(spec)]

    def _set(self, application: Application, state: RunState, now: Instant) -> list[Effect]:
        if application.state is not state:
            application = replace(application, since_s=now.boottime_s)
        self._applications[application.name] = replace(application, state=state, changed_ms=now.wall_ms)
        return [Tell(application.name)]
