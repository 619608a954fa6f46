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
import random
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from confclient.credentials import TlsFiles
from confclient.errors import (
    ConfservError,
    DeadlineError,
    NotPrimaryError,
    OutcomeUnknownError,
)
from confclient.following import Epoch, GiveUp, Trouble, View, after_trouble
from confclient.links import Attempt, Link, Stream
from confclient.outcomes import epoch_of, error_of, trouble_of
from confclient.primary import PATIENCE_S, Endpoints, Primary
from confclient.rpcs import RequestT, ResponseT, Rpc

DEFAULT_TIMEOUT_S = 10.0
"""Deadline of a call for which none is given, in seconds."""


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
            CredentialsError: a file of the certificate cannot be read, or the certificate is not valid now.
        """
        self._primary = Primary(endpoints, tls, component=component)
        self._timeout_s = timeout_s

    @property
    def view(self) -> View:
        """What is believed now: addresses, primary, highest epoch."""
        return self._primary.view

    @property
    def highest_epoch(self) -> Epoch | None:
        """Highest epoch of the component that was seen."""
        return self.view.highest

    def warm(self) -> None:
        """Connect to every known address now."""
        self._primary.warm()

    def learn(self, endpoints: Sequence[str]) -> None:
        """Add addresses that somebody else has named, and connect to them."""
        self._primary.learn(endpoints)

    def suspect(self, endpoint: str) -> None:
        """A server keeps silent: ask everybody who is primary before the next call."""
        self._primary.suspect(endpoint)

    async def close(self) -> None:
        """Close all connections. Calls that are out fail."""
        await self._primary.close()

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
            link = await self._primary.find(deadline)
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
            response: ResponseT = await self._primary.link(endpoint).unary(rpc, request, timeout_s)
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
        link = await self._primary.find(self._deadline(timeout_s))
        return self._stream(link, link.server_stream(rpc, request))

    async def bidi_stream(
        self, rpc: Rpc[RequestT, ResponseT], *, timeout_s: float | None = None
    ) -> Stream[RequestT, ResponseT]:
        """Open a stream in both directions at the primary; arguments and errors as `server_stream`."""
        link = await self._primary.find(self._deadline(timeout_s))
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
            patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._primary.doubt, link, attempt)
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
        return response if self._primary.accept(link, response) else Trouble.OLD_EPOCH

    def _stream(self, link: Link, call: Any) -> Stream[Any, Any]:
        return Stream(link, call, check=self._check, failed=self._failure)

    def _check(self, link: Link, message: Message) -> None:
        if not self._primary.accept(link, message):
            raise NotPrimaryError(f"{link.endpoint} answers under epoch {epoch_of(message)}, which is over")

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
        self._primary.conclude(link, failure)
        return failure

    def _deadline(self, timeout_s: float | None) -> float:
        return asyncio.get_running_loop().time() + (self._timeout_s if timeout_s is None else timeout_s)


def _cancelled() -> bool:
    """Whether the caller's own task is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _draw() -> float:
    return random.random()  # noqa: S311  # spreads callers; nothing secret depends on it
