"""SolutionControlService on the wire: messages to orders and back, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc.aio

from confapi.control.v1 import agent_pb2, control_pb2, control_pb2_grpc
from confkit.server import PEOPLE, Policy, caller
from solution_control.control import Control
from solution_control.core.model import ApplicationName, RunState, Status

SERVICE = "confapi.control.v1.SolutionControlService"
POLICY: Policy = {
    f"/{SERVICE}/{method}": PEOPLE
    for method in ("ListApplications", "StartApplication", "StopApplication", "SwitchOverApplication")
}

_STATES = {
    RunState.UNKNOWN: agent_pb2.RUN_STATE_UNSPECIFIED,
    RunState.STOPPED: agent_pb2.RUN_STATE_STOPPED,
    RunState.STARTING: agent_pb2.RUN_STATE_STARTING,
    RunState.RUNNING: agent_pb2.RUN_STATE_RUNNING,
    RunState.STOPPING: agent_pb2.RUN_STATE_STOPPING,
    RunState.FAILED: agent_pb2.RUN_STATE_FAILED,
}

Context = grpc.aio.ServicerContext[Any, Any]


class SolutionControlService(control_pb2_grpc.SolutionControlServiceServicer):
    """Solution Control on its primary. `require_primary` raises where this server is not."""

    def __init__(self, *, control: Control, require_primary: Callable[[], None]) -> None:
        self._control = control
        self._require_primary = require_primary

    async def ListApplications(
        self, request: control_pb2.ListApplicationsRequest, context: Context
    ) -> control_pb2.ListApplicationsResponse:
        """State of all applications."""
        self._require_primary()
        found = await self._control.all()
        return control_pb2.ListApplicationsResponse(applications=[self._message(status) for status in found])

    async def StartApplication(
        self, request: control_pb2.StartApplicationRequest, context: Context
    ) -> control_pb2.StartApplicationResponse:
        """Start an application."""
        self._require_primary()
        status = await self._control.start(ApplicationName(request.application), by=str(caller()))
        return control_pb2.StartApplicationResponse(application=self._message(status))

    async def StopApplication(
        self, request: control_pb2.StopApplicationRequest, context: Context
    ) -> control_pb2.StopApplicationResponse:
        """Stop an application."""
        self._require_primary()
        status = await self._control.stop(ApplicationName(request.application), by=str(caller()))
        return control_pb2.StopApplicationResponse(application=self._message(status))

    async def SwitchOverApplication(
        self, request: control_pb2.SwitchOverApplicationRequest, context: Context
    ) -> control_pb2.SwitchOverApplicationResponse:
        """Switch an elected pair over."""
        self._require_primary()
        switched = await self._control.switch_over(
            ApplicationName(request.application),
            to=ApplicationName(request.to),
            reason=request.reason,
            by=str(caller()),
        )
        return control_pb2.SwitchOverApplicationResponse(
            primary=switched.primary, duration_ms=switched.duration_ms
        )

    def _message(self, status: Status) -> control_pb2.ApplicationStatus:
        application = status.application
        return control_pb2.ApplicationStatus(
            application=application.name,
            application_type=application.application_type,
            host=application.host,
            state=_STATES[status.state],
            connected=status.connected,
            role=status.role,
            process=self._control.process(application),
            detail=status.detail,
        )
