"""From what somebody wants to the one transaction that makes it so.

Why it exists: the operator's `apply` and the installer's `install` take documents that name objects, and must be able
to run again without harm. Pure: the objects that exist are an argument, as the caller read them. Whoever changes them
in between is noticed by the expected revisions, and the transaction is refused (STALE_REVISION).

What a document leaves out stays as it is. A reference may be a name, also of an object that the same transaction makes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import any_pb2

from confapi.config.v1 import config_pb2, objects_pb2
from confclient.documents import (
    Document,
    DocumentError,
    belongs_to_tenant,
    document_of,
    object_of,
    reference_fields,
)
from confclient.objects import create, key_of, update

Name = tuple[str, str]
"""Type and name."""

ENVIRONMENT = 1
"""dbid of the tenant that exists from the first start."""


class Outcome(enum.StrEnum):
    """What the transaction does to a declared object."""

    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Planned:
    """What happens to one declared object."""

    type: str
    name: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Plan:
    """One transaction, empty when everything is as declared."""

    operations: tuple[config_pb2.Operation, ...]
    objects: tuple[Planned, ...]


def names_in(documents: Sequence[Mapping[str, Any]]) -> list[Name]:
    """Every object that the documents declare or refer to by name, each once: what the caller has to read.

    Raises:
        DocumentError: a document lacks type or name.
    """
    found: dict[Name, None] = {}
    for position, document in enumerate(documents):
        found[_name_of(document, position)] = None
        for _, type_, value in _references(document):
            found.update({(type_, one): None for one in _listed(value) if isinstance(one, str)})
    return list(found)


def plan(documents: Sequence[Mapping[str, Any]], existing: Mapping[Name, objects_pb2.ConfigObject]) -> Plan:
    """Compare what is declared with what exists.

    Raises:
        DocumentError: a document has a wrong form, or refers to an object that neither exists nor is declared.
    """
    operations: list[config_pb2.Operation] = []
    planned: list[Planned] = []
    numbers: dict[Name, int] = {name: item.dbid for name, item in existing.items()}
    for position, document in enumerate(documents):
        name = _name_of(document, position)
        try:
            resolved = _resolved(document, numbers)
            operation = _operation(resolved, existing.get(name))
        except DocumentError as error:
            raise DocumentError(f"{name[0]} {name[1]}: {error.path}", error.message) from error
        if operation is not None:
            operations.append(operation)
            if name not in existing:
                numbers[name] = -len(operations)
        planned.append(Planned(*name, _outcome(operation)))
    return Plan(tuple(operations), tuple(planned))


def _name_of(document: Mapping[str, Any], position: int) -> Name:
    type_, name = document.get("type"), document.get("name")
    if not isinstance(type_, str) or not isinstance(name, str) or not type_ or not name:
        raise DocumentError(f"document {position + 1}", "type and name are needed")
    return type_, name


def _references(document: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """Path, type and value of each reference: the tenant of the envelope, and fields of the body."""
    found = [("tenant", "Tenant", document["tenant"])] if document.get("tenant") else []
    body = document.get("body") or {}
    for field, type_ in reference_fields(str(document.get("type"))).items():
        if isinstance(body, Mapping) and field in body:
            found.append((f"body.{field}", type_, body[field]))
    return found


def _resolved(document: Mapping[str, Any], numbers: Mapping[Name, int]) -> Document:
    """The document with numbers in place of names."""
    resolved: Document = {**document}
    if isinstance(document.get("body"), Mapping):
        resolved["body"] = {**document["body"]}
    for path, type_, value in _references(document):
        number = [_number_of(one, type_, path, numbers) for one in _listed(value)]
        target, _, field = path.rpartition(".")
        holder = resolved[target] if target else resolved
        holder[field] = number if isinstance(value, list) else number[0]
    return resolved


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _number_of(value: Any, type_: str, path: str, numbers: Mapping[Name, int]) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise DocumentError(path, f"has to be the name or the number of a {type_}")
    if (type_, value) not in numbers:
        raise DocumentError(path, f"there is no {type_} {value!r}, and none is declared before it")
    return numbers[type_, value]


def _operation(
    document: Mapping[str, Any], existing: objects_pb2.ConfigObject | None
) -> config_pb2.Operation | None:
    wanted = object_of(document)
    if existing is None:
        if belongs_to_tenant(wanted.type):
            wanted.tenant = wanted.tenant or ENVIRONMENT
        return create(wanted)
    mask, item = _difference(document, wanted, existing)
    if not mask:
        return None
    key = key_of(existing.type, dbid=existing.dbid)
    return update(key, item, mask=mask, expected_revision=existing.revision)


def _difference(
    document: Mapping[str, Any], wanted: objects_pb2.ConfigObject, existing: objects_pb2.ConfigObject
) -> tuple[list[str], objects_pb2.ConfigObject]:
    """Paths in which an object is not as declared, and the object that carries their new values."""
    now, then = document_of(existing), document_of(wanted)
    item = objects_pb2.ConfigObject()
    item.CopyFrom(wanted)
    mask = [key for key in ("state", "folder") if key in document and now[key] != then[key]]
    for kind in ("options", "annex"):
        mask += _changed_options(kind, now[kind], then[kind], existing, item)
    body = document.get("body") or {}
    changed = [field for field in body if now["body"].get(field) != then["body"].get(field)]
    mask += ["body" if _is_struct(wanted.body) else f"body.{field}" for field in changed]
    return list(dict.fromkeys(mask)), item


def _changed_options(
    kind: str,
    now: Document,
    then: Document,
    existing: objects_pb2.ConfigObject,
    item: objects_pb2.ConfigObject,
) -> list[str]:
    changed = [
        (section, option)
        for section, values in then.items()
        for option, value in values.items()
        if now.get(section, {}).get(option) != value
    ]
    if any("." in section for section, _ in changed):
        # a path cannot name such a section: send all of them, under the revision that was read
        merged = getattr(item, kind)
        for section, values in getattr(existing, kind).sections.items():
            for option, value in values.options.items():
                merged.sections[section].options.setdefault(option, value)
        return [kind]
    return [f"{kind}.{section}.{option}" for section, option in changed]


def _is_struct(body: any_pb2.Any) -> bool:
    return body.type_url.endswith("google.protobuf.Struct")


def _outcome(operation: config_pb2.Operation | None) -> Outcome:
    if operation is None:
        return Outcome.UNCHANGED
    return Outcome.CREATE if operation.HasField("create") else Outcome.UPDATE
