"""A gRPC server as every process of the system runs it: TLS, roles, reasons, health.

Deny by default: an RPC that stands in no policy is refused, whoever calls. The caller is who its
certificate says (`caller()`), of this cluster, in one of the roles that the policy lists for the RPC.
A `ConfservError` becomes its status; anything else becomes INTERNAL with an incident id, and is logged
with its trace, and the server goes on (`B-60`).
"""

from __future__ import annotations

import contextvars
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from confclient.credentials import MAX_MESSAGE_BYTES, TlsFiles, server_credentials
from confclient.errors import (
    CertificateMismatchError,
    ConfservError,
    InternalError,
    PermissionDeniedError,
    UnauthenticatedError,
    trailing_metadata,
)
from confclient.identity import CertificateRole, Principal, principal_from_sans
from confkit.settings import split_address

Policy = Mapping[str, frozenset[CertificateRole]]
"""Full name of an RPC (`/package.Service/Method`) → roles that may call it."""

EVERYBODY = frozenset(CertificateRole)
PEOPLE = frozenset({CertificateRole.ADMINISTRATOR})

_OPEN = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
_caller: contextvars.ContextVar[Principal] = contextvars.ContextVar("caller")
_log = structlog.get_logger()


class BindError(Exception):
    """The address cannot be bound (exit status 1); the message names it and says what to do."""


def caller() -> Principal:
    """Who calls, inside a servicer's method."""
    return _caller.get()


class GrpcServer:
    """A server to which services are added, then started once.

    Args:
        listen: host:port; port 0 takes a free one.
        tls: the server's files.
        cluster: only certificates of this cluster may call.
        policy: who may call what.
    """

    def __init__(self, *, listen: str, tls: TlsFiles, cluster: str, policy: Policy) -> None:
        self._listen = listen
        self._tls = tls
        self._server = grpc.aio.server(
            interceptors=(_Guard(cluster=cluster, policy=policy),),
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),  # a port in use is an error, not a second server
                ("grpc.keepalive_time_ms", 10_000),
                ("grpc.keepalive_timeout_ms", 3_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
                ("grpc.http2.max_ping_strikes", 0),
            ],
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._services = [reflection.SERVICE_NAME, health.SERVICE_NAME]
        self.port = 0

    def add(self, register: Callable[[Any, grpc.aio.Server], None], servicer: Any, service: str) -> None:
        """Add a service.

        Args:
            register: the generated `add_…Servicer_to_server`.
            servicer: the servicer.
            service: full name of the service, for health and reflection.
        """
        register(servicer, self._server)
        self._services.append(service)

    def bind(self) -> str:
        """Bind the address and return it as host:port; services may be added until `start`.

        Raises:
            BindError: the port is in use, or the address is not of this host.
        """
        host, _ = split_address(self._listen)
        try:
            self.port = self._server.add_secure_port(self._listen, server_credentials(self._tls))
        except RuntimeError:
            raise BindError(
                f"cannot listen on {self._listen}: the port is in use, or the address is not of this host; "
                "choose another in `listen`, or stop the process that has it (ss -ltnp)"
            ) from None
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    async def start(self) -> None:
        """Serve; health says NOT_SERVING until `set_serving`."""
        reflection.enable_server_reflection(self._services, self._server)
        await self._server.start()
        await self.set_serving(serving=False)

    async def set_serving(self, *, serving: bool) -> None:
        """Set gRPC health of the server and of each of its services."""
        status = (
            health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for service in ("", *self._services[2:]):
            await self._health.set(service, status)

    async def stop(self, grace_s: float) -> None:
        """Admit no new call, give those that run `grace_s` seconds, then end them."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)


class _Guard(grpc.aio.ServerInterceptor):
    """Finds the caller, asks the policy, maps errors."""

    def __init__(self, *, cluster: str, policy: Policy) -> None:
        self._cluster = cluster
        self._policy = policy

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(details)
        method = str(details.method)
        if handler is None or method.startswith(_OPEN):
            return handler
        return self._guarded(handler, method)

    def _guarded(self, handler: Any, method: str) -> Any:
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        inner = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        behaviour = (
            self._streamed(inner, method) if handler.response_streaming else self._single(inner, method)
        )
        return make(
            behaviour,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _single(self, inner: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Awaitable[Any]]:
        async def behaviour(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                self._admit(context, method)
                return await inner(request, context)
            except Exception as error:
                await _abort(context, error, method)

        return behaviour

    def _streamed(
        self, inner: Callable[..., AsyncIterator[Any]], method: str
    ) -> Callable[..., AsyncIterator[Any]]:
        async def behaviour(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            try:
                self._admit(context, method)
                async for message in inner(request, context):
                    yield message
            except Exception as error:
                await _abort(context, error, method)

        return behaviour

    def _admit(self, context: grpc.aio.ServicerContext[Any, Any], method: str) -> None:
        principal = _principal(context)
        if principal is None:
            raise UnauthenticatedError(
                "the certificate carries no role: "
                "it needs one URI confserv://CLUSTER/ROLE/NAME as alternative name"
            )
        if principal.cluster != self._cluster:
            raise CertificateMismatchError(
                f"the certificate is for cluster {principal.cluster!r}, this is {self._cluster!r}: "
                "use one of this cluster",
                cluster=self._cluster,
            )
        if principal.role not in self._policy.get(method, frozenset()):
            raise PermissionDeniedError(
                f"a certificate of role {principal.role} may not call {method}", role=principal.role
            )
        _caller.set(principal)


def _principal(context: grpc.aio.ServicerContext[Any, Any]) -> Principal | None:
    auth: Mapping[str, Any] = context.auth_context()
    names = auth.get("x509_subject_alternative_name", ())
    return principal_from_sans(name.decode("utf-8", "replace") for name in names)


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception, method: str) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, ConfservError):
        incident = uuid.uuid4().hex[:12]
        _log.error("call failed on a defect", method=method, incident=incident, exc_info=error)
        error = InternalError(
            f"the server failed on this call; its log has the trace under incident {incident}",
            incident=incident,
        )
    await context.abort(error.code, error.message, (trailing_metadata(error),))
