"""Messages put together from parts that are serialized already: an object is serialized once, when it is
committed.

A handler may hand out such bytes as they are, when its service was added by `add_bytes_service`.
"""

from __future__ import annotations

from typing import Any

import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

_LENGTH_DELIMITED = 2


def embed(field: int, data: bytes) -> bytes:
    """Give the bytes of an embedded message (or text) in the field of that number."""
    return b"".join((_varint(field << 3 | _LENGTH_DELIMITED), _varint(len(data)), data))


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def add_bytes_service(service: ServiceDescriptor, servicer: Any, server: grpc.aio.Server) -> None:
    """Add a service whose handlers answer with messages, or with their bytes."""
    handlers = {method.name: _handler(method, servicer) for method in service.methods}
    server.add_registered_method_handlers(service.full_name, handlers)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


def _handler(method: MethodDescriptor, servicer: Any) -> Any:
    make = (
        grpc.unary_stream_rpc_method_handler
        if method.server_streaming
        else grpc.unary_unary_rpc_method_handler
    )
    return make(
        getattr(servicer, method.name),
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=_as_bytes,
    )


def _as_bytes(message: Any) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()
