"""Objects as protobuf messages: what the store keeps, what the wire carries, and what the rules look at.

`ProtobufCodec` is the core's codec. The bytes of an object are a serialized `ConfigObject`, so that a read
hands them out as they are. A body must be the message of its type, and carry no field that this version does
not know: it would be lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from confapi.config.v1 import objects_pb2
from confserv.core.applications import ApplicationType
from confserv.core.objects import (
    ENVIRONMENT,
    NOTHING,
    ConfigObject,
    Dbid,
    Key,
    Options,
    Record,
    Reference,
    State,
    TypeName,
    Value,
)
from confserv.core.refusals import Reason, Refused, invalid
from confserv.core.types import TypeTable

_PREFIX = "type.googleapis.com/"
_APPLICATION = "Application"


class ProtobufCodec:
    """Serializes objects as `confapi.config.v1.ConfigObject`."""

    def __init__(self, types: TypeTable) -> None:
        self._types = types
        self._bodies: dict[str, type[Message]] = {name: getattr(objects_pb2, name) for name in types}
        self._looked_into = frozenset(
            name for name, spec in types.items() if any(f.reference for f in spec.fields.values())
        ) | {_APPLICATION}
        self._reference_fields: dict[str, list[tuple[str, TypeName]]] = {
            name: [(field.name, field.reference) for field in spec.fields.values() if field.reference]
            for name, spec in types.items()
        }

    def encode(self, config_object: ConfigObject) -> Record:
        """Serialize an object deterministically, and index it."""
        message = self.to_message(config_object)
        data = message.SerializeToString(deterministic=True)
        return self._record(message, data, config_object.body)

    def decode(self, data: bytes) -> ConfigObject:
        """Read what `encode` wrote."""
        return self.from_message(objects_pb2.ConfigObject.FromString(data))

    def index(self, data: bytes) -> Record:
        """Index what `encode` wrote."""
        message = objects_pb2.ConfigObject.FromString(data)
        looked_into = message.type in self._looked_into
        return self._record(message, data, self._body(message) if looked_into else {})

    def to_message(self, config_object: ConfigObject) -> objects_pb2.ConfigObject:
        """Give an object as its message."""
        message = objects_pb2.ConfigObject(
            type=config_object.type,
            dbid=config_object.dbid,
            name=config_object.name,
            tenant=config_object.tenant,
            folder=config_object.folder,
            state=int(config_object.state),  # type: ignore[arg-type]
            revision=config_object.revision,
        )
        _fill_options(message.options, config_object.options)
        _fill_options(message.annex, config_object.annex)
        message.body.CopyFrom(self._packed(config_object))
        return message

    def from_message(self, message: objects_pb2.ConfigObject) -> ConfigObject:
        """Give a message as an object. Raises Refused (INVALID) for a body that is not of its type."""
        return ConfigObject(
            type=TypeName(message.type),
            name=message.name,
            dbid=Dbid(message.dbid),
            tenant=Dbid(message.tenant),
            folder=Dbid(message.folder),
            state=_state(message.state),
            revision=message.revision,
            options=_options(message.options),
            annex=_options(message.annex),
            body=self._body(message),
        )

    def _packed(self, config_object: ConfigObject) -> AnyMessage:
        kind = self._bodies.get(config_object.type)
        body: Message = struct_pb2.Struct() if kind is None else kind()
        if isinstance(body, struct_pb2.Struct):
            _fill_struct(body, config_object.body)
        else:
            for name, value in config_object.body.items():
                if isinstance(value, tuple):
                    getattr(body, name).extend(value)
                else:
                    setattr(body, name, value)
        return AnyMessage(
            type_url=_PREFIX + body.DESCRIPTOR.full_name, value=body.SerializeToString(deterministic=True)
        )

    def _body(self, message: objects_pb2.ConfigObject) -> Mapping[str, Value]:
        if not message.HasField("body"):
            return {}
        kind = self._bodies.get(message.type)
        body: Message = struct_pb2.Struct() if kind is None else kind()
        wanted, given = body.DESCRIPTOR.full_name, message.body.type_url.rpartition("/")[2]
        if given != wanted:
            raise invalid(f"body: must be a {wanted} for type {message.type!r}, not {given!r}", field="body")
        try:
            body.ParseFromString(message.body.value)
        except DecodeError as error:
            raise invalid(f"body: not a valid {wanted}: {error}", field="body") from None
        if isinstance(body, struct_pb2.Struct):
            return _struct(body)
        unknown: Any = UnknownFieldSet(body)
        if len(unknown):
            number = unknown[0].field_number
            raise invalid(f"body: {wanted} has no field {number} in this version", field="body")
        return {
            field.name: tuple(value) if field.is_repeated else value for field, value in body.ListFields()
        }

    def _record(self, message: objects_pb2.ConfigObject, data: bytes, body: Mapping[str, Value]) -> Record:
        references = []
        if message.tenant not in (NOTHING, ENVIRONMENT):
            references.append(Reference(Key(TypeName("Tenant"), Dbid(message.tenant)), "tenant"))
        if message.folder:
            references.append(Reference(Key(TypeName("Folder"), Dbid(message.folder)), "folder"))
        for name, target in self._reference_fields.get(message.type, ()):
            value = body.get(name)
            for dbid in value if isinstance(value, tuple) else (value,):
                if isinstance(dbid, int) and dbid:
                    references.append(Reference(Key(target, Dbid(dbid)), name))
        return Record(
            key=Key(TypeName(message.type), Dbid(message.dbid)),
            name=message.name,
            tenant=Dbid(message.tenant),
            folder=Dbid(message.folder),
            revision=message.revision,
            data=data,
            references=tuple(references),
            serves_configuration=message.type == _APPLICATION
            and body.get("application_type") == ApplicationType.CONFIGURATION_SERVER,
        )


def _state(number: int) -> State:
    try:
        return State(number)
    except ValueError:
        raise invalid(f"state: {number} is no state", field="state") from None


def _options(message: objects_pb2.Options) -> Options:
    return {name: dict(section.options) for name, section in message.sections.items()}


def _fill_options(message: objects_pb2.Options, options: Options) -> None:
    for name, section in options.items():
        message.sections[name].options.update(section)


def _struct(message: struct_pb2.Struct) -> Mapping[str, Value]:
    return {name: _from_value(value) for name, value in message.fields.items()}


def _from_value(value: struct_pb2.Value) -> Value:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _struct(value.struct_value)
        case "list_value":
            return tuple(_from_value(item) for item in value.list_value.values)
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def _fill_struct(message: struct_pb2.Struct, values: Mapping[str, Value]) -> None:
    for name, value in values.items():
        _fill_value(message.fields[name], value)


def _fill_value(message: struct_pb2.Value, value: Value) -> None:
    target: Any = message
    match value:
        case None:
            target.null_value = struct_pb2.NULL_VALUE
        case bool():
            target.bool_value = value
        case str():
            target.string_value = value
        case int() | float():
            target.number_value = value
        case tuple():
            target.list_value.SetInParent()
            for item in value:
                _fill_value(target.list_value.values.add(), item)
        case Mapping():
            target.struct_value.SetInParent()
            _fill_struct(target.struct_value, value)
        case _:
            raise Refused(Reason.INVALID, f"body: {type(value).__name__} has no place in a structure")
