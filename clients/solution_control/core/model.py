"""The words of Solution Control: what is configured, what agents say, what is shown.

Why it exists: the status of an application is put together from four sources that may each be silent. Every word
here says whose it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NewType

ApplicationName = NewType("ApplicationName", str)
"""Name of an Application object."""

HostName = NewType("HostName", str)
"""Name of a Host object; "" is no host."""

NO_HOST = HostName("")


class RunState(Enum):
    """State of an application; UNKNOWN when nobody can say."""

    UNKNOWN = "unknown"
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


class Kind(Enum):
    """The application types that are elected pairs, by their names on the wire; all others are none."""

    CONFIGURATION_SERVER = "APPLICATION_TYPE_CONFIGURATION_SERVER"
    LICENSE_REPORTING_MANAGER = "APPLICATION_TYPE_LICENSE_REPORTING_MANAGER"
    LICENSE_MANAGER = "APPLICATION_TYPE_LICENSE_MANAGER"
    MESSAGE_SERVER = "APPLICATION_TYPE_MESSAGE_SERVER"
    SOLUTION_CONTROL_SERVER = "APPLICATION_TYPE_SOLUTION_CONTROL_SERVER"


def kind_of(application_type: str) -> Kind | None:
    """Give the kind of elected pair that a type is, None when it is none."""
    return next((kind for kind in Kind if kind.value == application_type), None)


@dataclass(frozen=True, slots=True)
class Host:
    """A Host object; `agent` is host:port of its agent, "" when it has none."""

    name: HostName
    agent: str


@dataclass(frozen=True, slots=True)
class Application:
    """An Application object, as far as it is controlled. `application_type` is its name on the wire."""

    name: ApplicationName
    application_type: str
    host: HostName = NO_HOST
    endpoints: tuple[str, ...] = ()
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class AgentReport:
    """What one agent said last; `states` are its applications. When it is not reachable, `detail` says why."""

    reachable: bool = False
    detail: str = "it has not answered yet"
    states: Mapping[ApplicationName, RunState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observations:
    """Everything that was seen at about the same time.

    `sessions` are the applications that hold a session, None when the Configuration Server did not say; `roles` are
    primary, backup and so on, of members of elected pairs.
    """

    hosts: Mapping[HostName, Host] = field(default_factory=dict)
    agents: Mapping[HostName, AgentReport] = field(default_factory=dict)
    sessions: frozenset[ApplicationName] | None = None
    roles: Mapping[ApplicationName, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """What is shown of one application; `detail` says why the state is not known, or is only inferred."""

    application: Application
    state: RunState
    connected: bool
    role: str = ""
    detail: str = ""
