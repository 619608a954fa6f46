"""Builds objects, requests and servers' memory for tests, on the product's own table of types."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping

from confkit.election.types import Epoch
from confserv.adapters.codec import ProtobufCodec
from confserv.adapters.descriptors import type_table
from confserv.adapters.json_schema import JsonSchemas
from confserv.core.log import LogEntry
from confserv.core.objects import ENVIRONMENT, NOTHING, ConfigObject, Dbid, Options, TypeName, Value
from confserv.core.operations import Create, Delete, Operation, Target, Update, WriteRequest
from confserv.core.requests import new_request_id
from confserv.core.rules import Rules

TYPES = type_table()
CODEC = ProtobufCodec(TYPES)
RULES = Rules(TYPES, CODEC, JsonSchemas())
NOW_MS = 1_795_000_000_000
EPOCH = Epoch(1, 10)
HISTORY = "history-1"

_serial = itertools.count(1)


def request_id(*, at_ms: int = NOW_MS) -> str:
    """Make a request id that no other call has made."""
    return new_request_id(now_ms=at_ms, random=next(_serial).to_bytes(10, "big"))


def an_object(
    type: str,
    name: str = "",
    *,
    tenant: int = 0,
    folder: int = 0,
    options: Options | None = None,
    annex: Options | None = None,
    **body: Value,
) -> ConfigObject:
    """Make an object as a client would send it."""
    return ConfigObject(
        type=TypeName(type),
        name=name,
        tenant=Dbid(tenant),
        folder=Dbid(folder),
        options=options or {},
        annex=annex or {},
        body=body,
    )


def create(type: str, name: str, **fields: object) -> Create:
    """Ask for an object."""
    return Create(an_object(type, name, **fields))  # type: ignore[arg-type]


def update(
    type: str,
    which: int | str,
    given: ConfigObject | None = None,
    *mask: str,
    expected_revision: int = 0,
    tenant: int = NOTHING,
) -> Update:
    """Ask for a change of an object, by dbid or name."""
    return Update(target(type, which, tenant=tenant), given or an_object(type), mask, expected_revision)


def delete(type: str, which: int | str, *, expected_revision: int = 0, tenant: int = NOTHING) -> Delete:
    """Ask for a deletion, by dbid or name."""
    return Delete(target(type, which, tenant=tenant), expected_revision)


def target(type: str, which: int | str, *, tenant: int = NOTHING) -> Target:
    """Name an object, by dbid or name."""
    if isinstance(which, int):
        return Target(TypeName(type), dbid=Dbid(which))
    return Target(TypeName(type), name=which, tenant=Dbid(tenant))


def request(
    *operations: Operation,
    actor: str = "administrator/ada",
    id: str | None = None,
    content: str | None = None,
    reason: str = "",
) -> WriteRequest:
    """Ask for a transaction; `content` stands for what its hash is made of."""
    text = repr(operations) if content is None else content
    return WriteRequest(actor, id or request_id(), hashlib.sha256(text.encode()).digest(), reason, operations)


def environment() -> Create:
    """Ask for tenant 1, which everything else belongs to."""
    return Create(an_object("Tenant", "Environment"), dbid=ENVIRONMENT)


def bodies(entry: LogEntry) -> list[Mapping[str, Value]]:
    """Give the bodies of an answer's objects."""
    return [CODEC.decode(data).body for data in entry.results]
