"""The agent's words on the wire, and back."""

from __future__ import annotations

from confapi.control.v1 import agent_pb2
from confapi.ha.v1 import ha_pb2
from local_agent.core.model import Application, ApplicationName, ProcessKey, Registered, RunState, Watched

_STATES = {
    RunState.STOPPED: agent_pb2.RUN_STATE_STOPPED,
    RunState.STARTING: agent_pb2.RUN_STATE_STARTING,
    RunState.RUNNING: agent_pb2.RUN_STATE_RUNNING,
    RunState.STOPPING: agent_pb2.RUN_STATE_STOPPING,
    RunState.FAILED: agent_pb2.RUN_STATE_FAILED,
}


def key_of(process: ha_pb2.ProcessIdentity) -> ProcessKey:
    """A process from the wire."""
    return ProcessKey(process.host, process.boot_id, process.pid, process.start_time_ticks)


def identity_of(process: ProcessKey) -> ha_pb2.ProcessIdentity:
    """A process for the wire."""
    return ha_pb2.ProcessIdentity(
        host=process.host,
        boot_id=process.boot_id,
        pid=process.pid,
        start_time_ticks=process.start_time_ticks,
    )


def claim_of(request: agent_pb2.RegisterProcessRequest) -> Registered:
    """What a process says of itself when it registers."""
    return Registered(
        process=key_of(request.process),
        application=ApplicationName(request.application),
        component=request.component,
        lease_ids=tuple(request.lease_ids),
        hang_timeout_s=request.hang_timeout_ms / 1000,
    )


def process_message(application: Application, watched: Watched | None) -> agent_pb2.AgentProcess:
    """An application as the agent shows it; `watched` is what stands about its process."""
    return agent_pb2.AgentProcess(
        application=application.name,
        state=_STATES[application.state],
        process=identity_of(application.process) if application.process is not None else None,
        exit_status=application.exit_status,
        restarts=application.restarts,
        lease_ids=watched.lease_ids if watched is not None else (),
        changed_ms=application.changed_ms,
    )
