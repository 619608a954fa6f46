"""The keys of an election in etcd and their JSON values (`ha.md`, Coordination). Pure.

Unknown fields are ignored and missing ones have defaults, so that members of neighbouring versions understand
each other. A value that is no JSON object raises ValueError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confkit.election.types import (
    EtcdIdentity,
    History,
    InstanceName,
    LeaderRecord,
    LeaseId,
    Member,
    MemberState,
    Pause,
    ProcessFacts,
    State,
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one component of one cluster."""

    cluster: str
    component: str

    @property
    def identity(self) -> str:
        """The identity of etcd's data, shared by all components."""
        return f"/{self.cluster}/identity"

    @property
    def prefix(self) -> str:
        """What all other keys begin with."""
        return f"/{self.cluster}/{self.component}/"

    @property
    def leader(self) -> str:
        """The primary."""
        return f"{self.prefix}leader"

    @property
    def history(self) -> str:
        """How far the database went."""
        return f"{self.prefix}history"

    @property
    def pause(self) -> str:
        """Present while automatic switchover is paused."""
        return f"{self.prefix}failover"

    @property
    def tenure(self) -> str:
        """Written with every leader key and attached to nothing: its mod_revision is the last token's."""
        return f"{self.prefix}tenure"

    @property
    def members(self) -> str:
        """What the keys of all members begin with."""
        return f"{self.prefix}members/"

    def member(self, instance: InstanceName) -> str:
        """The key of one member; the Local Control Agent compares it with who registers."""
        return f"{self.members}{instance}"


def encode_leader(leader: LeaderRecord) -> bytes:
    """Give the value of the leader key."""
    return _dump(
        {
            "instance": leader.instance,
            "endpoints": list(leader.endpoints),
            "generation": leader.generation,
            "identity": leader.identity,
            "prior": leader.prior,
            "handed_over": leader.handed_over,
        }
    )


def decode_leader(value: bytes, *, mod_revision: int, lease: int) -> LeaderRecord:
    """Read the leader key."""
    found = _load(value)
    return LeaderRecord(
        instance=InstanceName(found["instance"]),
        endpoints=tuple(found.get("endpoints", ())),
        generation=int(found["generation"]),
        identity=EtcdIdentity(found["identity"]),
        mod_revision=mod_revision,
        lease=LeaseId(lease),
        prior=int(found.get("prior", 0)),
        handed_over=bool(found.get("handed_over", False)),
    )


def encode_member(member: Member) -> bytes:
    """Give the value of a member key."""
    facts, state = member.facts, member.state
    return _dump(
        {
            "instance": facts.instance,
            "role": member.role.value,
            "endpoints": list(facts.endpoints),
            "version": facts.version,
            "host": facts.host,
            "pid": facts.pid,
            "process_start_ticks": facts.process_start_ticks,
            "boot_id": facts.boot_id,
            "lease": member.lease,
            "applied_revision": state.applied_revision,
            "promotable": state.promotable,
            "database_reachable": state.database_reachable,
            "history": _history(state.history),
            "extra": dict(state.extra),
        }
    )


def decode_member(value: bytes, *, lease: int) -> Member:
    """Read a member key; the lease that counts is the one the key is attached to."""
    found = _load(value)
    facts = ProcessFacts(
        instance=InstanceName(found["instance"]),
        endpoints=tuple(found.get("endpoints", ())),
        version=found.get("version", ""),
        host=found.get("host", ""),
        pid=found.get("pid", 0),
        process_start_ticks=found.get("process_start_ticks", 0),
        boot_id=found.get("boot_id", ""),
    )
    history = found.get("history")
    state = MemberState(
        applied_revision=found.get("applied_revision", 0),
        promotable=found.get("promotable", False),
        database_reachable=found.get("database_reachable", False),
        history=History(history["history_id"], history["revision"]) if history else None,
        extra=found.get("extra", {}),
    )
    return Member(facts, State(found.get("role", State.FOLLOWER.value)), state, LeaseId(lease))


def encode_history(history: History) -> bytes:
    """Give the value of the history key."""
    return _dump(_history(history) or {})


def decode_history(value: bytes) -> History:
    """Read the history key."""
    found = _load(value)
    return History(found["history_id"], int(found["revision"]))


def encode_pause(pause: Pause) -> bytes:
    """Give the value of the failover key."""
    return _dump({"paused": True, "reason": pause.reason, "by": pause.by, "since_ms": pause.since_ms})


def decode_pause(value: bytes) -> Pause:
    """Read the failover key."""
    found = _load(value)
    return Pause(found.get("reason", ""), found.get("by", ""), int(found.get("since_ms", 0)))


def _history(history: History | None) -> dict[str, object] | None:
    return None if history is None else {"history_id": history.history_id, "revision": history.revision}


def _dump(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _load(value: bytes) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except ValueError as error:
        raise ValueError(f"a value in etcd is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("a value in etcd is no JSON object")
    return found
