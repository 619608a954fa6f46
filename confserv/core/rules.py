"""The rules that every object obeys, driven by the table of types: names, scopes, tenants, folders, fields,
references.

Every refusal names the field, what is wrong with it, and what would be right (B-60, B-61). The rules look at
a view, so at memory and at all that waits before this write. They change nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from confserv.core.configuration import View
from confserv.core.objects import (
    ENVIRONMENT,
    NOTHING,
    Codec,
    ConfigObject,
    Dbid,
    Key,
    NameScope,
    Options,
    TypeName,
    Value,
    name_key,
)
from confserv.core.refusals import Reason, Refused, invalid
from confserv.core.types import CUSTOM_TYPE, FieldKind, FieldSpec, TypeSpec, TypeTable, custom_type

MAX_NAME = 255
MAX_OPTION_NAME = 255
MAX_OPTION_VALUE = 65_536
MAX_OBJECT_BYTES = 1_048_576

_CUSTOM_NAME = re.compile(r"[a-z][A-Za-z0-9_-]*")
_TREES = {TypeName("Tenant"): "parent", TypeName("Folder"): "folder"}


class Schemas(Protocol):
    """Checks structures of custom types against JSON Schema; pure."""

    def fault_of_schema(self, schema: str) -> str | None:
        """Say what is wrong with a schema, None for nothing."""

    def fault_of(self, schema: str, value: Mapping[str, Value]) -> str | None:
        """Say what is wrong with a structure under a schema, None for nothing."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The table of types, with what is needed to look into objects."""

    types: TypeTable
    codec: Codec
    schemas: Schemas

    def scope_of(self, type: TypeName) -> NameScope:
        """Give the scope of names of a type; custom types have the tenant's."""
        spec = self.types.get(type)
        return NameScope.TENANT if spec is None else spec.scope

    def spec(self, view: View, type: TypeName) -> TypeSpec:
        """Give the rules of a type, of the product or registered. Raises Refused (UNKNOWN_TYPE)."""
        found = self.types.get(type)
        if found is not None:
            return found
        key = view.find(
            name_key(NameScope.ENVIRONMENT, type=CUSTOM_TYPE, tenant=NOTHING, folder=NOTHING, name=type)
        )
        record = None if key is None else view.get(key)
        if record is None:
            known = ", ".join(sorted(self.types))
            raise Refused(
                Reason.UNKNOWN_TYPE,
                f"type: {type!r} is not one of {known}, nor a registered custom type",
                type=type,
            )
        return custom_type(type, json_schema=str(self.codec.decode(record.data).body.get("json_schema", "")))

    def check(self, view: View, spec: TypeSpec, new: ConfigObject) -> None:
        """Check an object as it is to be, all but its name's being free. Raises Refused."""
        check_name(new.name)
        if spec.name == CUSTOM_TYPE:
            self._check_custom_type(new)
        self._check_tenant(view, spec, new)
        self._check_folder(view, spec, new)
        check_options(new.options, where="options")
        check_options(new.annex, where="annex")
        if spec.is_custom:
            self._check_structure(spec, new)
        else:
            check_fields(view, spec, new.body)
        self._check_tree(view, new)

    def _check_custom_type(self, new: ConfigObject) -> None:
        if not _CUSTOM_NAME.fullmatch(new.name):
            raise invalid(
                f"name: a custom type begins with a lowercase letter, then letters, digits, _ and -; not {new.name!r}",
                field="name",
            )
        schema = str(new.body.get("json_schema", ""))
        fault = self.schemas.fault_of_schema(schema) if schema else None
        if fault is not None:
            raise invalid(f"body.json_schema: {fault}", field="body.json_schema")

    def _check_structure(self, spec: TypeSpec, new: ConfigObject) -> None:
        fault = self.schemas.fault_of(spec.json_schema, new.body) if spec.json_schema else None
        if fault is not None:
            raise invalid(f"body: does not satisfy the schema of type {spec.name}: {fault}", field="body")

    def _check_tenant(self, view: View, spec: TypeSpec, new: ConfigObject) -> None:
        if not spec.in_tenant:
            if new.tenant != ENVIRONMENT:
                raise invalid(
                    f"tenant: objects of type {spec.name} belong to the environment (1)", field="tenant"
                )
            return
        if new.tenant == NOTHING:
            raise invalid(
                f"tenant: an object of type {spec.name} needs one; 1 is the environment", field="tenant"
            )
        if view.get(Key(TypeName("Tenant"), new.tenant)) is None:
            raise _missing("tenant", Key(TypeName("Tenant"), new.tenant))

    def _check_folder(self, view: View, spec: TypeSpec, new: ConfigObject) -> None:
        if new.folder == NOTHING:
            return
        if not spec.in_folder:
            raise invalid(f"folder: objects of type {spec.name} do not lie in folders", field="folder")
        record = view.get(Key(TypeName("Folder"), new.folder))
        if record is None:
            raise _missing("folder", Key(TypeName("Folder"), new.folder))
        holds = self.codec.decode(record.data).body.get("holds")
        wanted = new.body.get("holds") if spec.name == "Folder" else spec.name
        if holds != wanted:
            raise invalid(f"folder: {record} holds {holds!r}, not {wanted!r}", field="folder")
        if record.tenant != new.tenant:
            raise invalid(
                f"folder: {record} belongs to tenant {record.tenant}, not {new.tenant}", field="folder"
            )

    def _check_tree(self, view: View, new: ConfigObject) -> None:
        name = _TREES.get(new.type)
        if name is None or new.dbid == NOTHING:
            return
        above = new.folder if name == "folder" else new.body.get(name, NOTHING)
        if new.type == "Tenant" and above == NOTHING and new.dbid != ENVIRONMENT:
            raise invalid(
                "body.parent: only the environment has none; 1 is the environment", field="body.parent"
            )
        seen = {new.dbid}
        while isinstance(above, int) and above != NOTHING:
            if above in seen:
                raise invalid(f"{name}: {new.type} {new.name!r} would lie in itself", field=name)
            seen.add(Dbid(above))
            record = view.get(Key(new.type, Dbid(above)))
            above = (
                next((r.target.dbid for r in record.references if r.field == name), NOTHING)
                if record
                else NOTHING
            )


def check_name(name: str) -> None:
    """Check a name by itself: 1 to 255 characters, none of them a control character. B-61."""
    if not 1 <= len(name) <= MAX_NAME:
        raise invalid(f"name: needs 1 to {MAX_NAME} characters, has {len(name)}", field="name")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise invalid("name: control characters are not allowed", field="name")


def check_free(view: View, new: ConfigObject) -> None:
    """Check that the name is free in its scope. Raises Refused (ALREADY_EXISTS). B-61."""
    scope = view.scope_of(new.type)
    key = name_key(scope, type=new.type, tenant=new.tenant, folder=new.folder, name=new.name)
    holder = view.find(key)
    if holder is not None and holder != new.key:
        raise Refused(
            Reason.ALREADY_EXISTS,
            f"name: {holder} is already called {new.name!r} in its {scope.value}; choose another name",
            field="name",
            dbid=holder.dbid,
        )


def check_options(options: Options, *, where: str) -> None:
    """Check names and sizes of options; `where` is `options` or `annex`."""
    for section, values in options.items():
        for name in (section, *values):
            if not 1 <= len(name) <= MAX_OPTION_NAME or "\0" in name:
                raise invalid(
                    f"{where}: names have 1 to {MAX_OPTION_NAME} characters, not {name[:40]!r}", field=where
                )
        for name, value in values.items():
            if len(value) > MAX_OPTION_VALUE:
                raise Refused(
                    Reason.TOO_LARGE,
                    f"{where}.{section}.{name}: longer than {MAX_OPTION_VALUE} characters",
                    field=f"{where}.{section}.{name}",
                    limit=MAX_OPTION_VALUE,
                )


def check_fields(view: View, spec: TypeSpec, body: Mapping[str, Value]) -> None:
    """Check every field of a body by the table. Raises Refused (INVALID, NOT_FOUND)."""
    for name in body:
        if name not in spec.fields:
            raise invalid(f"body.{name}: type {spec.name} has no such field", field=f"body.{name}")
    for field in spec.fields.values():
        value = body.get(field.name)
        if value is None:
            if field.required:
                raise invalid(f"body.{field.name}: must be set", field=f"body.{field.name}")
            continue
        for item in value if isinstance(value, tuple) else (value,):
            _check_value(view, field, item)


def _check_value(view: View, field: FieldSpec, value: Value) -> None:
    where = f"body.{field.name}"
    if isinstance(value, str) and len(value) > field.max_length:
        raise invalid(f"{where}: at most {field.max_length} characters, has {len(value)}", field=where)
    if field.kind is FieldKind.CHOICE and value not in field.choices:
        names = ", ".join(f"{n} ({number})" for number, n in field.choices.items() if number)
        raise invalid(f"{where}: {value!r} is none of {names}", field=where)
    if isinstance(value, int) and not isinstance(value, bool):
        _check_bounds(field, value, where)
        if field.reference is not None:
            target = Key(field.reference, Dbid(value))
            if view.get(target) is None:
                raise _missing(where, target)


def _check_bounds(field: FieldSpec, value: int, where: str) -> None:
    if field.minimum is not None and value < field.minimum:
        raise invalid(f"{where}: at least {field.minimum}, not {value}", field=where)
    if field.maximum is not None and value > field.maximum:
        raise invalid(f"{where}: at most {field.maximum}, not {value}", field=where)


def check_unchanged(spec: TypeSpec, before: ConfigObject, after: ConfigObject) -> None:
    """Check that an update leaves alone what never changes. Raises Refused (IMMUTABLE)."""
    if spec.name == CUSTOM_TYPE and before.name != after.name:
        raise _immutable("name", "the name of a custom type is the type of its objects")
    for field in spec.fields.values():
        if field.immutable and before.body.get(field.name) != after.body.get(field.name):
            raise _immutable(f"body.{field.name}", "it is set at creation")


def check_not_set(
    fields: Iterable[FieldSpec], given: Mapping[str, Value], actual: Mapping[str, Value]
) -> None:
    """Check that fields of the server are left out, or given as they are. Raises Refused (IMMUTABLE)."""
    for field in fields:
        if field.server_owned and field.name in given and given[field.name] != actual.get(field.name):
            raise _immutable(f"body.{field.name}", "the server sets it")


def _immutable(field: str, why: str) -> Refused:
    return Refused(Reason.IMMUTABLE, f"{field}: cannot be changed: {why}; leave it as it is", field=field)


def _missing(field: str, target: Key) -> Refused:
    return Refused(
        Reason.NOT_FOUND,
        f"{field}: there is no {target.type} with dbid {target.dbid}",
        field=field,
        type=target.type,
        dbid=target.dbid,
    )
