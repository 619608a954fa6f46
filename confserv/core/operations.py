"""What a client may ask to be done to objects, as the core knows it: create, update, delete, in
transactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from confserv.core.log import RequestKey
from confserv.core.objects import NOTHING, ConfigObject, Dbid, TypeName

MAX_OPERATIONS = 1000
"""Most operations of one transaction."""


@dataclass(frozen=True, slots=True)
class Target:
    """Names one object: by `dbid`, or by `name` in the scope of its type."""

    type: TypeName
    dbid: Dbid | None = None
    name: str = ""
    tenant: Dbid = NOTHING
    folder: Dbid = NOTHING

    def __str__(self) -> str:
        return f"{self.type} {self.dbid if self.dbid is not None else repr(self.name)}"


@dataclass(frozen=True, slots=True)
class Create:
    """Creates an object. A reference of -N is the object that operation N of the same transaction made.

    `dbid` is for what the server makes itself; it must be free.
    """

    config_object: ConfigObject
    dbid: Dbid | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Changes what `mask` names of an object, everything when it is empty. `expected_revision` 0 means any."""

    target: Target
    config_object: ConfigObject
    mask: tuple[str, ...] = ()
    expected_revision: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes an object. `expected_revision` 0 means any."""

    target: Target
    expected_revision: int = 0


Operation: TypeAlias = Create | Update | Delete


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """One transaction as it was asked for.

    `actor` is the principal; `request_id` a UUIDv7; `content_hash` tells a repetition from another request
    under the same id.
    """

    actor: str
    request_id: str
    content_hash: bytes
    reason: str
    operations: tuple[Operation, ...]

    @property
    def key(self) -> RequestKey:
        """The request id in the scope of its principal."""
        return RequestKey(self.actor, self.request_id)
