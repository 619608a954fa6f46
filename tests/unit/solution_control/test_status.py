"""What is shown of an application, row by row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from solution_control.core.model import (
    NO_HOST,
    AgentReport,
    Application,
    ApplicationName,
    Host,
    HostName,
    Observations,
    RunState,
    Status,
)
from solution_control.core.status import AGENT_TYPE, status_of

NAME = ApplicationName("voice-1")
HERE = HostName("host-1")
APP = Application(NAME, "APPLICATION_TYPE_GENERIC_SERVER", HERE)
AGENT = {HERE: Host(HERE, "127.0.0.1:7000")}


def seen(
    state: RunState | None = None, *, reachable: bool = True, connected: bool | None = False, role: str = ""
) -> Observations:
    states = {} if state is None else {NAME: state}
    report = AgentReport(reachable, "" if reachable else "connection refused", states if reachable else {})
    sessions = None if connected is None else frozenset({NAME} if connected else ())
    return Observations(AGENT, {HERE: report}, sessions, {NAME: role} if role else {})


@pytest.mark.parametrize(
    ("application", "observed", "state", "says"),
    [
        pytest.param(APP, seen(RunState.RUNNING), RunState.RUNNING, "", id="what its agent says"),
        pytest.param(APP, seen(RunState.STARTING), RunState.STARTING, "", id="it is starting"),
        pytest.param(
            APP, seen(RunState.STARTING, connected=True), RunState.STARTING, "", id="the agent knows best"
        ),
        pytest.param(APP, seen(RunState.FAILED), RunState.FAILED, "", id="it has failed"),
        pytest.param(
            replace(APP, application_type=AGENT_TYPE), seen(), RunState.RUNNING, "", id="the agent itself"
        ),
        pytest.param(APP, seen(), RunState.STOPPED, "", id="an application that its agent does not run"),
        pytest.param(
            APP,
            seen(connected=True),
            RunState.RUNNING,
            "does not watch it; it holds a session",
            id="started by somebody else",
        ),
        pytest.param(
            APP, seen(role="backup"), RunState.RUNNING, "member of its pair", id="a member of a pair answers"
        ),
        pytest.param(
            APP,
            seen(reachable=False),
            RunState.UNKNOWN,
            "cannot be reached: connection refused",
            id="an agent that cannot be reached says nothing, not that it has stopped",
        ),
        pytest.param(
            APP,
            seen(reachable=False, connected=True),
            RunState.RUNNING,
            "session",
            id="a session shows that it runs",
        ),
        pytest.param(
            APP,
            seen(reachable=False, connected=None),
            RunState.UNKNOWN,
            "Configuration Server does not say either",
            id="nobody says anything",
        ),
        pytest.param(replace(APP, host=NO_HOST), seen(), RunState.UNKNOWN, "no host is set", id="no host"),
        pytest.param(
            replace(APP, host=HostName("h9")),
            seen(),
            RunState.UNKNOWN,
            "has no agent",
            id="a host without agent",
        ),
    ],
)
def test_the_state_is(application: Application, observed: Observations, state: RunState, says: str) -> None:
    found = status_of(application, observed)
    assert (state, True) == (found.state, says in found.detail)


def test_connection_and_role_are_shown_beside_the_state() -> None:
    assert Status(APP, RunState.RUNNING, True, "primary") == status_of(
        APP, seen(RunState.RUNNING, connected=True, role="primary")
    )
