"""The session of an application with the Configuration Server: opened, kept, restored.

Why it exists: without a session nothing is served (B-16). It outlives the primary that granted it: the same id is
kept at its successor without a new log-in (`ha.md`, Clients). It does not promise that the session is open at every
moment; `state` says what is known, and `on_change` is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Callable, Sequence

from confapi.config.v1 import objects_pb2, sessions_pb2
from confapi.ha.v1 import ha_pb2
from confclient.channel import ServiceChannel
from confclient.errors import ConfservError, NoPrimaryError, SessionRequiredError
from confclient.following import pause_s
from confclient.links import Stream
from confclient.outcomes import ConnectionBrokenError
from confclient.processes import process_identity
from confclient.request_ids import new_id
from confclient.rpcs import CLOSE_SESSION, KEEP_SESSION, OPEN_SESSION
from confclient.session_rules import Refused, SessionState, after_refusal, keep_interval_s

OnChange = Callable[[SessionState, str], None]
"""Told of each change of state, with a sentence for people."""

_ATTEMPT_S = 10.0
_CLOSE_S = 1.0
_FIRST_LEASE_MS = 10_000

_Answers = AsyncGenerator[sessions_pb2.KeepSessionResponse, None]


class SilentError(ConnectionBrokenError):
    """A server has not answered a keep in time."""

    def __init__(self, endpoint: str, interval_s: float) -> None:
        super().__init__(f"{endpoint} did not answer within {interval_s:.1f} s")
        self.endpoint = endpoint


class Session:
    """One session; use it in `async with`, or call `open` and `close`."""

    def __init__(
        self,
        channel: ServiceChannel,
        *,
        application: str,
        application_type: objects_pb2.ApplicationType,
        version: str = "",
        endpoints: Sequence[str] = (),
        process: ha_pb2.ProcessIdentity | None = None,
        session_id: str | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        """Prepare.

        Args:
            channel: to the Configuration Server.
            application: name of the Application object; the certificate must carry it.
            application_type: type that the application claims.
            version: of the program.
            endpoints: host:port addresses at which the application serves.
            process: whose death ends the session; default: this one.
            session_id: a UUID; default: a new one.
            on_change: told of each change of state.
        """
        self.session_id = session_id or new_id()
        self.state = SessionState.NEW
        self.application_object = objects_pb2.ConfigObject()
        self._channel = channel
        self._request = sessions_pb2.OpenSessionRequest(
            session_id=self.session_id,
            application=application,
            application_type=application_type,
            process=process or process_identity(),
            version=version,
            endpoints=endpoints,
        )
        self._on_change = on_change
        self._lease_ttl_ms = _FIRST_LEASE_MS
        self._keeper: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()

    async def __aenter__(self) -> Session:
        """Open, waiting as long as it takes."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def open(self, *, timeout_s: float | None = None) -> objects_pb2.ConfigObject:
        """Open the session, then keep it until `close`; gives the Application object.

        Waits with back-off while LRM has not been started (B-12), while another process holds the session (B-17),
        and while there is no primary.

        Args:
            timeout_s: how long to wait, in seconds; None: as long as it takes.

        Raises:
            LrmNotStartedError, SessionHeldError, NoPrimaryError: still so at the deadline.
            ConfservError: refused for a reason that waiting does not cure (B-16).
        """
        await self._open(timeout_s)
        self._keeper = asyncio.create_task(self._keep(), name=f"keep session {self._request.application}")
        return self.application_object

    async def wait_open(self, *, timeout_s: float | None = None) -> None:
        """Return once the session is open; raises TimeoutError when it is not within `timeout_s` seconds."""
        async with asyncio.timeout(timeout_s):
            await self._opened.wait()

    async def close(self) -> None:
        """Stop keeping the session and close it at the server, if it answers within a second."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self.state is SessionState.OPEN:
            with contextlib.suppress(ConfservError):
                await self._channel.unary(
                    CLOSE_SESSION,
                    sessions_pb2.CloseSessionRequest(session_id=self.session_id),
                    timeout_s=_CLOSE_S,
                )
        self._become(SessionState.CLOSED, "closed by the application")

    async def _open(self, timeout_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        was_open = self._keeper is not None
        tries = 0
        while True:
            remaining = _ATTEMPT_S if deadline is None else max(0.001, deadline - loop.time())
            try:
                response = await self._channel.unary(
                    OPEN_SESSION, self._request, timeout_s=min(_ATTEMPT_S, remaining)
                )
            except ConfservError as error:
                pause_s = self._pause_after(error, was_open=was_open, tries=tries)
                self._become(SessionState.LOST if was_open else SessionState.WAITING, error.message)
                if deadline is not None and loop.time() + pause_s >= deadline:
                    raise
                tries += 1
                await asyncio.sleep(pause_s)
            else:
                self._granted(response)
                return

    def _pause_after(self, error: ConfservError, *, was_open: bool, tries: int) -> float:
        """Seconds to wait before asking again; raises `error` when that does not help."""
        if isinstance(error, NoPrimaryError):
            return 0.0
        step = after_refusal(error.reason, was_open=was_open, tries=tries, draw=_draw())
        if isinstance(step, Refused):
            raise error
        return step.after_s

    def _granted(self, response: sessions_pb2.OpenSessionResponse) -> None:
        self._lease_ttl_ms = response.lease_ttl_ms or _FIRST_LEASE_MS
        self.application_object = response.application
        self._learn(response.members)
        self._become(SessionState.OPEN, "session granted")

    def _learn(self, members: Sequence[ha_pb2.Member]) -> None:
        self._channel.learn([address for member in members for address in member.endpoints])

    def _become(self, state: SessionState, detail: str) -> None:
        if state is SessionState.OPEN:
            self._opened.set()
        else:
            self._opened.clear()
        if state is not self.state:
            self.state = state
            if self._on_change is not None:
                self._on_change(state, detail)

    async def _keep(self) -> None:
        """Keep the session wherever the role moves, and open it again when the server does not know it."""
        tries = 0
        while True:
            try:
                lease_s = self._lease_ttl_ms / 1000
                async with await self._channel.bidi_stream(KEEP_SESSION, timeout_s=lease_s) as stream:
                    async for answer in _kept(stream, self.session_id, lambda: self._lease_ttl_ms):
                        tries = 0
                        self._lease_ttl_ms = answer.lease_ttl_ms or self._lease_ttl_ms
                        self._learn(answer.members)
                        self._become(SessionState.OPEN, "session kept")
                await asyncio.sleep(pause_s(tries, draw=_draw()))
                tries += 1
            except SessionRequiredError as error:
                self._become(SessionState.LOST, error.message)
                await self._open(None)
            except NoPrimaryError as error:
                self._become(SessionState.LOST, error.message)
            except ConfservError as error:
                if isinstance(error, SilentError):
                    self._channel.suspect(error.endpoint)
                await self._recover(error, tries=tries)
                tries += 1

    async def _recover(self, error: ConfservError, *, tries: int) -> None:
        try:
            await self._channel.recover(error, tries=tries)
        except ConfservError:
            self._become(SessionState.LOST, error.message)
            await asyncio.sleep(self._pause_after(error, was_open=True, tries=tries))


def _draw() -> float:
    return random.random()  # noqa: S311  # spreads callers; nothing secret depends on it


async def _kept(
    stream: Stream[sessions_pb2.KeepSessionRequest, sessions_pb2.KeepSessionResponse],
    session_id: str,
    lease_ttl_ms: Callable[[], int],
) -> _Answers:
    """Send a request each third of the lease and give the answers.

    Raises SilentError when an answer does not come before the next request is due: a server that hangs
    would let the lease run out.
    """
    request = sessions_pb2.KeepSessionRequest(session_id=session_id)
    reading = asyncio.create_task(stream.read())
    try:
        while True:
            await stream.write(request)
            interval_s = keep_interval_s(lease_ttl_ms())
            if not (await asyncio.wait({reading}, timeout=interval_s))[0]:
                raise SilentError(stream.endpoint, interval_s)
            answer = reading.result()
            if answer is None:
                return
            yield answer
            reading = asyncio.create_task(stream.read())
            await asyncio.wait({reading}, timeout=keep_interval_s(lease_ttl_ms()))
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
