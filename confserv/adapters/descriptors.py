"""Builds the table of types from the descriptors of the protos: a new type is a new message and nothing else.

Every message of `objects.proto` with the option `object_type` is the body of a type; its fields' options are
the rules. Single values are checked by the same table, not by protovalidate, whose wheel brings no
`validate.proto`.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from confapi.config.v1 import objects_pb2, rules_pb2
from confserv.core.objects import NameScope, TypeName
from confserv.core.types import MAX_TEXT, FieldKind, FieldSpec, OnDelete, TypeSpec, TypeTable

# protoc's stubs and typeshed's do not agree on the type of an extension
_TYPE_RULES: Any = rules_pb2.object_type
_FIELD_RULES: Any = rules_pb2.rules
_KINDS = {
    FieldDescriptor.CPPTYPE_STRING: FieldKind.TEXT,
    FieldDescriptor.CPPTYPE_INT32: FieldKind.INTEGER,
    FieldDescriptor.CPPTYPE_INT64: FieldKind.INTEGER,
    FieldDescriptor.CPPTYPE_UINT32: FieldKind.INTEGER,
    FieldDescriptor.CPPTYPE_UINT64: FieldKind.INTEGER,
    FieldDescriptor.CPPTYPE_BOOL: FieldKind.FLAG,
    FieldDescriptor.CPPTYPE_DOUBLE: FieldKind.NUMBER,
    FieldDescriptor.CPPTYPE_FLOAT: FieldKind.NUMBER,
    FieldDescriptor.CPPTYPE_ENUM: FieldKind.CHOICE,
}
_SCOPES = {
    rules_pb2.NAME_SCOPE_UNSPECIFIED: NameScope.ENVIRONMENT,
    rules_pb2.NAME_SCOPE_ENVIRONMENT: NameScope.ENVIRONMENT,
    rules_pb2.NAME_SCOPE_TENANT: NameScope.TENANT,
    rules_pb2.NAME_SCOPE_FOLDER: NameScope.FOLDER,
}
_ON_DELETE = {
    rules_pb2.ON_DELETE_UNSPECIFIED: OnDelete.REFUSE,
    rules_pb2.ON_DELETE_REFUSE: OnDelete.REFUSE,
    rules_pb2.ON_DELETE_CLEAR: OnDelete.CLEAR,
    rules_pb2.ON_DELETE_CASCADE: OnDelete.CASCADE,
}


def type_table() -> TypeTable:
    """Give the rules of every type of the product."""
    messages = objects_pb2.DESCRIPTOR.message_types_by_name.values()
    specs = [_type_spec(m) for m in messages if m.GetOptions().HasExtension(_TYPE_RULES)]
    return {spec.name: spec for spec in specs}


def _type_spec(message: Descriptor) -> TypeSpec:
    rules: rules_pb2.TypeRules = message.GetOptions().Extensions[_TYPE_RULES]
    return TypeSpec(
        name=TypeName(message.name),
        scope=_SCOPES[rules.name_scope],
        in_tenant=rules.in_tenant,
        in_folder=rules.in_folder,
        fields={field.name: _field_spec(field) for field in message.fields},
    )


def _field_spec(field: FieldDescriptor) -> FieldSpec:
    rules: rules_pb2.FieldRules = field.GetOptions().Extensions[_FIELD_RULES]
    return FieldSpec(
        name=field.name,
        kind=_KINDS.get(field.cpp_type, FieldKind.OTHER),
        repeated=field.is_repeated,
        reference=TypeName(rules.reference) if rules.reference else None,
        on_delete=_ON_DELETE[rules.on_delete],
        required=rules.required,
        immutable=rules.immutable,
        server_owned=rules.server_owned,
        secret=rules.secret,
        minimum=rules.minimum if rules.HasField("minimum") else None,
        maximum=rules.maximum if rules.HasField("maximum") else None,
        max_length=rules.max_length or MAX_TEXT,
        choices=_choices(field),
    )


def _choices(field: FieldDescriptor) -> dict[int, str]:
    kind: Any = field.enum_type
    return {} if kind is None else {value.number: value.name for value in kind.values if value.number}
