"""Where the other servers of the cluster are: read from their Application objects.

Why it exists: an application is given the Configuration Servers and finds the rest in the configuration, as it stands
now. What is given by hand wins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from confapi.config.v1 import objects_pb2
from confclient.cache import Cache
from confclient.channel import ServiceChannel
from confclient.primary import Endpoints


class ServiceDirectory:
    """Addresses of servers by the type of their Application objects."""

    def __init__(self, channel: ServiceChannel) -> None:
        """`channel` leads to the Configuration Server; the first question starts a watch of applications."""
        self._cache = Cache(channel, types=("Application",))
        self._start: asyncio.Task[None] | None = None

    def endpoints(
        self, application_type: objects_pb2.ApplicationType, given: Sequence[str] = ()
    ) -> Endpoints:
        """Addresses of a kind of server, as `ServiceChannel` takes them: `given`, or from the configuration."""
        if given:
            return tuple(given)
        return self._asking(application_type)

    async def close(self) -> None:
        """Stop following."""
        if self._start is not None:
            self._start.cancel()
            await asyncio.gather(self._start, return_exceptions=True)
        await self._cache.close()

    def _asking(self, application_type: objects_pb2.ApplicationType) -> Callable[[], Sequence[str]]:
        def ask() -> Sequence[str]:
            if self._start is None:
                self._start = asyncio.create_task(self._cache.start())
            return endpoints_of(self._cache.list("Application"), application_type)

        return ask


def endpoints_of(
    applications: Sequence[objects_pb2.ConfigObject], application_type: objects_pb2.ApplicationType
) -> tuple[str, ...]:
    """Addresses of the enabled applications of a type, each once."""
    found: dict[str, None] = {}
    for item in applications:
        body = objects_pb2.Application()
        if item.state == objects_pb2.OBJECT_STATE_DISABLED or not item.body.Unpack(body):
            continue
        if body.application_type == application_type:
            found.update(dict.fromkeys(body.endpoints))
    return tuple(found)
