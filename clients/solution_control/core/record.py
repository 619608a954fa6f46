"""Who was primary last, for a server that has no database: B-40 asks for it.

Solution Control writes nothing, so that its fence is the leader key alone. The instance on record stands in the
history key of its component in etcd, which outlives every lease: its history id is the name of the last primary.
What it does not promise: a record from a primary that was lost before its first refresh.
"""

from __future__ import annotations

from confkit.election.types import ALLOWED, History, InstanceName, Permission, Refusal


def record_of(instance: InstanceName) -> History:
    """Give the record that a primary keeps of itself."""
    return History(instance, 0)


def may_be_primary(
    known: History | None, *, instance: InstanceName, ha_licensed: bool, take_over: bool
) -> Permission:
    """Apply B-40: without the HA feature only the instance on record, or the first ever, may become primary."""
    if ha_licensed or take_over or known is None or known.history_id == instance:
        return ALLOWED
    return Permission(
        Refusal.NOT_LICENSED,
        f"the license lacks ha_redundancy and {known.history_id} is on record as the last primary; "
        "load a license with the feature, start that server, or start this one with --take-over",
    )
