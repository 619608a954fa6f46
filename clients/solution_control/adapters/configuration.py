"""Applications, hosts and sessions, from the Configuration Server."""

from __future__ import annotations

from collections.abc import Mapping

from confapi.config.v1 import objects_pb2, sessions_pb2
from confclient.cache import Cache
from confclient.channel import ServiceChannel
from confclient.errors import ConfservError
from confclient.rpcs import LIST_SESSIONS
from solution_control.core.model import NO_HOST, Application, ApplicationName, Host, HostName

TYPES = ("Application", "Host")
_PATIENCE_S = 1.0


class CachedDirectory:
    """Applications and hosts in a cache of the configuration."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def applications(self) -> Mapping[ApplicationName, Application]:
        """Give all applications by name."""
        found = (self._application(item) for item in self._cache.list("Application"))
        return {application.name: application for application in found}

    def hosts(self) -> Mapping[HostName, Host]:
        """Give all hosts by name."""
        found = (_host(item) for item in self._cache.list("Host"))
        return {host.name: host for host in found}

    def _application(self, item: objects_pb2.ConfigObject) -> Application:
        body = objects_pb2.Application()
        item.body.Unpack(body)
        host = self._cache.get("Host", body.host)
        return Application(
            name=ApplicationName(item.name),
            application_type=objects_pb2.ApplicationType.Name(body.application_type),
            host=HostName(host.name) if host is not None else NO_HOST,
            endpoints=tuple(body.endpoints),
            enabled=item.state != objects_pb2.OBJECT_STATE_DISABLED,
        )


class ListedSessions:
    """Asks the primary for its sessions each time."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel

    async def open_now(self) -> frozenset[ApplicationName] | None:
        """Give the applications that hold a session."""
        try:
            answer = await self._channel.unary(
                LIST_SESSIONS, sessions_pb2.ListSessionsRequest(), timeout_s=_PATIENCE_S
            )
        except ConfservError:
            return None
        return frozenset(ApplicationName(session.application) for session in answer.sessions)


def _host(item: objects_pb2.ConfigObject) -> Host:
    body = objects_pb2.Host()
    item.body.Unpack(body)
    address = f"[{body.address}]" if ":" in body.address else body.address
    return Host(HostName(item.name), f"{address}:{body.agent_port}" if body.agent_port else "")
