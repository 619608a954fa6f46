"""Which connection leads to the primary now: beliefs, connections to all members, and the search.

Why it exists: `channel.py` makes calls; this finds whom to call. The beliefs and their rules are in `following.py`;
here they meet connections: each member is asked by GetStatus, all at once and again with growing pauses, and only while
somebody waits. One search serves all callers, so that a thousand waiting calls ask no more than one.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from confapi.ha.v1 import ha_pb2
from confclient import following
from confclient.certificates import check_certificate
from confclient.credentials import TlsFiles
from confclient.errors import ConfservError, NoPrimaryError, NotPrimaryError, OutcomeUnknownError
from confclient.following import Epoch, View, pause_s
from confclient.links import Attempt, Link
from confclient.outcomes import epoch_of, error_of, trouble_of
from confclient.rpcs import GET_STATUS

Endpoints = Sequence[str] | Callable[[], Sequence[str]]
"""Addresses of a component, or where to ask for them each time they are needed."""

PATIENCE_S = 0.75
"""A call that is out for longer makes the client ask the other members."""

_GRACE_S = 0.1  # what a former primary gets to answer calls of its own before they are called back
_PROBE_TIMEOUT_S = 1.0


class Primary:
    """The primary of one component, as one client knows it."""

    def __init__(self, endpoints: Endpoints, tls: TlsFiles, *, component: str) -> None:
        """See `ServiceChannel`."""
        # fails here, where somebody listens, rather than at each connection
        check_certificate(tls.read()[1], source=str(tls.certificate), now=datetime.now(UTC))
        self.view = View(seeds=())
        self._given = endpoints
        self._tls = tls
        self._component = component
        self._links: dict[str, Link] = {}
        self._found = asyncio.Event()
        self._news = asyncio.Event()
        self._searchers = 0
        self._search: asyncio.Task[None] | None = None
        self._last_trouble = "nobody has answered yet"
        self._probes: set[asyncio.Task[Any]] = set()
        self._closed = False

    def warm(self) -> None:
        """Connect to every known address now."""
        self._reseed()
        for endpoint in self.view.endpoints:
            self.link(endpoint)

    def learn(self, endpoints: Sequence[str]) -> None:
        """Add addresses that somebody has named, and connect to them."""
        self._believe(following.learned(self.view, endpoints))

    def suspect(self, endpoint: str) -> None:
        """A server is not to be taken for the primary until somebody has been asked again."""
        self._believe(following.lost(self.view, endpoint))

    def link(self, endpoint: str) -> Link:
        """The connection to an address."""
        link = self._links.get(endpoint)
        if link is None:
            link = self._links[endpoint] = Link(
                endpoint, self._tls, on_down=lambda down: self.suspect(down.endpoint)
            )
        return link

    async def close(self) -> None:
        """Close all connections. Calls that are out fail."""
        self._closed = True
        tasks = [*self._probes, *([self._search] if self._search else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in self._links.values()))

    async def find(self, deadline: float) -> Link:
        """The connection to the primary, searched for when none is known.

        Raises:
            NoPrimaryError: nobody was primary until `deadline` (seconds of the loop's clock).
        """
        while self.view.primary is None:
            if asyncio.get_running_loop().time() >= deadline or self._closed:
                raise self._no_primary()
            self._searchers += 1
            if self._search is None or self._search.done():
                self._search = asyncio.create_task(self._ask_on(), name=f"find the primary {self._component}")
            try:
                async with asyncio.timeout_at(deadline):
                    await self._found.wait()
            except TimeoutError:
                raise self._no_primary() from None
            finally:
                self._searchers -= 1
        return self.link(self.view.primary)

    def accept(self, link: Link, message: Message) -> bool:
        """Take notice of the epoch of a message; False when it comes from a tenure that is over (I-7)."""
        epoch = epoch_of(message)
        if following.is_old(self.view, epoch):
            self.suspect(link.endpoint)
            return False
        self._believe(following.seen(self.view, epoch))
        return True

    def conclude(self, link: Link, failure: ConfservError) -> None:
        """Draw the conclusions from a failed call."""
        if trouble_of(failure) is None:
            return
        self._last_trouble = f"{link.endpoint}: {failure.message}"
        if isinstance(failure, NotPrimaryError):
            hint = failure.hint
            self._believe(
                following.hinted(
                    self.view,
                    by=link.endpoint,
                    endpoints=hint.endpoints,
                    epoch=_epoch(hint.epoch) if hint.HasField("epoch") else None,
                )
            )
        elif not isinstance(failure, OutcomeUnknownError):
            self.suspect(link.endpoint)

    def doubt(self, link: Link, attempt: Attempt) -> None:
        """A call has been out for long: ask everybody whether another server has taken over, until it is back."""
        if attempt not in link.attempts or self._closed:
            return
        if not self._probes:
            for endpoint in self.view.endpoints:
                task = asyncio.create_task(self._ask(endpoint))
                self._probes.add(task)
                task.add_done_callback(self._probes.discard)
        asyncio.get_running_loop().call_later(PATIENCE_S, self.doubt, link, attempt)

    def _no_primary(self) -> NoPrimaryError:
        known = ", ".join(self.view.endpoints)
        if not known:
            return NoPrimaryError(
                f"no address of a {self._component} is known: none is given, and none is in the configuration"
            )
        return NoPrimaryError(
            f"no primary {self._component} within the deadline ({known}); last: {self._last_trouble}"
        )

    async def _ask_on(self) -> None:
        """Ask every member until one says that it is primary, or nobody waits for it any more."""
        asking: dict[str, asyncio.Task[None]] = {}
        try:
            while self.view.primary is None and self._searchers:
                self._reseed()
                for endpoint in self.view.endpoints:
                    if endpoint not in asking:
                        asking[endpoint] = asyncio.create_task(self._ask_one_on(endpoint))
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    # wait_for of Python 3.11 can lose a cancellation that comes together with the event
                    async with asyncio.timeout(0.25):
                        await self._news.wait()
        finally:
            for task in asking.values():
                task.cancel()
            await asyncio.gather(*asking.values(), return_exceptions=True)

    async def _ask_one_on(self, endpoint: str) -> None:
        tries = 0
        while True:
            if await self._ask(endpoint) == ha_pb2.ROLE_PROMOTING:
                tries = 0  # it opens any moment now
            await asyncio.sleep(pause_s(tries, draw=random.random()))  # noqa: S311  # spreads callers
            tries += 1

    async def _ask(self, endpoint: str) -> ha_pb2.Role | None:
        """Ask one server what it is, and believe it within the rules; None when it does not answer."""
        try:
            status = await self.link(endpoint).unary(GET_STATUS, ha_pb2.GetStatusRequest(), _PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            self._last_trouble = f"{endpoint}: {error_of(error).message}"
            return None
        self._last_trouble = f"{endpoint} is {ha_pb2.Role.Name(status.self.role)}"
        epoch = _epoch(status.epoch) if status.HasField("epoch") else None
        addresses = [address for member in status.members for address in member.endpoints]
        view = following.learned(self.view, addresses)
        role: ha_pb2.Role = status.self.role
        if role == ha_pb2.ROLE_PRIMARY:
            view = following.declared(view, endpoint, epoch)
        elif status.HasField("primary"):
            view = following.announced(view, endpoints=status.primary.endpoints, epoch=epoch)
        self._believe(view)
        return role

    def _believe(self, view: View) -> None:
        """Take over a new belief, and do what follows from it."""
        if view is self.view:
            return
        former, self.view = self.view, view
        if view.primary is None:
            self._found.clear()
        else:
            self._found.set()
        if view != former:
            self._news.set()
        for endpoint in view.endpoints:
            self.link(endpoint)
        if view.primary not in (None, former.primary):
            for endpoint, link in self._links.items():
                if endpoint != view.primary and link.attempts:
                    asyncio.get_running_loop().call_later(_GRACE_S, self._call_back, link)

    def _call_back(self, link: Link) -> None:
        if self.view.primary is not None and self.view.primary != link.endpoint:
            link.call_back_all()

    def _reseed(self) -> None:
        given = self._given() if callable(self._given) else self._given
        if tuple(given) != self.view.seeds:
            self._believe(following.reseeded(self.view, given))


def _epoch(epoch: ha_pb2.Epoch) -> Epoch:
    return Epoch(epoch.generation, epoch.mod_revision)
