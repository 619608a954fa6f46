"""Messages of ConfigService to what the core knows: operations, targets, filters. Nothing is decided here.

`ObjectReader` is the codec's half that reads a client's message; it raises the core's `Refused`, as all here
do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

from google.protobuf.message import Message

from confapi.config.v1 import config_pb2, objects_pb2
from confserv.core.objects import ConfigObject, Dbid, TypeName
from confserv.core.operations import Create, Delete, Operation, Target, Update, WriteRequest
from confserv.core.refusals import Reason, Refused, invalid
from confserv.core.watch import Filter

MAX_REASON = 1024


class ObjectReader(Protocol):
    """Reads an object from a client's message."""

    def from_message(self, message: objects_pb2.ConfigObject) -> ConfigObject:
        """Give a message as an object. Raises Refused (INVALID)."""


def target(key: objects_pb2.ObjectKey) -> Target:
    """Read a key: by number or by name."""
    by = key.WhichOneof("by")
    if not key.type or by is None:
        raise invalid("key: needs type, and dbid or name", field="key")
    return Target(
        TypeName(key.type),
        dbid=Dbid(key.dbid) if by == "dbid" else None,
        name=key.name,
        tenant=Dbid(key.tenant),
        folder=Dbid(key.folder),
    )


def create(operation: config_pb2.CreateOperation, reader: ObjectReader) -> Create:
    """Read a creation."""
    return Create(reader.from_message(operation.object))


def update(operation: config_pb2.UpdateOperation, reader: ObjectReader) -> Update:
    """Read a change. The object may leave its type out: the key has it."""
    which = target(operation.key)
    message = operation.object
    if not message.type:
        message.type = which.type
    return Update(
        which,
        reader.from_message(message),
        tuple(operation.update_mask.paths),
        _revision(operation.expected_revision),
    )


def delete(operation: config_pb2.DeleteOperation) -> Delete:
    """Read a deletion."""
    return Delete(target(operation.key), _revision(operation.expected_revision))


def operations(messages: Iterable[config_pb2.Operation], reader: ObjectReader) -> tuple[Operation, ...]:
    """Read the operations of a transaction; a refusal says which."""
    read: list[Operation] = []
    for number, message in enumerate(messages, start=1):
        try:
            read.append(_operation(message, reader))
        except Refused as refusal:
            raise refusal.at_operation(number) from None
    return tuple(read)


def _operation(message: config_pb2.Operation, reader: ObjectReader) -> Operation:
    match message.WhichOneof("kind"):
        case "create":
            return create(message.create, reader)
        case "update":
            return update(message.update, reader)
        case "delete":
            return delete(message.delete)
        case _:
            raise invalid("needs create, update or delete", field="operations")


def write_request(message: Message, context: config_pb2.WriteContext, *, actor: str) -> WriteRequest:
    """Read what all writes carry. The operations are left out: the caller adds them.

    The content hash is of the whole message without its request id, so before anything in it was changed.
    """
    request_id = context.request_id
    if len(context.reason) > MAX_REASON or "\0" in context.reason:
        raise Refused(
            Reason.TOO_LARGE,
            f"context.reason: at most {MAX_REASON} characters",
            field="context.reason",
            limit=MAX_REASON,
        )
    context.request_id = ""
    content = message.DESCRIPTOR.full_name.encode() + message.SerializeToString(deterministic=True)
    context.request_id = request_id
    return WriteRequest(actor, request_id, hashlib.sha256(content).digest(), context.reason, ())


def watch_filter(message: config_pb2.WatchFilter) -> Filter:
    """Read a filter."""
    return Filter(
        types=frozenset(TypeName(type) for type in message.types),
        tenant=Dbid(message.tenant),
        folder=Dbid(message.folder),
        name_prefix=message.name_prefix,
    )


def _revision(number: int) -> int:
    if number < 0:
        raise invalid("expected_revision: not negative; 0 is any", field="expected_revision")
    return number
