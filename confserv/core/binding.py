"""The bond between the License Reporting Manager and the primary: what is logged when, and when the stage
moves.

Why it exists: B-20 to B-24 are a dozen small rules about one number, and each is somebody's alarm. A pure
`step`: state and event in, state and effects out. The texts of the events stand in the catalogue. Guards and
timeouts count seconds of CLOCK_BOOTTIME (`now_s`); how long an LRM has been away survives restarts, so it is
wall time (`now_ms`). It does not promise that the stage is committed: it asks for it, and waits to be told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from confserv.core.stage import Stage

CONNECTED_EVENT = "21-25100"
DISCONNECTED_EVENT = "21-25102"


@dataclass(frozen=True, slots=True)
class BindingRules:
    """Settings `lrm-connect-timeout` (seconds) and `lrm-monitoring` (B-21, B-23)."""

    connect_timeout_s: float = 30.0
    monitoring: bool = True


@dataclass(frozen=True, slots=True, order=True)
class Bond:
    """One stream of one LRM instance; a second stream of the same instance is another bond."""

    instance: str
    stream: int


@dataclass(frozen=True, slots=True)
class Promoted:
    """This server became primary; stage and `away_since_ms` (0: not known to be away) are the database's."""

    stage: Stage
    away_since_ms: int = 0


@dataclass(frozen=True, slots=True)
class Demoted:
    """This server is no longer primary: it forgets its bonds and logs nothing (B-22)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An LRM asks to be bound."""

    bond: Bond


@dataclass(frozen=True, slots=True)
class Lost:
    """The stream of a bond has ended, for whatever reason."""

    bond: Bond


@dataclass(frozen=True, slots=True)
class StageCommitted:
    """The database holds OPERATIONAL, committed under this primary's token."""


@dataclass(frozen=True, slots=True)
class StageNotCommitted:
    """The commit failed; who waits for it is refused and will come again."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = Promoted | Demoted | Asked | Lost | StageCommitted | StageNotCommitted | Tick


@dataclass(frozen=True, slots=True)
class Accept:
    """Tell this LRM that it is bound."""

    bond: Bond


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell this LRM that this server cannot bind it now."""

    bond: Bond


@dataclass(frozen=True, slots=True)
class CommitOperational:
    """Write the stage to the database under the primary's token; answer with StageCommitted or its opposite."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Log this event of the catalogue."""

    event: str
    instance: str = ""


@dataclass(frozen=True, slots=True)
class KeepAwaySince:
    """Write since when no LRM is bound, in milliseconds since 1970 UTC; 0 for "one is" (B-24)."""

    away_since_ms: int


Effect = Accept | Refuse | CommitOperational | LogEvent | KeepAwaySince


@dataclass(frozen=True, slots=True)
class Binding:
    """What a Configuration Server knows of its LRMs; the initial value is a server that is not primary."""

    is_primary: bool = False
    stage: Stage = Stage.FIRST_STARTUP
    promoted_s: float = 0.0
    bound: frozenset[Bond] = frozenset()
    waiting: frozenset[Bond] = frozenset()
    loss_logged: bool = False
    """Whether this tenure has logged a disconnection, or needs not log one, until the next bond."""
    away_since_ms: int = 0

    @property
    def instances(self) -> tuple[str, ...]:
        """The names of the LRM instances that are bound now."""
        return tuple(sorted({bond.instance for bond in self.bound}))


Step = tuple[Binding, tuple[Effect, ...]]


def step(state: Binding, event: Event, *, now_s: float, now_ms: int, rules: BindingRules) -> Step:
    """Give the state after `event`, and what to do about it, in order."""
    match event:
        case Promoted():
            return _promoted(event, now_s=now_s, now_ms=now_ms)
        case Demoted():
            gone = state.waiting
            return replace(Binding(), stage=state.stage), tuple(map(Refuse, sorted(gone)))
        case Asked(bond):
            return _asked(state, bond, rules=rules)
        case Lost(bond):
            return _lost(state, bond, now_ms=now_ms, rules=rules)
        case StageCommitted():
            operational = replace(state, stage=Stage.OPERATIONAL, waiting=frozenset())
            return _bind(operational, sorted(state.waiting), rules=rules)
        case StageNotCommitted():
            return replace(state, waiting=frozenset()), tuple(map(Refuse, sorted(state.waiting)))
        case Tick():
            return _tick(state, now_s=now_s, rules=rules)


def deadline_s(state: Binding, *, rules: BindingRules) -> float | None:
    """Give the time, in seconds, at which a Tick has something to do; None when never."""
    if not state.is_primary or state.bound or state.loss_logged or state.stage is Stage.FIRST_STARTUP:
        return None
    return state.promoted_s + rules.connect_timeout_s


def _promoted(event: Promoted, *, now_s: float, now_ms: int) -> Step:
    away = event.away_since_ms if event.stage is Stage.OPERATIONAL else 0
    effects: tuple[Effect, ...] = ()
    if event.stage is Stage.OPERATIONAL and away == 0:
        away = now_ms
        effects = (KeepAwaySince(away),)
    fresh = Binding(is_primary=True, stage=event.stage, promoted_s=now_s, away_since_ms=away)
    return fresh, effects


def _asked(state: Binding, bond: Bond, *, rules: BindingRules) -> Step:
    if not state.is_primary:
        return state, (Refuse(bond),)
    if state.stage is Stage.OPERATIONAL:
        return _bind(state, [bond], rules=rules)
    effects: tuple[Effect, ...] = () if state.waiting else (CommitOperational(),)
    return replace(state, waiting=state.waiting | {bond}), effects


def _bind(state: Binding, bonds: Iterable[Bond], *, rules: BindingRules) -> Step:
    bonds = tuple(bonds)
    if not bonds:
        return state, ()
    bound = replace(state, bound=state.bound | set(bonds))
    accepted: tuple[Effect, ...] = tuple(map(Accept, bonds))
    if state.bound:
        return bound, accepted
    logged = (LogEvent(CONNECTED_EVENT, bonds[0].instance),) if rules.monitoring else ()
    kept = (KeepAwaySince(0),) if state.away_since_ms else ()
    return replace(bound, loss_logged=False, away_since_ms=0), (*logged, *accepted, *kept)


def _lost(state: Binding, bond: Bond, *, now_ms: int, rules: BindingRules) -> Step:
    if bond in state.waiting:
        return replace(state, waiting=state.waiting - {bond}), ()
    if bond not in state.bound:
        return state, ()
    left = replace(state, bound=state.bound - {bond})
    if left.bound:
        return left, ()
    logged = (LogEvent(DISCONNECTED_EVENT, bond.instance),) if rules.monitoring else ()
    away = replace(left, loss_logged=True, away_since_ms=now_ms)
    return away, (*logged, KeepAwaySince(now_ms))


def _tick(state: Binding, *, now_s: float, rules: BindingRules) -> Step:
    due = deadline_s(state, rules=rules)
    if due is None or now_s < due:
        return state, ()
    logged = (LogEvent(DISCONNECTED_EVENT),) if rules.monitoring else ()
    return replace(state, loss_logged=True), logged
