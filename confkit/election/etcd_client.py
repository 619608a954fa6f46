"""Calls to an etcd of several endpoints: deadlines, failing over, authentication, one tree of errors.

A call that may be repeated goes to the next endpoint after a failure, within its deadline. One that may not
be repeated (a transaction) is sent once: its failure means that the outcome is not known, and only the next
call goes elsewhere. Messages and stubs are those of the package aetcd.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
from aetcd import rpc
from grpc import aio

from confkit.election.ports import CoordinationRefused, CoordinationUnavailable
from confkit.election.types import LeaseId

_OPTIONS = [
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]
CLOSE_GRACE_S = 1.0
_NEEDS_LEADER = ("hasleader", "true")
_FOR_GOOD = {
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
}

Call = Callable[[aio.Channel, Sequence[tuple[str, str]], float], Awaitable[Any]]


class LeaseNotFound(Exception):
    """etcd knows no such lease."""


class EtcdClient:
    """Connections to one etcd cluster. Make it inside the event loop that uses it; `close` it there.

    `endpoints` are host:port, tried in this order; `credentials` carry our client certificate; `timeout_s` is
    the whole time that a call may take. Username and password are for an etcd with authentication enabled.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        credentials: grpc.ChannelCredentials | None = None,
        timeout_s: float = 1.25,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        if not endpoints:
            raise ValueError("etcd has no endpoints: give at least one host:port")
        self._endpoints = list(endpoints)
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._login = (username, password or "") if username else None
        self._at = 0
        self._channel: aio.Channel | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._token: str | None = None

    @property
    def endpoint(self) -> str:
        """The endpoint in use."""
        return self._endpoints[self._at]

    async def close(self) -> None:
        """Close the connection."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def call(self, call: Call, *, repeatable: bool) -> Any:
        """Do one call within the deadline; see the module for what is repeated.

        Raises CoordinationUnavailable (the outcome is not known), CoordinationRefused (etcd said no, for
        good), LeaseNotFound.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._timeout_s
        attempts = len(self._endpoints) if repeatable else 1
        for attempt in range(attempts):
            left_s = deadline_s - loop.time()
            share_s = left_s / (attempts - attempt)
            try:
                return await self._once(call, share_s)
            except CoordinationUnavailable:
                if attempt == attempts - 1 or loop.time() >= deadline_s:
                    raise
        raise CoordinationUnavailable(f"etcd at {self.endpoint} did not answer in {self._timeout_s:g} s")

    async def _once(self, call: Call, timeout_s: float, *, fresh_login: bool = False) -> Any:
        endpoint, channel = self.endpoint, self._connect()
        try:
            async with asyncio.timeout(timeout_s):
                return await call(channel, await self._metadata(channel, timeout_s), timeout_s)
        except TimeoutError:
            self._go_on(channel)
            raise CoordinationUnavailable(f"etcd at {endpoint} did not answer in {timeout_s:.2f} s") from None
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise CoordinationUnavailable(f"etcd at {endpoint}: the connection was left") from None
        except aio.AioRpcError as error:
            details = error.details() or ""
            if "lease not found" in details:
                raise LeaseNotFound(details) from None
            if "invalid auth token" in details and self._login and not fresh_login:
                self._token = None
                return await self._once(call, timeout_s, fresh_login=True)
            if error.code() in _FOR_GOOD:
                raise CoordinationRefused(f"etcd at {endpoint}: {error.code().name}: {details}") from None
            self._go_on(channel)
            raise CoordinationUnavailable(f"etcd at {endpoint}: {error.code().name}: {details}") from None

    async def _metadata(self, channel: aio.Channel, timeout_s: float) -> Sequence[tuple[str, str]]:
        if self._login is None:
            return (_NEEDS_LEADER,)
        if self._token is None:
            name, password = self._login
            answer = await rpc.AuthStub(channel).Authenticate(
                rpc.AuthenticateRequest(name=name, password=password), timeout=timeout_s
            )
            self._token = answer.token
        return (_NEEDS_LEADER, ("token", self._token or ""))

    def _connect(self) -> aio.Channel:
        if self._channel is None:
            if self._credentials is None:
                self._channel = aio.insecure_channel(self.endpoint, options=_OPTIONS)
            else:
                self._channel = aio.secure_channel(self.endpoint, self._credentials, options=_OPTIONS)
        return self._channel

    def _go_on(self, failed: aio.Channel) -> None:
        """Leave a connection that failed; the next call takes a new one, to the next endpoint."""
        if failed is not self._channel:
            return  # another call has gone on already
        self._at = (self._at + 1) % len(self._endpoints)
        self._channel = None
        closing = asyncio.get_running_loop().create_task(failed.close(grace=CLOSE_GRACE_S))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    # --- the calls that are not bound to a component

    async def grant(self, ttl_s: int) -> tuple[LeaseId, float]:
        """Grant a lease: its number and its TTL, in seconds, as granted."""
        answer = await self.call(
            lambda channel, metadata, timeout_s: rpc.LeaseStub(channel).LeaseGrant(
                rpc.LeaseGrantRequest(TTL=ttl_s), timeout=timeout_s, metadata=metadata
            ),
            repeatable=True,
        )
        return LeaseId(answer.ID), float(answer.TTL)

    async def renew(self, lease: LeaseId) -> float:
        """Renew once: the TTL, in seconds, 0 when there is no such lease."""

        async def keep_alive(
            channel: aio.Channel, metadata: Sequence[tuple[str, str]], timeout_s: float
        ) -> float:
            stream = rpc.LeaseStub(channel).LeaseKeepAlive(timeout=timeout_s, metadata=metadata)
            try:
                await stream.write(rpc.LeaseKeepAliveRequest(ID=lease))
                answer = await stream.read()
                if answer is aio.EOF:
                    raise CoordinationUnavailable("etcd ended the stream of renewals")
                return float(answer.TTL)
            finally:
                stream.cancel()

        try:
            return float(await self.call(keep_alive, repeatable=True))
        except LeaseNotFound:
            return 0.0

    async def revoke(self, lease: LeaseId) -> None:
        """End a lease and delete its keys; no error when there is none. Idempotent, so it may be repeated."""
        try:
            await self.call(
                lambda channel, metadata, timeout_s: rpc.LeaseStub(channel).LeaseRevoke(
                    rpc.LeaseRevokeRequest(ID=lease), timeout=timeout_s, metadata=metadata
                ),
                repeatable=True,
            )
        except LeaseNotFound:
            return

    async def lease_keys(self, lease: LeaseId) -> tuple[str, ...]:
        """Give the keys that are attached to a lease: whose it is. Empty when there is no such lease."""
        answer = await self.call(
            lambda channel, metadata, timeout_s: rpc.LeaseStub(channel).LeaseTimeToLive(
                rpc.LeaseTimeToLiveRequest(ID=lease, keys=True), timeout=timeout_s, metadata=metadata
            ),
            repeatable=True,
        )
        return tuple(key.decode(errors="replace") for key in answer.keys)

    async def transact(
        self,
        compare: Sequence[rpc.Compare],
        success: Sequence[rpc.RequestOp],
        *,
        repeatable: bool,
    ) -> rpc.TxnResponse:
        """Do one transaction; only one that changes nothing, or the same thing twice, is `repeatable`."""
        request = rpc.TxnRequest(compare=compare, success=success)
        return await self.call(
            lambda channel, metadata, timeout_s: rpc.KVStub(channel).Txn(
                request, timeout=timeout_s, metadata=metadata
            ),
            repeatable=repeatable,
        )

    async def read(self, start: bytes, end: bytes) -> rpc.RangeResponse:
        """Read the keys from `start` to before `end`, all as of one revision, and no older than the call.

        A range and not a transaction: etcd before 3.4.20 and 3.5.5 panics when the client of a transaction that only
        reads goes away during it.
        """
        request = rpc.RangeRequest(key=start, range_end=end)
        return await self.call(
            lambda channel, metadata, timeout_s: rpc.KVStub(channel).Range(
                request, timeout=timeout_s, metadata=metadata
            ),
            repeatable=True,
        )

    async def watch(self, prefix: str) -> AsyncIterator[Sequence[rpc.Event]]:
        """Yield events below `prefix` from now on; an empty batch first, once the watch stands. Raises
        CoordinationUnavailable.
        """
        endpoint, channel = self.endpoint, self._connect()
        create = rpc.WatchCreateRequest(key=prefix.encode(), range_end=after(prefix))
        try:
            metadata = await self._metadata(channel, self._timeout_s)
            stream = rpc.WatchStub(channel).Watch(metadata=metadata)
            try:
                await stream.write(rpc.WatchRequest(create_request=create))
                while (answer := await stream.read()) is not aio.EOF:
                    if answer.canceled:
                        break
                    yield () if answer.created else answer.events
            finally:
                stream.cancel()
        except aio.AioRpcError as error:
            self._go_on(channel)
            raise CoordinationUnavailable(
                f"watch of etcd at {endpoint}: {error.code().name}: {error.details()}"
            ) from None
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise CoordinationUnavailable(f"watch of etcd at {endpoint}: the connection was left") from None


def _is_cancelled() -> bool:
    """Say whether our own task is being cancelled, and not just a call of a connection that was closed."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def after(prefix: str) -> bytes:
    """Give the key behind all keys that begin with `prefix`, which ends with a slash."""
    return prefix[:-1].encode() + b"0"
