"""What a server that is itself a client of the Configuration Server holds there: session, license, log.

Why it exists: Message Server, Solution Control, License Manager and agents all need the same. None of it may stop
a server from doing its work: a Configuration Server that is away, or that refuses the session, is asked again and
again, and what was known counts meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from types import TracebackType

import structlog

from confapi.config.v1 import objects_pb2
from confclient.cache import Cache
from confclient.channel import ServiceChannel
from confclient.errors import ConfservError
from confclient.log import LogPublisher
from confclient.services import ServiceDirectory
from confclient.session import Session
from confkit.events import EventLog
from confkit.license_follower import LicenseFollower
from confkit.settings import ProcessSettings

REFUSED_RETRY_S = 5.0
"""Pause after a refusal that only an operator can end, in seconds."""

_log = structlog.get_logger()


class Attachment:
    """The bond of one server with the Configuration Server. Use it in `async with`, in the loop that serves.

    `application_type` is the type that it registers with; `endpoints` are the host:port addresses at which it
    serves; `events` gets the Message Server as its sink; `follows_license` is false for a process whose certificate
    may not read the license.
    """

    def __init__(
        self,
        settings: ProcessSettings,
        *,
        application_type: objects_pb2.ApplicationType,
        version: str,
        endpoints: Sequence[str],
        events: EventLog,
        follows_license: bool = True,
    ) -> None:
        tls = settings.tls.files()
        self.channel = ServiceChannel(settings.config_servers, tls, component="Configuration Server")
        self.license = LicenseFollower(self.channel)
        self.session = Session(
            self.channel,
            application=settings.name,
            application_type=application_type,
            version=version,
            endpoints=endpoints,
        )
        self._directory = ServiceDirectory(self.channel)
        self._publisher = LogPublisher(
            self._directory.endpoints(
                objects_pb2.APPLICATION_TYPE_MESSAGE_SERVER, given=settings.message_servers
            ),
            tls,
            settings.data_dir / "spool" / settings.name / "log",
        )
        self._follows_license = follows_license
        self._tasks: list[asyncio.Task[None]] = []
        events.attach(self._publisher.put)

    async def __aenter__(self) -> Attachment:
        """Begin: nothing here waits for an answer."""
        self.channel.warm()
        await self._publisher.start()
        self._tasks = [asyncio.create_task(self._open_session(), name="open the session")]
        if self._follows_license:
            self._tasks.append(asyncio.create_task(self.license.run(), name="follow the license"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Deliver what can be delivered within about a second, close the session."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._publisher.close()
        await self._directory.close()
        with contextlib.suppress(ConfservError):
            await self.session.close()
        await self.channel.close()

    async def follow(self, cache: Cache) -> None:
        """Have a cache follow the configuration; returns once it has read it."""
        while True:
            try:
                await cache.start()
                return
            except ConfservError as error:
                _log.warning("the configuration cannot be followed", detail=str(error))
                await asyncio.sleep(REFUSED_RETRY_S)

    async def _open_session(self) -> None:
        while True:
            try:
                await self.session.open()
            except ConfservError as error:
                _log.warning("no session with the Configuration Server", detail=str(error))
                await asyncio.sleep(REFUSED_RETRY_S)
            else:
                return
