"""The words of the agent: processes, applications, what happens to them, and what is to be done.

Why it exists: the machine takes events and gives effects; adapters make the one and carry out the other. A
process is named by host, boot, number and start time together, so that nobody ever acts on another one that
got its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NewType

ApplicationName = NewType("ApplicationName", str)
"""Name of an Application object."""


@dataclass(frozen=True, slots=True)
class Instant:
    """Now: `boottime_s` is CLOCK_BOOTTIME in seconds, for deadlines; `wall_ms` is UTC in milliseconds, for
    people.
    """

    boottime_s: float
    wall_ms: int


@dataclass(frozen=True, slots=True, order=True)
class ProcessKey:
    """One process for ever: `start_time_ticks` is field 22 of /proc/PID/stat."""

    host: str
    boot_id: str
    pid: int
    start_time_ticks: int


class RunState(Enum):
    """State of an application on this host."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


class Readiness(Enum):
    """When a started application counts as running."""

    NOTIFY = "notify"
    """It has said READY=1 (NOTIFY_SOCKET), or registered with the agent."""
    SPAWN = "spawn"
    """At once: for programs that do neither."""


@dataclass(frozen=True, slots=True)
class ApplicationSpec:
    """How an application of this host is run, from its Application object. No shell is involved.

    `startup_timeout_s` is the time within which it must be ready, `shutdown_timeout_s` what it gets to stop.
    """

    name: ApplicationName
    command_line: str
    arguments: tuple[str, ...] = ()
    working_directory: str = ""
    enabled: bool = True
    auto_restart: bool = False
    startup_timeout_s: float = 90.0
    shutdown_timeout_s: float = 90.0
    readiness: Readiness = Readiness.NOTIFY


@dataclass(frozen=True, slots=True)
class Watched:
    """A process whose exit the agent waits for, and what it does then.

    `hang_timeout_s` is the time without a heartbeat after which it is killed, 0 for never; `heard_s` is when
    the last one came, in seconds of CLOCK_BOOTTIME.
    """

    process: ProcessKey
    application: ApplicationName
    component: str = ""
    lease_ids: tuple[int, ...] = ()
    hang_timeout_s: float = 0.0
    heard_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Application:
    """An application as the agent knows it.

    `wanted` is whether somebody ordered it to run here; `restarts` counts starts after failures since the
    order; `deadline_s` is when the state has to have changed, or, when failed, when it is started again.
    """

    name: ApplicationName
    state: RunState = RunState.STOPPED
    process: ProcessKey | None = None
    wanted: bool = False
    exit_status: int = 0
    restarts: int = 0
    changed_ms: int = 0
    since_s: float = 0.0
    deadline_s: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Debt:
    """What is still owed for a process that has exited: leases to revoke, the report to the Configuration
    Server.
    """

    process: ProcessKey
    application: ApplicationName
    lease_ids: tuple[int, ...] = ()
    report: bool = True


@dataclass(frozen=True, slots=True)
class Durable:
    """What the agent keeps on disk for its own restart."""

    watched: tuple[Watched, ...] = ()
    debts: tuple[Debt, ...] = ()
    wanted: Mapping[ApplicationName, int] = field(default_factory=dict)
    """Applications that were ordered to run, with their restarts so far."""


# what happens


@dataclass(frozen=True, slots=True)
class Registered:
    """A process has proved who it is and asks to be watched."""

    process: ProcessKey
    application: ApplicationName
    component: str = ""
    lease_ids: tuple[int, ...] = ()
    hang_timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Heard:
    """A heartbeat of a registered process."""

    process: ProcessKey


@dataclass(frozen=True, slots=True)
class Exited:
    """Exactly this process is gone. `status` is its exit status, minus the signal's number, or None when it is
    not our child.
    """

    process: ProcessKey
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Spawned:
    """The process that `Spawn` asked for exists."""

    application: ApplicationName
    process: ProcessKey


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The process that `Spawn` asked for could not be made."""

    application: ApplicationName
    reason: str


@dataclass(frozen=True, slots=True)
class Ready:
    """An application that the agent started says that it is ready."""

    application: ApplicationName


@dataclass(frozen=True, slots=True)
class StartOrdered:
    """Somebody who may wants the application to run."""

    application: ApplicationName


@dataclass(frozen=True, slots=True)
class StopOrdered:
    """Somebody who may wants the application to stop."""

    application: ApplicationName


@dataclass(frozen=True, slots=True)
class KillOrdered:
    """A successor that may wants a registered process dead."""

    process: ProcessKey
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Configured:
    """The applications of this host, from the configuration."""

    specs: Mapping[ApplicationName, ApplicationSpec]


@dataclass(frozen=True, slots=True)
class Revoked:
    """etcd has no such lease any more."""

    process: ProcessKey
    lease_id: int


@dataclass(frozen=True, slots=True)
class Reported:
    """The Configuration Server knows that the process is gone."""

    process: ProcessKey


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = (
    Registered
    | Heard
    | Exited
    | Spawned
    | SpawnFailed
    | Ready
    | StartOrdered
    | StopOrdered
    | KillOrdered
    | Configured
    | Revoked
    | Reported
    | Tick
)

# what is to be done


@dataclass(frozen=True, slots=True)
class Watch:
    """Open a pidfd on it; say Exited when it is gone, or already was."""

    process: ProcessKey


@dataclass(frozen=True, slots=True)
class Revoke:
    """Revoke these leases in etcd now, and again until it is done; say Revoked for each."""

    process: ProcessKey
    lease_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the Configuration Server, again until it has accepted; say Reported."""

    process: ProcessKey


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start the program; say Spawned or SpawnFailed, and Ready when it says so."""

    spec: ApplicationSpec


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal to exactly this process."""

    process: ProcessKey
    number: int


@dataclass(frozen=True, slots=True)
class Log:
    """Log an event of the catalogue."""

    number: str
    attributes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Tell:
    """An application has changed: tell whoever follows."""

    application: ApplicationName


@dataclass(frozen=True, slots=True)
class Save:
    """Keep `Machine.durable()` on disk."""


Effect = Watch | Revoke | Report | Spawn | Signal | Log | Tell | Save
