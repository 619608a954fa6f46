"""The objects of the configuration: decoded for those who change them, serialized with indexes for all
others.

A server holds every object as bytes, beside what it searches by (`Record`); it decodes one (`ConfigObject`)
only to change it. A `Codec` turns one into the other. What this does not promise: that an object obeys any
rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import NamedTuple, NewType, Protocol, TypeAlias

TypeName = NewType("TypeName", str)
"""Name of a type: Tenant, Host, …, or of a custom type, which begins with a lowercase letter."""

Dbid = NewType("Dbid", int)
"""Number of an object, unique in its type, never used again."""

ENVIRONMENT = Dbid(1)
"""The tenant that exists from the first start and owns what belongs to no other."""

NOTHING = Dbid(0)
"""Refers to no object; as a folder, the root of a type."""

Value: TypeAlias = "str | int | float | bool | bytes | tuple[Value, ...] | Mapping[str, Value] | None"
"""A value of a body: scalars, enums as their numbers, repeated fields as tuples, structures of custom
types."""

Options: TypeAlias = Mapping[str, Mapping[str, str]]
"""Section → option → value."""


class Key(NamedTuple):
    """What an object is known by for ever."""

    type: TypeName
    dbid: Dbid

    def __str__(self) -> str:
        return f"{self.type} {self.dbid}"


class State(IntEnum):
    """Whether an object is in use; numbers as on the wire."""

    UNSPECIFIED = 0
    ENABLED = 1
    DISABLED = 2


class NameScope(Enum):
    """Where a name must be unique (B-61)."""

    ENVIRONMENT = "environment"
    TENANT = "tenant"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class ConfigObject:
    """An object, decoded. `body` has the fields that are set; `revision` is of the transaction that
    changed it."""

    type: TypeName
    name: str = ""
    dbid: Dbid = NOTHING
    tenant: Dbid = NOTHING
    folder: Dbid = NOTHING
    state: State = State.UNSPECIFIED
    revision: int = 0
    options: Options = field(default_factory=dict)
    annex: Options = field(default_factory=dict)
    body: Mapping[str, Value] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Type and number."""
        return Key(self.type, self.dbid)


class Reference(NamedTuple):
    """A field, by name, that refers to an object; `tenant` and `folder` are the envelope's."""

    target: Key
    field: str


@dataclass(frozen=True, slots=True)
class Record:
    """An object as it is kept: bytes, and what is searched by.

    `references` are all that the object refers to, but not the environment as its tenant.
    `serves_configuration` marks an Application of type Configuration Server, whose reads carry the option of
    B-6.
    """

    key: Key
    name: str
    tenant: Dbid
    folder: Dbid
    revision: int
    data: bytes
    references: tuple[Reference, ...] = ()
    serves_configuration: bool = False

    def __str__(self) -> str:
        return f"{self.key.type} {self.name!r} ({self.key.dbid})"


class Codec(Protocol):
    """Turns objects into bytes and back; pure."""

    def encode(self, config_object: ConfigObject) -> Record:
        """Serialize an object, and index it."""

    def decode(self, data: bytes) -> ConfigObject:
        """Read what `encode` wrote."""

    def index(self, data: bytes) -> Record:
        """Index what `encode` wrote."""


class NameKey(NamedTuple):
    """A name in its scope: `tenant` and `folder` are 0 where the scope does not look at them."""

    type: TypeName
    tenant: Dbid
    folder: Dbid
    name: str


def name_key(scope: NameScope, *, type: TypeName, tenant: Dbid, folder: Dbid, name: str) -> NameKey:
    """Place a name in the scope of its type (B-61)."""
    match scope:
        case NameScope.ENVIRONMENT:
            return NameKey(type, NOTHING, NOTHING, name)
        case NameScope.TENANT:
            return NameKey(type, tenant, NOTHING, name)
        case NameScope.FOLDER:
            return NameKey(type, tenant, folder, name)
