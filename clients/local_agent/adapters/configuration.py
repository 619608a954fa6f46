"""Application objects of this host, as the agent runs them, and exits as the Configuration Server is told.

How a program says that it is ready stands in the annex of its Application object: section `agent`, option
`ready`, `notify` (the default) or `spawn`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confapi.config.v1 import objects_pb2, sessions_pb2
from confclient.cache import Cache
from confclient.channel import ServiceChannel
from confclient.rpcs import REPORT_PROCESS_EXIT
from local_agent.core.model import ApplicationName, ApplicationSpec, ProcessKey, Readiness
from local_agent.wire import identity_of

TYPES = ("Application", "Host")

_DEFAULT_TIMEOUT_S = 90


class CachedDirectory:
    """Applications and hosts in a cache of the configuration."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def host_of(self, application: ApplicationName) -> str | None:
        """Give the host of an application, "" for none, None when there is no such application."""
        found = self._cache.find("Application", application)
        if found is None:
            return None
        host = self._cache.get("Host", body_of(found).host)
        return host.name if host is not None else ""

    def specs(self, host_name: str) -> Mapping[ApplicationName, ApplicationSpec]:
        """Give the applications of a host."""
        host = self._cache.find("Host", host_name)
        if host is None:
            return {}
        return specs_of(self._cache.list("Application"), host.dbid)


class ExitReports:
    """Tells the primary Configuration Server of exits."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel

    async def report_exit(self, process: ProcessKey) -> None:
        """Report an exit once."""
        request = sessions_pb2.ReportProcessExitRequest(process=identity_of(process))
        await self._channel.unary(REPORT_PROCESS_EXIT, request)


def body_of(item: objects_pb2.ConfigObject) -> objects_pb2.Application:
    """The body of an Application object."""
    body = objects_pb2.Application()
    item.body.Unpack(body)
    return body


def specs_of(
    applications: Sequence[objects_pb2.ConfigObject], host: int
) -> Mapping[ApplicationName, ApplicationSpec]:
    """Give how the applications of a host (dbid) are run."""
    found = {}
    for item in applications:
        body = body_of(item)
        if body.host == host:
            found[ApplicationName(item.name)] = _spec(item, body)
    return found


def _spec(item: objects_pb2.ConfigObject, body: objects_pb2.Application) -> ApplicationSpec:
    ready = item.annex.sections["agent"].options.get("ready") if "agent" in item.annex.sections else None
    return ApplicationSpec(
        name=ApplicationName(item.name),
        command_line=body.command_line,
        arguments=tuple(body.arguments),
        working_directory=body.working_directory,
        enabled=item.state != objects_pb2.OBJECT_STATE_DISABLED,
        auto_restart=body.auto_restart,
        startup_timeout_s=body.startup_timeout_s or _DEFAULT_TIMEOUT_S,
        shutdown_timeout_s=body.shutdown_timeout_s or _DEFAULT_TIMEOUT_S,
        readiness=Readiness.SPAWN if ready == Readiness.SPAWN.value else Readiness.NOTIFY,
    )
