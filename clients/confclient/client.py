"""Everything that an application needs of the cluster, behind one `connect`.

    async with connect(endpoints=[…], tls=tls, application="billing") as config:
        await config.cache.start()
        config.cache.option("billing", "limits", "retries")
        with config.usage.start(tenant="acme", item="voice", place="p1"):
            async with config.licenses.checkout("recorder"):
                …

A call that meets a switchover is slower, not failed. The session is kept in the background; LRM, Message Server and
License Manager are found in the configuration when they are first needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

from confapi.config.v1 import config_pb2, objects_pb2
from confclient.cache import Cache
from confclient.channel import DEFAULT_TIMEOUT_S, ServiceChannel
from confclient.credentials import TlsFiles
from confclient.licenses import Licenses
from confclient.log import LogPublisher
from confclient.objects import Objects
from confclient.services import ServiceDirectory
from confclient.session import OnChange, Session
from confclient.usage import OnRefused, UsageReporter
from confclient.watch import WatchEvent, filter_of, watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where servers are that shall not be looked up in the configuration, host:port; empty: look up.

    Attributes:
        lrm: License Reporting Managers.
        message_servers: Message Servers.
        license_managers: License Managers.
    """

    lrm: Sequence[str] = ()
    message_servers: Sequence[str] = ()
    license_managers: Sequence[str] = ()


class Client(Objects):
    """A connected application: its objects, and what else it uses. Made by `connect`.

    Attributes:
        channel: to the Configuration Server.
        session: the session; None when it was connected without one.
        cache: all objects in memory, once `await cache.start()` was called.
        usage: reports use of sellable items.
        log: publishes log events.
        licenses: checks technical keys out.
    """

    def __init__(
        self,
        channel: ServiceChannel,
        *,
        tls: TlsFiles,
        application: str,
        session: Session | None = None,
        spool_dir: Path | None = None,
        places: Places | None = None,
        on_usage_refused: OnRefused | None = None,
    ) -> None:
        """See `connect`."""
        super().__init__(channel)
        places = places or Places()
        self.channel = channel
        self.session = session
        self.cache = Cache(channel)
        self._directory = ServiceDirectory(channel)
        self._lrm = ServiceChannel(
            self._directory.endpoints(
                objects_pb2.APPLICATION_TYPE_LICENSE_REPORTING_MANAGER, given=places.lrm
            ),
            tls,
            component="License Reporting Manager",
        )
        self._license_manager = ServiceChannel(
            self._directory.endpoints(
                objects_pb2.APPLICATION_TYPE_LICENSE_MANAGER, given=places.license_managers
            ),
            tls,
            component="License Manager",
        )
        self.usage = UsageReporter(
            self._lrm,
            source=application,
            spool_dir=spool_dir / "usage" if spool_dir else None,
            on_refused=on_usage_refused,
        )
        self.log = LogPublisher(
            self._directory.endpoints(
                objects_pb2.APPLICATION_TYPE_MESSAGE_SERVER, given=places.message_servers
            ),
            tls,
            spool_dir / "log" if spool_dir else None,
        )
        self.licenses = Licenses(self._license_manager)

    def watch(
        self,
        *,
        types: Sequence[str] = (),
        tenant: int = 0,
        folder: int = 0,
        name_prefix: str = "",
        resume: config_pb2.ResumeToken | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Follow changes across switchovers, each once (B-52); see `confclient.watch`.

        Args:
            types: none: all.
            tenant: dbid; 0: all.
            folder: dbid; 0: all.
            name_prefix: beginning of the name.
            resume: from an earlier event; None: a snapshot first.
        """
        chosen = filter_of(types, tenant=tenant, folder=folder, name_prefix=name_prefix)
        return watch(self.channel, watch_filter=chosen, resume=resume)

    async def start(self) -> None:
        """Begin to deliver usage and log events."""
        self.usage.start_delivery()
        await self.log.start()

    async def close(self) -> None:
        """Deliver what can be delivered within about a second, close the session and all connections."""
        await self.usage.close()
        await self.log.close()
        await self.licenses.close()
        await self.cache.close()
        await self._directory.close()
        if self.session is not None:
            await self.session.close()
        for channel in (self._lrm, self._license_manager, self.channel):
            await channel.close()


@contextlib.asynccontextmanager
async def connect(
    *,
    endpoints: Sequence[str],
    tls: TlsFiles,
    application: str,
    application_type: objects_pb2.ApplicationType = objects_pb2.APPLICATION_TYPE_GENERIC_SERVER,
    version: str = "",
    serves_at: Sequence[str] = (),
    spool_dir: Path | None = None,
    places: Places | None = None,
    with_session: bool = True,
    session_timeout_s: float | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    on_session: OnChange | None = None,
    on_usage_refused: OnRefused | None = None,
) -> AsyncGenerator[Client, None]:
    """Connect an application to the cluster.

    Args:
        endpoints: addresses of Configuration Servers, host:port; one is enough, the others are learned.
        tls: its certificate, which must carry `application` as its name.
        application: name of its Application object.
        application_type: type that it claims.
        version: of the program.
        serves_at: host:port addresses at which it serves others.
        spool_dir: directory of its own for usage and log events that cannot be delivered yet; None: in memory.
        places: other servers that shall not be looked up.
        with_session: False for tools whose certificate needs none.
        session_timeout_s: how long to wait for a session, in seconds; None: as long as it takes (B-12).
        timeout_s: deadline of calls for which none is given, in seconds.
        on_session: told of each change of the session's state.
        on_usage_refused: told of statements that LRM refuses.

    Raises:
        LrmNotStartedError, SessionHeldError, NoPrimaryError: still so after `session_timeout_s`.
        ConfservError: the session is refused for a reason that waiting does not cure (B-16).
    """
    channel = ServiceChannel(endpoints, tls, component="Configuration Server", timeout_s=timeout_s)
    session = None
    if with_session:
        session = Session(
            channel,
            application=application,
            application_type=application_type,
            version=version,
            endpoints=serves_at,
            on_change=on_session,
        )
    try:
        if session is not None:
            await session.open(timeout_s=session_timeout_s)
        client = Client(
            channel,
            tls=tls,
            application=application,
            session=session,
            spool_dir=spool_dir,
            places=places,
            on_usage_refused=on_usage_refused,
        )
    except BaseException:
        await channel.close()
        raise
    try:
        await client.start()
        yield client
    finally:
        await client.close()
