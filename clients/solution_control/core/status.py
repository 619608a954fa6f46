"""The state of an application from what its agent, the Configuration Server and its pair say of it.

The agent of its host knows best. Where it is silent, an application that holds a session or answers in its pair
runs, and the detail says how that is known. It is never guessed that something has stopped: an agent that cannot
be reached says nothing about its host.
"""

from __future__ import annotations

from solution_control.core.model import NO_HOST, Application, Observations, RunState, Status

AGENT_TYPE = "APPLICATION_TYPE_LOCAL_CONTROL_AGENT"


def status_of(application: Application, seen: Observations) -> Status:
    """Give the status of one application."""
    connected = seen.sessions is not None and application.name in seen.sessions
    role = seen.roles.get(application.name, "")
    state, detail = _reported(application, seen)
    if state is None:
        state, detail = _inferred(detail, connected=connected, role=role, asked=seen.sessions is not None)
    return Status(application, state, connected, role, detail)


def _reported(application: Application, seen: Observations) -> tuple[RunState | None, str]:
    """What the agent says; None and why, when it says nothing of use."""
    if application.host == NO_HOST:
        return None, "no host is set"
    host = seen.hosts.get(application.host)
    if host is None or not host.agent:
        return None, f"host {application.host} has no agent"
    report = seen.agents.get(application.host)
    if report is None or not report.reachable:
        why = report.detail if report is not None else "it has not answered yet"
        return None, f"the agent of host {application.host} cannot be reached: {why}"
    if application.application_type == AGENT_TYPE:
        return RunState.RUNNING, ""  # it is the agent that answers
    state = report.states.get(application.name, RunState.STOPPED)
    if state in (RunState.STOPPED, RunState.FAILED) and _is_seen(application, seen):
        return None, "its agent does not watch it"
    return state, ""


def _is_seen(application: Application, seen: Observations) -> bool:
    return application.name in (seen.sessions or ()) or application.name in seen.roles


def _inferred(why: str, *, connected: bool, role: str, asked: bool) -> tuple[RunState, str]:
    if role:
        return RunState.RUNNING, f"{why}; it answers as a member of its pair"
    if connected:
        return RunState.RUNNING, f"{why}; it holds a session"
    if not asked:
        return RunState.UNKNOWN, f"{why}; the Configuration Server does not say either"
    return RunState.UNKNOWN, why
