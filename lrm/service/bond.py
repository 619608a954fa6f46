"""Follows the primary Configuration Server and keeps the license copy equal to the server's (`B-20`,
`B-25`, `B-26`).

Why: `lrm.core.binding` judges what servers say; this carries it out over the client library's channel,
which finds the primary. Both members of a pair are bound all the time, so that a promotion finds the
license there.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from confapi.license.v1 import license_pb2
from confclient.channel import ServiceChannel
from confclient.errors import ConfservError, NoPrimaryError, NotPrimaryError
from confclient.following import pause_s
from confclient.links import Stream
from confclient.rpcs import BIND, GET_LICENSE
from confkit.election.types import Epoch
from confkit.events import EventLog
from confkit.license.trust import TrustSet
from confkit.member_service import epoch_message
from lrm.core import binding as core
from lrm.core.licenses import UnusableLicense, fits, read_license
from lrm.ports import SeenEpoch
from lrm.service.license_book import LicenseBook

CHECK_S: Final = 60.0
"""How often copies are compared while nothing happens (`B-26`), in seconds."""

_LONGEST_PAUSE_S: Final = 2.0

_BindStream = Stream[license_pb2.BindRequest, license_pb2.BindResponse]


@dataclass(frozen=True, slots=True)
class BondTools:
    """What the bond works with. `trust` None leaves the signatures to the Configuration Server."""

    channel: ServiceChannel
    instance: str
    book: LicenseBook
    seen: SeenEpoch
    events: EventLog
    now: Callable[[], datetime]
    trust: TrustSet | None = None
    check_s: float = CHECK_S


class Bond:
    """The bond of one License Reporting Manager."""

    def __init__(self, tools: BondTools) -> None:
        self._tools = tools
        self._bond = core.Bond(highest=tools.seen.read())
        self._server = ""
        self.trust = tools.trust
        """The vendor keys that are trusted now; another set counts from the next license text that is read."""

    @property
    def bound(self) -> Epoch | None:
        """The token under which LRM is bound now, None when it is not."""
        return self._bond.bound

    def status(self) -> Mapping[str, str]:
        """What status displays show of it."""
        bound = self._bond.bound
        return {
            "bound": str(bound) if bound is not None else "",
            "bound_to": self._server if bound is not None else "",
        }

    async def run(self) -> None:
        """Be bound to whoever is primary, until cancelled."""
        tries = 0
        while True:
            try:
                async with await self._tools.channel.bidi_stream(BIND) as stream:
                    async for _ in self._follow(stream):
                        tries = 0
                detail = f"{self._server} has ended it"
            except NoPrimaryError as error:
                detail = error.message
            except ConfservError as error:
                detail = error.message
                await self._pause(error, tries)
            await self._apply(core.Lost(), detail=detail)
            await asyncio.sleep(pause_s(tries, draw=random.random()))  # noqa: S311  # spreads callers
            tries += 1

    async def _pause(self, error: ConfservError, tries: int) -> None:
        """Wait as long as the failure asks for; a refusal may pass too, so LRM never gives up."""
        try:
            await self._tools.channel.recover(error, tries=tries)
        except ConfservError:
            await asyncio.sleep(min(_LONGEST_PAUSE_S, 0.1 * 2.0 ** min(tries, 8)))

    async def _follow(self, stream: _BindStream) -> AsyncIterator[None]:
        """Compare at once, with every answer, and every minute; one turn for each answer that was
        accepted."""
        self._server = stream.endpoint
        checking = asyncio.create_task(self._check(stream), name="compare license copies")
        try:
            async for answer in stream:
                await self._answered(answer)
                yield
        finally:
            checking.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConfservError):
                await checking

    async def _check(self, stream: _BindStream) -> None:
        while True:
            held = self._bond.held
            await stream.write(
                license_pb2.BindRequest(
                    instance=self._tools.instance,
                    license_revision=held.revision,
                    license_sha256=held.sha256,
                    highest_epoch=epoch_message(self._bond.highest),
                )
            )
            await asyncio.sleep(self._tools.check_s)

    async def _answered(self, answer: license_pb2.BindResponse) -> None:
        epoch = (
            Epoch(answer.epoch.generation, answer.epoch.mod_revision) if answer.HasField("epoch") else None
        )
        license_ = core.LicenseId(answer.license.revision, answer.license.sha256)
        event = core.Answered(epoch, license_, has_text=bool(answer.text))
        await self._apply(event, answer=answer)

    async def _apply(
        self, event: core.Event, *, answer: license_pb2.BindResponse | None = None, detail: str = ""
    ) -> None:
        self._bond, effects = core.step(self._bond, event)
        for effect in effects:
            await self._perform(effect, answer=answer, detail=detail)

    async def _perform(
        self, effect: core.Effect, *, answer: license_pb2.BindResponse | None, detail: str
    ) -> None:
        emit = self._tools.events.emit
        match effect:
            case core.Remember(epoch):
                await asyncio.to_thread(self._tools.seen.write, epoch)
            case core.AnnounceBound(epoch):
                emit("66-25200", token=epoch, server=self._server)
            case core.AnnounceLost():
                emit("66-25201", detail=detail)
            case core.Leave(reason):
                self._tools.channel.suspect(self._server)
                raise NotPrimaryError(f"{self._server} is left: {reason}")
            case core.AnnounceDifference(ours, server):
                emit("66-25203", ours=ours, server=server)
            case core.TakeText() if answer is not None:
                await self._read(answer.license, answer.text)
            case core.Fetch(revision):
                await self._fetch(revision)

    async def _fetch(self, revision: int) -> None:
        request = license_pb2.GetLicenseRequest(revision=revision)
        answer = await self._tools.channel.unary(GET_LICENSE, request)
        await self._read(answer.revision, answer.text)

    async def _read(self, revision: license_pb2.LicenseRevision, text: bytes) -> None:
        license_ = core.LicenseId(revision.revision, revision.sha256)
        try:
            if not fits(text, license_):
                raise UnusableLicense(f"the text of {license_} has another SHA-256")
            copy = await asyncio.to_thread(
                read_license,
                text,
                license_,
                stored_ms=revision.stored_ms,
                trust=self.trust,
                now=self._tools.now(),
            )
        except UnusableLicense as error:
            self._tools.events.emit("66-25204", detail=str(error))
            return
        await self._apply(core.Read(license_))
        self._tools.book.take(copy, is_current=self._bond.held == license_)
        self._tools.events.emit("66-25202", license_revision=license_.revision)
