"""The table of types: what the rules enforce for each type of objects and each of its fields.

An adapter builds it from the descriptors of the protos, so that a new type is a new message and nothing else.
Custom types are not in the table: they are objects themselves, found in the configuration (`custom_type`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from confserv.core.objects import NameScope, TypeName

MAX_TEXT = 4096
"""Longest text of a field without a limit of its own, in characters."""

CUSTOM_TYPE = TypeName("CustomType")
"""The type of the objects that define custom types."""


class FieldKind(Enum):
    """What a field holds."""

    TEXT = "text"
    INTEGER = "integer"
    FLAG = "flag"
    NUMBER = "number"
    CHOICE = "choice"
    OTHER = "other"


class OnDelete(Enum):
    """What becomes of an object when one that it refers to is deleted (B-61)."""

    REFUSE = "refuse"
    CLEAR = "clear"
    CASCADE = "cascade"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """Rules of one field of a body; `choices` are the numbers of an enum with their names."""

    name: str
    kind: FieldKind
    repeated: bool = False
    reference: TypeName | None = None
    on_delete: OnDelete = OnDelete.REFUSE
    required: bool = False
    immutable: bool = False
    server_owned: bool = False
    secret: bool = False
    minimum: int | None = None
    maximum: int | None = None
    max_length: int = MAX_TEXT
    choices: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TypeSpec:
    """Rules of one type. `json_schema` is None for the types of the product."""

    name: TypeName
    scope: NameScope = NameScope.ENVIRONMENT
    in_tenant: bool = False
    in_folder: bool = False
    fields: Mapping[str, FieldSpec] = field(default_factory=dict)
    json_schema: str | None = None

    @property
    def is_custom(self) -> bool:
        """True for a registered custom type, whose body is any structure that its schema allows."""
        return self.json_schema is not None


TypeTable = Mapping[TypeName, TypeSpec]
"""Every type of the product, by name."""


def custom_type(name: TypeName, *, json_schema: str) -> TypeSpec:
    """Give the rules of a registered custom type: in a folder or not, in the environment or in a tenant."""
    return TypeSpec(name, scope=NameScope.TENANT, in_tenant=True, in_folder=True, json_schema=json_schema)
