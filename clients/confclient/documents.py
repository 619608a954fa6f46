"""Objects of the configuration as plain documents, for people, files and scripts, and back.

A document has the keys type, dbid, name, tenant, folder, state, revision, options, annex, body; numbers are numbers,
enumerations their names in lowercase without prefix. Whatever `document_of` gives, `object_of` takes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, cast

from google.protobuf import any_pb2, json_format, struct_pb2
from google.protobuf.message import Message

from confapi.config.v1 import objects_pb2, rules_pb2

Document = dict[str, Any]

# protoc's stubs and typeshed's do not agree on the type of an extension
_TYPE_RULES: Any = rules_pb2.object_type
_FIELD_RULES: Any = rules_pb2.rules
_KEYS = ("type", "dbid", "name", "tenant", "folder", "state", "revision", "options", "annex", "body")


class DocumentError(ValueError):
    """A document is no object; `path` says where, as body.template."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message


BODIES: Mapping[str, type[Message]] = {
    name: getattr(objects_pb2, name)
    for name, message in objects_pb2.DESCRIPTOR.message_types_by_name.items()
    if message.GetOptions().HasExtension(_TYPE_RULES)
}
"""Types of the product, with the message of their body; any other type is a custom one."""


def belongs_to_tenant(type_: str) -> bool:
    """Whether objects of a type have to name a tenant; custom ones need not."""
    body = BODIES.get(type_)
    return body is not None and bool(body.DESCRIPTOR.GetOptions().Extensions[_TYPE_RULES].in_tenant)


def reference_fields(type_: str) -> Mapping[str, str]:
    """Fields of a type's body that refer to other objects, with the type referred to."""
    body = BODIES.get(type_)
    if body is None:
        return {}
    rules = {field.name: field.GetOptions().Extensions[_FIELD_RULES] for field in body.DESCRIPTOR.fields}
    return {name: rule.reference for name, rule in rules.items() if rule.reference}


def plain(message: Message) -> Document:
    """Any message as a document: every field, nested ones too; bytes in base64; unset messages as None."""
    return {field.name: _plain_field(message, field) for field in message.DESCRIPTOR.fields}


def document_of(item: objects_pb2.ConfigObject) -> Document:
    """An object as a document."""
    state = "disabled" if item.state == objects_pb2.OBJECT_STATE_DISABLED else "enabled"
    return {
        "type": item.type,
        "dbid": item.dbid,
        "name": item.name,
        "tenant": item.tenant,
        "folder": item.folder,
        "state": state,
        "revision": item.revision,
        "options": _plain_options(item.options),
        "annex": _plain_options(item.annex),
        "body": body_document(item),
    }


def body_document(item: objects_pb2.ConfigObject) -> Document:
    """The body of an object as a document; a body that is not known keeps its type in `@type`."""
    if not item.HasField("body"):
        return {}
    for kind in (BODIES.get(item.type, struct_pb2.Struct), struct_pb2.Struct):
        body = kind()
        if item.body.Unpack(body):
            return cast(Document, _plain_value(body))
    return {"@type": item.body.type_url}


def object_of(document: Mapping[str, Any]) -> objects_pb2.ConfigObject:
    """A document as an object; what it leaves out is unset.

    Raises:
        DocumentError: a key is unknown, or a value has the wrong form.
    """
    unknown = [key for key in document if key not in _KEYS]
    if unknown:
        raise DocumentError(unknown[0], f"no such key; an object has {', '.join(_KEYS)}")
    item = objects_pb2.ConfigObject(type=_text(document, "type"), name=_text(document, "name"))
    for key in ("dbid", "tenant", "folder", "revision"):
        setattr(item, key, _number(document, key))
    item.state = _state(document.get("state", ""))
    for key in ("options", "annex"):
        if document.get(key):
            getattr(item, key).CopyFrom(options_of(document[key], path=key))
    if document.get("body") is not None:
        item.body.CopyFrom(packed_body(item.type, document["body"]))
    return item


def packed_body(type_: str, body: Mapping[str, Any]) -> any_pb2.Any:
    """A document as the body of an object of a type; raises DocumentError."""
    message = BODIES.get(type_, struct_pb2.Struct)()
    if not isinstance(body, Mapping):
        raise DocumentError("body", "has to be a table of fields")
    _check_fields(message, body)
    try:
        json_format.ParseDict(_with_enum_names(message, body), message)
    except json_format.ParseError as error:
        raise DocumentError("body", str(error)) from error
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def options_of(sections: Mapping[str, Any], *, path: str = "options") -> objects_pb2.Options:
    """Section → option → value as a message; numbers and booleans become their text; raises DocumentError."""
    options = objects_pb2.Options()
    if not isinstance(sections, Mapping):
        raise DocumentError(path, "has to be a table of sections")
    for section, values in sections.items():
        if not isinstance(values, Mapping):
            raise DocumentError(f"{path}.{section}", "has to be a table of options")
        entry = options.sections[str(section)]
        for option, value in values.items():
            entry.options[str(option)] = option_text(value, path=f"{path}.{section}.{option}")
    return options


def option_text(value: Any, *, path: str) -> str:
    """The text of an option's value; raises DocumentError for a list or table."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise DocumentError(path, "has to be a text, a number or true/false")


def enum_name(enum: Any, number: int) -> str:
    """A value of an enumeration as people read it: APPLICATION_TYPE_GENERIC_SERVER → generic_server."""
    value = enum.values_by_number.get(number)
    return value.name.removeprefix(_prefix(enum)).lower() if value else str(number)


def enum_number(enum: Any, name: str) -> int | None:
    """The number behind a name, short or long, in any case, with - or _; None when there is none."""
    wanted = name.strip().upper().replace("-", "_")
    value = enum.values_by_name.get(_prefix(enum) + wanted) or enum.values_by_name.get(wanted)
    return value.number if value else None


def _prefix(enum: Any) -> str:
    first: str = enum.values_by_number[0].name
    return first.removesuffix("UNSPECIFIED")


def _plain_options(options: objects_pb2.Options) -> Document:
    return {
        title: dict(sorted(section.options.items())) for title, section in sorted(options.sections.items())
    }


def _plain_value(value: Any) -> Any:
    if isinstance(value, struct_pb2.Struct):
        return json_format.MessageToDict(value)
    if isinstance(value, objects_pb2.ConfigObject):
        return document_of(value)
    if isinstance(value, objects_pb2.Options):
        return _plain_options(value)
    if isinstance(value, Message):
        return plain(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _plain_field(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {str(key): _plain_value(value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_plain_one(field, one) for one in value]
    if field.message_type is not None and not message.HasField(field.name):
        return None
    return _plain_one(field, value)


def _plain_one(field: Any, value: Any) -> Any:
    return enum_name(field.enum_type, value) if field.enum_type is not None else _plain_value(value)


def _check_fields(message: Message, body: Mapping[str, Any]) -> None:
    if isinstance(message, struct_pb2.Struct):
        return
    fields = message.DESCRIPTOR.fields_by_name
    for name in body:
        if name not in fields:
            raise DocumentError(f"body.{name}", f"no such field; there are {', '.join(sorted(fields))}")


def _with_enum_names(message: Message, body: Mapping[str, Any]) -> Document:
    """Short names of enumerations as the numbers that protobuf wants."""
    numbers: Document = dict(body)
    for field in message.DESCRIPTOR.fields:
        if field.enum_type is None or not isinstance(body.get(field.name), str):
            continue
        number = enum_number(field.enum_type, body[field.name])
        if number is None:
            names = ", ".join(
                enum_name(field.enum_type, value.number) for value in field.enum_type.values[1:]
            )
            raise DocumentError(f"body.{field.name}", f"{body[field.name]!r} is none of {names}")
        numbers[field.name] = number
    return numbers


def _state(name: Any) -> objects_pb2.ObjectState:
    if name in ("", None):
        return objects_pb2.OBJECT_STATE_UNSPECIFIED
    states = {"enabled": objects_pb2.OBJECT_STATE_ENABLED, "disabled": objects_pb2.OBJECT_STATE_DISABLED}
    if name not in states:
        raise DocumentError("state", f"{name!r} is neither enabled nor disabled")
    return states[name]


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise DocumentError(key, "has to be a text")
    return value


def _number(document: Mapping[str, Any], key: str) -> int:
    value = document.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DocumentError(key, "has to be a whole number")
    return value
