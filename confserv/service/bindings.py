"""The License Reporting Managers that are bound to this primary: the shell around `core/binding.py`.

It reads the clock, carries out the effects, and lets streams wait for their turn. The stage that it shows is the
database's: in memory it changes only after the commit (B-12).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable

import structlog

from confkit.clock import Clock
from confkit.election.ports import StoreUnreachable
from confkit.events import EventLog
from confserv.core import binding as core
from confserv.core.stage import Stage
from confserv.service.background import Background
from confserv.service.gate import Gate
from confserv.state_ports import Deployment, DeploymentChange, DeploymentStore, Fenced, Tenure

_LOOK_S = 0.2
_log = structlog.get_logger()


class LrmBindings:
    """Who is bound, in which stage this deployment is, and since when nobody is bound."""

    def __init__(
        self,
        *,
        store: DeploymentStore,
        gate: Gate,
        rules: core.BindingRules,
        events: EventLog,
        clock: Clock,
        on_fenced: Callable[[Fenced], None],
    ) -> None:
        """Begin as a server that is not primary; `on_fenced` is told when the fence row refuses a write."""
        self._store = store
        self._gate = gate
        self._rules = rules
        self._events = events
        self._clock = clock
        self._on_fenced = on_fenced
        self._state = core.Binding()
        self._tenure: Tenure | None = None
        self._answers: dict[core.Bond, asyncio.Future[bool]] = {}
        self._streams = itertools.count(1)
        self._background = Background()

    @property
    def stage(self) -> Stage:
        """The startup stage as last read or committed."""
        return self._state.stage

    @property
    def instances(self) -> tuple[str, ...]:
        """The names of the LRMs that are bound now."""
        return self._state.instances

    @property
    def away_since_ms(self) -> int:
        """Since when no LRM is bound, in milliseconds since 1970 UTC; 0 when one is, or none ever was (B-24)."""
        return self._state.away_since_ms

    def configure(self, rules: core.BindingRules) -> None:
        """Go on under new settings."""
        self._rules = rules

    def promoted(self, tenure: Tenure, deployment: Deployment) -> None:
        """Begin a tenure with what the database says (B-15)."""
        self._tenure = tenure
        self._tell(core.Promoted(deployment.stage, deployment.lrm_away_since_ms))

    def demoted(self) -> None:
        """End the tenure: nothing is logged, and bonds are forgotten (B-22)."""
        self._tell(core.Demoted())
        self._tenure = None

    def followed(self, deployment: Deployment) -> None:
        """Show what the database says, while another server is primary."""
        if self._tenure is None:
            self._state = core.Binding(stage=deployment.stage, away_since_ms=deployment.lrm_away_since_ms)

    @contextlib.asynccontextmanager
    async def bond(self, instance: str) -> AsyncIterator[Tenure]:
        """Be bound for the time of the block, and give the tenure of the primary (B-20, B-21).

        Raises NotPrimaryError, NoPrimaryError.
        """
        tenure = await self._gate.passage()
        bond = core.Bond(instance, next(self._streams))
        self._answers[bond] = asyncio.get_running_loop().create_future()
        try:
            self._tell(core.Asked(bond))
            if not await self._answers[bond]:
                raise self._gate.refusal()
            yield tenure
        finally:
            del self._answers[bond]
            self._tell(core.Lost(bond))

    async def run(self) -> None:
        """Look at the time, for ever (B-23)."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._gate.tenure is not None:
                self._tell(core.Tick())

    def _tell(self, event: core.Event) -> None:
        self._state, effects = core.step(
            self._state,
            event,
            now_s=self._clock.boottime_s(),
            now_ms=self._clock.wall_ms(),
            rules=self._rules,
        )
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: core.Effect) -> None:
        match effect:
            case core.Accept(bond):
                self._answer(bond, accepted=True)
            case core.Refuse(bond):
                self._answer(bond, accepted=False)
            case core.LogEvent(event, instance):
                self._events.emit(event, **({"instance": instance} if instance else {}))
            case core.CommitOperational():
                self._background.start(self._commit_stage(self._tenure))
            case core.KeepAwaySince(away_since_ms):
                self._background.start(self._keep_away_since(self._tenure, away_since_ms))

    def _answer(self, bond: core.Bond, *, accepted: bool) -> None:
        answer = self._answers.get(bond)
        if answer is not None and not answer.done():
            answer.set_result(accepted)

    async def _commit_stage(self, tenure: Tenure | None) -> None:
        kept = await self._keep(tenure, DeploymentChange(lrm_seen_ms=self._clock.wall_ms()))
        if tenure == self._tenure:
            self._tell(core.StageCommitted() if kept else core.StageNotCommitted())

    async def _keep_away_since(self, tenure: Tenure | None, away_since_ms: int) -> None:
        await self._keep(tenure, DeploymentChange(lrm_away_since_ms=away_since_ms))

    async def _keep(self, tenure: Tenure | None, change: DeploymentChange) -> bool:
        if tenure is None:
            return False
        try:
            await self._store.change_deployment(tenure, change)
        except Fenced as fenced:
            self._on_fenced(fenced)
            return False
        except StoreUnreachable as error:
            _log.warning("cannot keep the state of LRM", error=str(error))
            return False
        return True
