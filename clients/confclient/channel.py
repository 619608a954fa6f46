"""A channel to whichever server is primary of one elected component.

Why it exists: Configuration Server, License Reporting Manager, License Manager, Message Server and Solution
Control are all pairs whose role moves; this is the one place that follows it. It keeps warm connections to
all members, follows hints, repeats what may be repeated until the caller's deadline, and drops what comes
from a tenure that is over. An application sees a slower call, never a failed one, for as long as its deadline
allows (`ha.md`, Clients).

It does not promise that a call is carried out only once unless the server recognizes repetitions (request
ids, session ids, handles, sequences), and it does not resume streams: their callers know from where.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio
from confapi.ha.v1 import ha_pb2
from google.protobuf.message import Message

from confclient import following
from confclient.credentials import TlsFiles
from confclient.errors import (
    ConfservError,
    DeadlineError,
    NoPrimaryError,
    NotPrimaryError,
    OutcomeUnknownError,
)
from confclient.following import Epoch, GiveUp, Trouble, View, after_trouble, pause_s
from confclient.links import Attempt, Link, Stream
from confclient.outcomes import epoch_of, error_of, trouble_of
from confclient.rpcs import GET_STATUS, RequestT, ResponseT, Rpc

Endpoints = Sequence[str] | Callable[[], Sequence[str]]
"""Addresses of a component, or where to ask for them each time they are needed."""

DEFAULT_TIMEOUT_S = 10.0
"""Deadline of a call for which none is given, in seconds."""

_PATIENCE_S = 0.75  # a call that is out for longer makes the channel ask the other members
_GRACE_S = 0.1  # what the former primary gets to answer calls of its own before they are called back
_PROBE_TIMEOUT_S = 1.0


class ServiceChannel:
    """Calls and streams to the primary of one component, over several addresses."""

    def __init__(
        self,
        endpoints: Endpoints,
        tls: TlsFiles,
        *,
        component: str = "server",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Prepare; connections are made at the first call, or by `warm`.

        Args:
            endpoints: addresses as host:port, one at least in the end; others are learned.
            tls: the client's certificate.
            component: what error messages call the servers.
            timeout_s: deadline of a call for which none is given, in seconds.

        Raises:
            CredentialsError: a file of the certificate cannot be read.
        """
        tls.read()  # fails here, where somebody listens, rather than at each connection
        self._given = endpoints
        self._tls = tls
        self._component = component
        self._timeout_s = timeout_s
        self._view = View(seeds=())
        self._links: dict[str, Link] = {}
        self._found = asyncio.Event()
        self._news = asyncio.Event()
        self._searchers = 0
        self._search: asyncio.Task[None] | None = None
        self._last_trouble = "nobody has answered yet"
        self._background: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def view(self) -> View:
        """What is believed now: addresses, primary, highest epoch."""
        return self._view

    @property
    def highest_epoch(self) -> Epoch | None:
        """Highest epoch of the component that was seen."""
        return self._view.highest

    def warm(self) -> None:
        """Connect to every known address now."""
        self._reseed()
        for endpoint in self._view.endpoints:
            self._link(endpoint)

    def learn(self, endpoints: Sequence[str]) -> None:
        """Add addresses that somebody else has named, and connect to them."""
        self._believe(following.learned(self._view, endpoints))

    def suspect(self, endpoint: str) -> None:
        """A server keeps silent: ask everybody who is primary before the next call."""
        self._believe(following.lost(self._view, endpoint))

    async def close(self) -> None:
        """Close all connections. Calls that are out fail."""
        self._closed = True
        tasks = [*self._background, *([self._search] if self._search else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in self._links.values()))

    async def unary(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout_s: float | None = None,
        repeatable: bool | None = None,
    ) -> ResponseT:
        """Call the primary, and again whenever that helps, until the deadline.

        Args:
            rpc: which call.
            request: sent unchanged each time, so that the server recognizes a repetition.
            timeout_s: deadline in seconds; None means the channel's.
            repeatable: overrides what is known of the RPC.

        Raises:
            NoPrimaryError: nobody was primary until the deadline.
            OutcomeUnknownError: the answer was lost, and the call may not be repeated.
            DeadlineError: the primary did not answer in time.
            ConfservError: the server has refused.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._timeout_s if timeout_s is None else timeout_s)
        may_repeat = rpc.repeatable if repeatable is None else repeatable
        tries = 0
        while True:
            link = await self._primary(deadline)
            answer = await self._attempt(link, rpc, request, max(0.001, deadline - loop.time()))
            if not isinstance(answer, Trouble):
                return answer
            step = after_trouble(answer, repeatable=may_repeat, tries=tries, draw=_draw())
            if isinstance(step, GiveUp):
                raise OutcomeUnknownError(
                    f"{rpc.path} was sent to {link.endpoint}, then {answer.value}; look at the state before "
                    "you do it again"
                )
            tries += 1
            await asyncio.sleep(min(step.after_s, max(0.0, deadline - loop.time())))

    async def unary_at(
        self, endpoint: str, rpc: Rpc[RequestT, ResponseT], request: RequestT, *, timeout_s: float
    ) -> ResponseT:
        """Call one server, whatever its role, once; raises ConfservError."""
        try:
            response: ResponseT = await self._link(endpoint).unary(rpc, request, timeout_s)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        return response

    async def server_stream(
        self, rpc: Rpc[RequestT, ResponseT], request: RequestT, *, timeout_s: float | None = None
    ) -> Stream[RequestT, ResponseT]:
        """Open a stream of answers at the primary.

        Args:
            rpc: which call.
            request: the request.
            timeout_s: how long to search for a primary, in seconds; None means the channel's.

        Raises:
            NoPrimaryError: nobody was primary until then.
        """
        link = await self._primary(self._deadline(timeout_s))
        return self._stream(link, link.server_stream(rpc, request))

    async def bidi_stream(
        self, rpc: Rpc[RequestT, ResponseT], *, timeout_s: float | None = None
    ) -> Stream[RequestT, ResponseT]:
        """Open a stream in both directions at the primary; arguments and errors as `server_stream`."""
        link = await self._primary(self._deadline(timeout_s))
        return self._stream(link, link.bidi_stream(rpc))

    async def recover(self, error: ConfservError, *, tries: int) -> None:
        """After a stream has failed: wait until opening it again makes sense.

        Args:
            error: what the stream raised.
            tries: streams that have failed since the last one that gave something.

        Raises:
            ConfservError: `error` itself, when it is a refusal that repeating does not cure.
        """
        trouble = trouble_of(error)
        if trouble is None:
            raise error
        step = after_trouble(trouble, repeatable=True, tries=tries, draw=_draw())
        assert not isinstance(step, GiveUp), "what may be repeated is never given up"
        await asyncio.sleep(step.after_s)

    # --- one attempt

    async def _attempt(
        self, link: Link, rpc: Rpc[RequestT, ResponseT], request: RequestT, timeout_s: float
    ) -> ResponseT | Trouble:
        call = link.unary(rpc, request, timeout_s)
        with link.out(Attempt(call)) as attempt:
            patience = asyncio.get_running_loop().call_later(_PATIENCE_S, self._doubt, link, attempt)
            try:
                response: ResponseT = await call
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                failure = self._failure(link, attempt, error)
                trouble = trouble_of(failure) if isinstance(failure, ConfservError) else None
                if trouble is None:
                    raise failure from error
                return Trouble.SUPERSEDED if attempt.superseded else trouble
            finally:
                patience.cancel()
        epoch = epoch_of(response)
        if following.is_old(self._view, epoch):
            self._believe(following.lost(self._view, link.endpoint))
            return Trouble.OLD_EPOCH
        self._believe(following.seen(self._view, epoch))
        return response

    def _stream(self, link: Link, call: Any) -> Stream[Any, Any]:
        return Stream(link, call, check=self._check, failed=self._failure)

    def _check(self, link: Link, message: Message) -> None:
        epoch = epoch_of(message)
        if following.is_old(self._view, epoch):
            self._believe(following.lost(self._view, link.endpoint))
            raise NotPrimaryError(f"{link.endpoint} answers under epoch {epoch}, which is over")
        self._believe(following.seen(self._view, epoch))

    def _failure(self, link: Link, attempt: Attempt, error: BaseException) -> BaseException:
        """What to raise for an error of grpc.aio, after drawing the conclusions from it."""
        if isinstance(error, asyncio.CancelledError) and (not attempt.superseded or _cancelled()):
            return error
        if not isinstance(error, grpc.aio.AioRpcError):
            return NotPrimaryError(f"another server has taken over from {link.endpoint}")
        failure = error_of(error)
        if isinstance(failure, DeadlineError):
            return DeadlineError(
                f"{link.endpoint} did not answer in time; the call may have been carried out all the same"
            )
        self._conclude(link, failure)
        return failure

    def _conclude(self, link: Link, failure: ConfservError) -> None:
        if trouble_of(failure) is None:
            return
        self._last_trouble = f"{link.endpoint}: {failure.message}"
        if isinstance(failure, NotPrimaryError):
            hint = failure.hint
            epoch = _epoch(hint.epoch) if hint.HasField("epoch") else None
            self._believe(
                following.hinted(self._view, by=link.endpoint, endpoints=hint.endpoints, epoch=epoch)
            )
        elif not isinstance(failure, OutcomeUnknownError):
            self._believe(following.lost(self._view, link.endpoint))

    # --- who is primary

    def _deadline(self, timeout_s: float | None) -> float:
        return asyncio.get_running_loop().time() + (self._timeout_s if timeout_s is None else timeout_s)

    async def _primary(self, deadline: float) -> Link:
        """The connection to the primary, searched for when none is known; raises NoPrimaryError in the end."""
        while self._view.primary is None:
            remaining = deadline - asyncio.get_running_loop().time()
            if remaining <= 0 or self._closed:
                raise self._no_primary()
            self._searchers += 1
            if self._search is None or self._search.done():
                self._search = asyncio.create_task(self._find(), name=f"find the primary {self._component}")
            try:
                await asyncio.wait_for(self._found.wait(), remaining)
            except TimeoutError:
                raise self._no_primary() from None
            finally:
                self._searchers -= 1
        return self._link(self._view.primary)

    def _no_primary(self) -> NoPrimaryError:
        known = ", ".join(self._view.endpoints)
        if not known:
            return NoPrimaryError(
                f"no address of a {self._component} is known: none is given, and none is in the configuration"
            )
        return NoPrimaryError(
            f"no primary {self._component} within the deadline ({known}); last: {self._last_trouble}"
        )

    async def _find(self) -> None:
        """Ask every member until one says that it is primary, or nobody waits for it any more."""
        probes: dict[str, asyncio.Task[None]] = {}
        try:
            while self._view.primary is None and self._searchers:
                self._reseed()
                for endpoint in self._view.endpoints:
                    if endpoint not in probes:
                        probes[endpoint] = asyncio.create_task(self._probe_on(endpoint))
                self._news.clear()
                await _wait_for(self._news, timeout_s=0.25)
        finally:
            for task in probes.values():
                task.cancel()
            await asyncio.gather(*probes.values(), return_exceptions=True)

    async def _probe_on(self, endpoint: str) -> None:
        tries = 0
        while True:
            await self._probe(endpoint)
            await asyncio.sleep(pause_s(tries, draw=_draw()))
            tries += 1

    async def _probe(self, endpoint: str) -> None:
        """Ask one server what it is, and believe it within the rules."""
        try:
            status = await self._link(endpoint).unary(GET_STATUS, ha_pb2.GetStatusRequest(), _PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            self._last_trouble = f"{endpoint}: {error_of(error).message}"
            return
        self._last_trouble = f"{endpoint} is {ha_pb2.Role.Name(status.self.role)}"
        epoch = _epoch(status.epoch) if status.HasField("epoch") else None
        view = following.learned(
            self._view, [address for member in status.members for address in member.endpoints]
        )
        if status.self.role == ha_pb2.ROLE_PRIMARY:
            view = following.declared(view, endpoint, epoch)
        elif status.HasField("primary"):
            view = following.announced(view, endpoints=status.primary.endpoints, epoch=epoch)
        self._believe(view)

    def _doubt(self, link: Link, attempt: Attempt) -> None:
        """A call has been out for long: ask everybody whether another server has taken over."""
        if attempt not in link.attempts or self._closed:
            return
        if not self._background:
            for endpoint in self._view.endpoints:
                self._run(self._probe(endpoint))
        asyncio.get_running_loop().call_later(_PATIENCE_S, self._doubt, link, attempt)

    def _believe(self, view: View) -> None:
        """Take over a new belief, and do what follows from it."""
        if view is self._view:
            return
        former, self._view = self._view, view
        if view.primary is None:
            self._found.clear()
        else:
            self._found.set()
        if view != former:
            self._news.set()
        for endpoint in view.endpoints:
            self._link(endpoint)
        if view.primary not in (None, former.primary):
            for endpoint, link in self._links.items():
                if endpoint != view.primary and link.attempts:
                    asyncio.get_running_loop().call_later(_GRACE_S, self._call_back, link)

    def _call_back(self, link: Link) -> None:
        if self._view.primary is not None and self._view.primary != link.endpoint:
            link.call_back_all()

    def _reseed(self) -> None:
        given = self._given() if callable(self._given) else self._given
        if tuple(given) != self._view.seeds:
            self._believe(following.reseeded(self._view, given))

    def _link(self, endpoint: str) -> Link:
        link = self._links.get(endpoint)
        if link is None:
            link = self._links[endpoint] = Link(endpoint, self._tls, on_down=self._down)
        return link

    def _down(self, link: Link) -> None:
        """A connection was lost: whoever was there has to be asked again before it is called."""
        self._believe(following.lost(self._view, link.endpoint))

    def _run(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _epoch(epoch: ha_pb2.Epoch) -> Epoch:
    return Epoch(epoch.generation, epoch.mod_revision)


def _cancelled() -> bool:
    """Whether the caller's own task is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _draw() -> float:
    return random.random()  # noqa: S311  # spreads callers; nothing secret depends on it


async def _wait_for(event: asyncio.Event, *, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        # wait_for of Python 3.11 can lose a cancellation that comes together with the event
        async with asyncio.timeout(timeout_s):
            await event.wait()
