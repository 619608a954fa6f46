"""One warm connection to one server, and the calls that are out on it.

Why it exists: a client keeps a connection to every member, so that following the primary never waits for a TLS
handshake; and when another server takes over while this one keeps silent, the calls that are out here have to be
called back. It does not know what a primary is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Generic

import grpc
import grpc.aio

from confclient.credentials import TlsFiles, open_channel
from confclient.rpcs import RequestT, ResponseT, Rpc


class Attempt:
    """One call that is out on a link.

    Attributes:
        superseded: set when the library has called it back, so that its end is not mistaken for the caller's own
            cancellation.
    """

    __slots__ = ("call", "superseded")

    def __init__(self, call: Any) -> None:
        self.call = call
        self.superseded = False

    def call_back(self) -> None:
        """Give the call up, because another server has taken over."""
        self.superseded = True
        self.call.cancel()


class Link:
    """A connection to one server that is kept up, and its calls."""

    def __init__(self, endpoint: str, tls: TlsFiles, *, on_down: Callable[[Link], None]) -> None:
        """Connect to `endpoint` (host:port) at once; needs a running loop. `on_down` hears of a lost connection."""
        self.endpoint = endpoint
        self._on_down = on_down
        self.attempts: set[Attempt] = set()
        self._channel = open_channel(endpoint, tls)
        self._callables: dict[str, Any] = {}
        self._warmth = asyncio.create_task(self._stay_warm(), name=f"warm {endpoint}")

    @property
    def connected(self) -> bool:
        """Whether the connection stands now."""
        return bool(self._channel.get_state() is grpc.ChannelConnectivity.READY)

    def unary(self, rpc: Rpc[RequestT, ResponseT], request: RequestT, timeout_s: float | None) -> Any:
        """Start a unary call; awaiting what is returned gives the response."""
        return self._callable(rpc, self._channel.unary_unary)(request, timeout=timeout_s)

    def server_stream(self, rpc: Rpc[RequestT, ResponseT], request: RequestT) -> Any:
        """Start a call that is answered by a stream."""
        return self._callable(rpc, self._channel.unary_stream)(request)

    def bidi_stream(self, rpc: Rpc[RequestT, ResponseT]) -> Any:
        """Start a call with a stream in each direction."""
        return self._callable(rpc, self._channel.stream_stream)()

    @contextlib.contextmanager
    def out(self, attempt: Attempt) -> Iterator[Attempt]:
        """Count a call as out for the time of a `with` block."""
        self.attempts.add(attempt)
        try:
            yield attempt
        finally:
            self.attempts.discard(attempt)

    def call_back_all(self) -> None:
        """Give up every call that is out."""
        for attempt in tuple(self.attempts):
            attempt.call_back()

    async def close(self) -> None:
        """Close the connection; calls that are out end as broken."""
        self._warmth.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._warmth
        await self._channel.close()

    def _callable(self, rpc: Rpc[RequestT, ResponseT], kind: Any) -> Any:
        found = self._callables.get(rpc.path)
        if found is None:
            found = kind(
                rpc.path,
                request_serializer=rpc.request.SerializeToString,
                response_deserializer=rpc.response.FromString,
            )
            self._callables[rpc.path] = found
        return found

    async def _stay_warm(self) -> None:
        """Connect again whenever the connection is lost; the transport's back-off paces it."""
        while True:
            state = self._channel.get_state(try_to_connect=True)
            await self._channel.wait_for_state_change(state)
            if state is grpc.ChannelConnectivity.READY:
                self._on_down(self)


class Stream(Generic[RequestT, ResponseT]):
    """A stream to the primary; made by `ServiceChannel`, which gives it `check`, `failed` and `ended`.

    Iterating over it, or `read`, gives messages until the server ends the stream; then the iteration ends, or the
    error of the end is raised. It is not resumed by itself: only the caller knows from where.
    """

    def __init__(self, link: Link, call: Any, *, check: Any, failed: Any) -> None:
        """See `ServiceChannel.server_stream` and `bidi_stream`.

        Args:
            link: where the call is out.
            call: the call of grpc.aio.
            check: called with each message; raises when it comes from a tenure that is over.
            failed: called with what grpc.aio raised, gives the exception to raise.
        """
        self._link = link
        self._attempt = Attempt(call)
        self._check = check
        self._failed = failed
        link.attempts.add(self._attempt)

    @property
    def endpoint(self) -> str:
        """The server at the other end."""
        return self._link.endpoint

    async def __aenter__(self) -> Stream[RequestT, ResponseT]:
        """Use the stream in a `with` block, which closes it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __aiter__(self) -> Stream[RequestT, ResponseT]:
        """Iterate over the messages."""
        return self

    async def __anext__(self) -> ResponseT:
        """Give the next message."""
        message = await self.read()
        if message is None:
            raise StopAsyncIteration
        return message

    async def read(self) -> ResponseT | None:
        """Give the next message; None when the server has ended the stream without an error.

        Raises:
            ConfservError: the stream has failed; `ServiceChannel.recover` knows which failures pass.
        """
        try:
            message = await self._attempt.call.read()
        except (grpc.aio.AioRpcError, asyncio.CancelledError, asyncio.InvalidStateError) as error:
            raise self._failure(error) from error
        if message is grpc.aio.EOF:
            self.close()
            return None
        self._check(self._link, message)
        return message  # type: ignore[no-any-return]

    async def write(self, message: RequestT) -> None:
        """Send a message on a stream of both directions.

        Raises:
            ConfservError: the stream has failed.
        """
        try:
            await self._attempt.call.write(message)
        except (grpc.aio.AioRpcError, asyncio.CancelledError, asyncio.InvalidStateError) as error:
            raise self._failure(error) from error

    async def done_writing(self) -> None:
        """Tell the server that nothing more is sent; it may still answer."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._attempt.call.done_writing()

    def close(self) -> None:
        """End the call; may be repeated."""
        self._link.attempts.discard(self._attempt)
        self._attempt.call.cancel()

    def _failure(self, error: BaseException) -> BaseException:
        self._link.attempts.discard(self._attempt)
        return self._failed(self._link, self._attempt, error)  # type: ignore[no-any-return]
