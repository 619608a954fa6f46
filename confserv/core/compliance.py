"""Compliance: one state that everything shows alike, and the log events that go with its changes.

Why it exists: what is wrong, when it is said, how often, and what ends it (B-30, B-32, B-33) is one small
machine over facts that others gather. `assess` is the state; `step` says what the primary logs. What is
raised and not yet cleared is kept in the database (`Announced`), so that the next primary clears what this
one has raised. Repetition counts seconds of CLOCK_BOOTTIME (`now_s`), calendars and absences wall time
(`now_ms`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from confkit.license.terms import LicenseState
from confserv.core.license import LicenseFacts

LOADED_EVENT = "21-25110"
EXPIRED_EVENT = "21-25111"
COMPLIANT_EVENT = "21-25112"
EXPIRES_SOON_EVENT = "21-25113"
ALTERED_EVENT = "21-25114"
CLOCK_BEHIND_EVENT = "21-25115"
CLOCK_RIGHT_EVENT = "21-25116"
LRM_ABSENT_EVENT = "21-25117"
NO_RIGHT_EVENT = "21-25118"
TRUST_DIFFERS_EVENT = "21-25119"
TRUST_AGREES_EVENT = "21-25129"

_CLEARED_BY_LOADING = frozenset({EXPIRES_SOON_EVENT, ALTERED_EVENT})
_CLEARED_BY_COMPLIANCE = frozenset({EXPIRED_EVENT, NO_RIGHT_EVENT})


class Compliance(StrEnum):
    """The state, best first."""

    OK = "OK"
    WARNING = "WARNING"
    FEATURE_EXPIRED = "FEATURE_EXPIRED"
    EXPIRED = "EXPIRED"
    INVALID = "INVALID"


_RANKS = {compliance: rank for rank, compliance in enumerate(Compliance)}


@dataclass(frozen=True, slots=True)
class ComplianceRules:
    """Settings: `license-log-interval` and `lrm-absence-warning` in seconds, days before expiry at which to
    warn, and how far in seconds a clock may be behind the time on record (B-24, B-30, B-32).
    """

    log_interval_s: float = 60.0
    warning_days: tuple[int, ...] = (30, 7, 1)
    absence_warning_s: float = 86_400.0
    clock_tolerance_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at one instant; `license` is None when none is stored. Times in milliseconds."""

    license: LicenseFacts | None
    clock_behind_ms: int = 0
    lrm_away_since_ms: int = 0
    """0 when an LRM is bound, or none ever was."""
    trust_differs: tuple[str, ...] = ()
    """Members whose set of trusted keys is another."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why all is not well; `since_ms` in milliseconds since 1970 UTC, 0 when not known."""

    reason: str
    message: str
    compliance: Compliance
    event: str
    since_ms: int = 0
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assessment:
    """The state and what is behind it (B-33)."""

    compliance: Compliance
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Announced:
    """What primaries have logged so far, kept in the database: the last revision, and the events not yet
    cleared."""

    revision: int = 0
    raised: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Log this event of the catalogue with these attributes."""

    event: str
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Monitor:
    """What the primary remembers between two looks."""

    announced: Announced = Announced()
    repeated_s: float | None = None
    """When the expiry was last logged, in seconds; None in this tenure not yet."""
    warned_days: int | None = None
    """The threshold of days at which the coming expiry was last warned of in this tenure."""


def assess(facts: Facts, *, now_ms: int, rules: ComplianceRules) -> Assessment:
    """Give the state of compliance and each problem, worst first."""
    found = [
        *_license_problems(facts.license),
        *_expiry_warning(facts.license, rules),
        *_clock(facts, rules),
        *_trust(facts),
        *_absence(facts, now_ms=now_ms, rules=rules),
    ]
    found.sort(key=lambda problem: -_RANKS[problem.compliance])
    return Assessment(found[0].compliance if found else Compliance.OK, tuple(found))


def step(
    state: Monitor, facts: Facts, *, now_s: float, now_ms: int, rules: ComplianceRules
) -> tuple[Monitor, tuple[LogEvent, ...]]:
    """Give what the primary logs now, in order: what has ended, what began, what is to be repeated."""
    problems = {problem.event: problem for problem in assess(facts, now_ms=now_ms, rules=rules).problems}
    revision = 0 if facts.license is None else facts.license.revision
    cleared = _clearing(state.announced, revision, frozenset(problems))
    if revision > state.announced.revision:
        state = replace(state, warned_days=None)
    state, begun = _beginning(state, problems, now_s=now_s, rules=rules)
    announced = Announced(max(revision, state.announced.revision), frozenset(problems))
    return replace(state, announced=announced), (*cleared, *begun)


def _clearing(announced: Announced, revision: int, problems: frozenset[str]) -> list[LogEvent]:
    ended = announced.raised - problems
    found = list[LogEvent]()
    if revision > announced.revision or ended & _CLEARED_BY_LOADING:
        found.append(LogEvent(LOADED_EVENT, {"license_revision": revision}))
    if ended & _CLEARED_BY_COMPLIANCE and not problems & _CLEARED_BY_COMPLIANCE:
        found.append(LogEvent(COMPLIANT_EVENT, {"license_revision": revision}))
    if CLOCK_BEHIND_EVENT in ended:
        found.append(LogEvent(CLOCK_RIGHT_EVENT))
    if TRUST_DIFFERS_EVENT in ended:
        found.append(LogEvent(TRUST_AGREES_EVENT))
    return found


def _beginning(
    state: Monitor, problems: Mapping[str, Problem], *, now_s: float, rules: ComplianceRules
) -> tuple[Monitor, list[LogEvent]]:
    found = list[LogEvent]()
    for event, problem in problems.items():
        if event in _CLEARED_BY_COMPLIANCE:
            due = state.repeated_s is None or now_s - state.repeated_s >= rules.log_interval_s
        elif event == EXPIRES_SOON_EVENT:
            days = int(str(problem.attributes["threshold_days"]))
            due = state.warned_days is None or days < state.warned_days
            state = replace(state, warned_days=days)
        else:
            due = event not in state.announced.raised
        if due:
            found.append(LogEvent(event, problem.attributes))
    if any(one.event in _CLEARED_BY_COMPLIANCE for one in found):
        state = replace(state, repeated_s=now_s)
    elif not problems.keys() & _CLEARED_BY_COMPLIANCE:
        state = replace(state, repeated_s=None)
    return state, found


def _license_problems(license_: LicenseFacts | None) -> list[Problem]:
    if license_ is None:
        return [_no_right("no license is stored")]
    if license_.problem:
        message = f"the stored license is altered: {license_.problem}"
        attributes = {"detail": license_.problem, "license_revision": license_.revision}
        return [Problem("LICENSE_ALTERED", message, Compliance.INVALID, ALTERED_EVENT, attributes=attributes)]
    if license_.state is LicenseState.NO_RIGHT_TO_USE:
        return [_no_right(f"license revision {license_.revision} lacks the right to use")]
    if license_.expiry is None:
        return []
    what, since = ", ".join(license_.expiry.features), license_.expiry.since
    state = Compliance.EXPIRED if license_.state is LicenseState.EXPIRED else Compliance.FEATURE_EXPIRED
    return [
        Problem(
            str(state),
            f"{what} has expired, since {since:%Y-%m-%d %H:%M} UTC: load a current license with confserv -license FILE",
            state,
            EXPIRED_EVENT,
            int(since.timestamp() * 1000),
            {"what": what, "since": f"{since:%Y-%m-%dT%H:%M:%SZ}", "state": str(state)}
            | {"license_revision": license_.revision},
        )
    ]


def _no_right(message: str) -> Problem:
    cure = f"{message}: load one that has it with confserv -license FILE"
    return Problem(
        "NO_RIGHT_TO_USE", cure, Compliance.INVALID, NO_RIGHT_EVENT, attributes={"detail": message}
    )


def _expiry_warning(license_: LicenseFacts | None, rules: ComplianceRules) -> list[Problem]:
    days = None if license_ is None else license_.days_left
    reached = [one for one in rules.warning_days if days is not None and days <= one]
    if license_ is None or days is None or not reached:
        return []
    what = ", ".join(license_.expiring)
    attributes = {"feature": what, "days": days, "threshold_days": min(reached)}
    message = f"{what} expires in {days} days: ask the vendor for a new license"
    return [
        Problem("EXPIRES_SOON", message, Compliance.WARNING, EXPIRES_SOON_EVENT, attributes=attributes),
    ]


def _clock(facts: Facts, rules: ComplianceRules) -> list[Problem]:
    behind_s = facts.clock_behind_ms // 1000
    if behind_s <= rules.clock_tolerance_s:
        return []
    message = f"the clock of this server is {behind_s} s behind the highest time on record: set it right"
    attributes = {"behind_s": behind_s}
    return [Problem("CLOCK_BEHIND", message, Compliance.INVALID, CLOCK_BEHIND_EVENT, attributes=attributes)]


def _trust(facts: Facts) -> list[Problem]:
    if not facts.trust_differs:
        return []
    members = ", ".join(facts.trust_differs)
    message = f"{members} trust another set of vendor keys than this server: install the same on all"
    attributes = {"members": members}
    return [Problem("TRUST_DIFFERS", message, Compliance.INVALID, TRUST_DIFFERS_EVENT, attributes=attributes)]


def _absence(facts: Facts, *, now_ms: int, rules: ComplianceRules) -> list[Problem]:
    since_ms = facts.lrm_away_since_ms
    away_s = (now_ms - since_ms) // 1000
    if since_ms == 0 or away_s < rules.absence_warning_s:
        return []
    message = f"no License Reporting Manager has been bound for {away_s} s: start it"
    attributes = {"away_s": away_s}
    return [
        Problem("LRM_ABSENT", message, Compliance.WARNING, LRM_ABSENT_EVENT, since_ms, attributes),
    ]
