"""The license as the servers beside the Configuration Server know it: by the stream of its primary (B-40).

Why it exists: whether a pair of Message Servers may switch over stands in the license, and the license stands in
the Configuration Database. What was read last counts while no Configuration Server answers. It does not verify
signatures: the text comes from the primary over a proven connection, and was verified when it was stored.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import structlog

from confapi.license.v1 import license_pb2
from confclient.channel import ServiceChannel
from confclient.errors import ConfservError, UnavailableError
from confclient.rpcs import WATCH_LICENSE
from confkit.license.findings import LicenseError
from confkit.license.syntax import parse
from confkit.license.terms import TechnicalKeys, Terms

_log = structlog.get_logger()


def utc_now() -> dt.datetime:
    """Give the wall time, aware, in UTC."""
    return dt.datetime.now(dt.UTC)


class LicenseFollower:
    """Follows the license revisions of one Configuration Server pair.

    `channel` leads to the Configuration Server; `now` gives aware wall time.
    """

    def __init__(
        self,
        channel: ServiceChannel,
        *,
        keys: TechnicalKeys | None = None,
        now: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self._channel = channel
        self._keys = keys or TechnicalKeys()
        self._now = now
        self._subscribers: list[Callable[[], None]] = []
        self.revision = 0
        """The license revision that was read last; 0: none yet."""
        self.terms: Terms | None = None
        """Its terms; None: none yet, so that nothing is known to be licensed."""

    @property
    def ha_licensed(self) -> bool:
        """Whether pairs may switch over. Expiry alone takes nothing away (B-30)."""
        return self.has_feature(self._keys.ha_redundancy)

    def has_feature(self, name: str) -> bool:
        """Whether the license, as read last, contains a technical key."""
        return self.terms is not None and self.terms.has_feature(name, self._now())

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` in the event loop after each new revision."""
        self._subscribers.append(on_change)

    def take(self, response: license_pb2.WatchLicenseResponse) -> None:
        """Take a revision as the stream gave it; one that does not parse is logged, and the former one counts."""
        try:
            license_file = parse(response.text, source=f"license revision {response.revision.revision}")
        except LicenseError as error:
            _log.error("license text does not parse", revision=response.revision.revision, detail=str(error))
            return
        self.terms = Terms(license_file, self._keys)
        self.revision = response.revision.revision
        for subscriber in list(self._subscribers):
            subscriber()

    async def run(self) -> None:
        """Follow until cancelled."""
        tries = 0
        while True:
            try:
                async with await self._channel.server_stream(
                    WATCH_LICENSE, license_pb2.WatchLicenseRequest()
                ) as stream:
                    async for response in stream:
                        tries = 0
                        self.take(response)
                failure: ConfservError = UnavailableError("the server ended the stream")
            except ConfservError as error:
                failure = error
            try:
                await self._channel.recover(failure, tries=tries)
            except ConfservError as error:
                _log.warning("the license cannot be followed", detail=str(error))
                await self._channel.recover(UnavailableError(str(error)), tries=tries)
            tries += 1
