"""The fence row of a store and its rules: the database's half of "one writer at a time" (`ha.md`, Fencing in
the database).

etcd says who should write; this row enforces it. The rules are pure and the same for every store:
`fence_sql.py` keeps the row in SQLite and PostgreSQL, the usage store keeps it in DuckDB. What it does not
promise: that a refused server knows it is no longer primary before it asks, and anything about reads; the
lease guard is for these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from confkit.election.types import (
    ALLOWED,
    Epoch,
    EtcdIdentity,
    InstanceName,
    Permission,
    ProcessFacts,
    Refusal,
)

GENERATION_QUIET_MS = 3_600_000
"""Two changes of etcd's identity closer than this, in milliseconds, need an operator."""


@dataclass(frozen=True, slots=True)
class FenceRow:
    """The one row of table `fence`.

    `granted_ttl_s` is the lease of the holder, in seconds, as etcd granted it; `raised_generation_ms` is the
    wall time of the last change of generation, 0 for never; `failsafe` is the mark of a primary that writes
    without etcd.
    """

    token: Epoch
    granted_ttl_s: float
    etcd_identity: EtcdIdentity
    etcd_revision: int
    instance: InstanceName
    host: str = ""
    pid: int = 0
    process_start_ticks: int = 0
    boot_id: str = ""
    failsafe: bool = False
    history_id: str = ""
    raised_generation_ms: int = 0


class FenceCheck(Enum):
    """What the row says of a write under some token."""

    HOLDS = "holds"
    FENCED = "fenced"
    WENT_BACK = "went_back"


class RaiseCheck(Enum):
    """Whether a token may be put into the row."""

    MAY = "may"
    FENCED = "fenced"
    MUST_WAIT = "must_wait"


def may_raise(
    row: FenceRow | None,
    *,
    epoch: Epoch,
    waited_s: float,
    identity: EtcdIdentity | None = None,
    prior_revision: int | None = None,
) -> RaiseCheck:
    """Say whether `epoch` may be put into the row: only a greater token, and after a rebuilt etcd only when
    one TTL has passed.

    `waited_s` is the time, in seconds, since the key of this tenure was won. `identity` and `prior_revision`
    are what the winner knew of etcd: when the row has another identity, or a token later than the last tenure
    that etcd knew, etcd is not the one under which the row was written, so that its former holder may still
    serve; refusing sends the winner back to the start, where it raises the generation. B-50.
    """
    if row is None:
        return RaiseCheck.MAY
    if epoch <= row.token:
        return RaiseCheck.FENCED
    if identity is not None and identity != row.etcd_identity:
        return RaiseCheck.FENCED
    if prior_revision is not None and prior_revision < row.token.mod_revision:
        return RaiseCheck.FENCED
    if row.token.mod_revision == 0 and waited_s < row.granted_ttl_s:
        return RaiseCheck.MUST_WAIT
    return RaiseCheck.MAY


def check_write(row: FenceRow | None, *, epoch: Epoch, history_id: str) -> FenceCheck:
    """Judge a write: the row must hold exactly this token and this history.

    Any other token means that this server is no longer primary; its own token with another history id means
    that the database was restored under it (21-25126). A missing row went back too: whoever was promoted has
    written one. B-50, B-51.
    """
    if row is None:
        return FenceCheck.WENT_BACK
    if row.token != epoch:
        return FenceCheck.FENCED
    if row.history_id != history_id:
        return FenceCheck.WENT_BACK
    return FenceCheck.HOLDS


def may_take_role(
    row: FenceRow | None, *, instance: InstanceName, ha_licensed: bool, take_over: bool = False
) -> Permission:
    """Apply B-40: without the HA feature only the instance on record, or the first ever, may become primary.

    `take_over` is an operator's order by hand.
    """
    if ha_licensed or take_over or row is None or row.instance in ("", instance):
        return ALLOWED
    return Permission(
        Refusal.NOT_LICENSED,
        f"the license lacks ha_redundancy and {row.instance} is on record as the last primary; "
        "load a license with the feature, start that server, or start this one with --take-over",
    )


def etcd_was_rebuilt(
    row: FenceRow | None, *, identity: EtcdIdentity, revision: int, last_tenure: int
) -> bool:
    """Say whether etcd is not the one on record, or is behind it: its data was wiped, or restored from a
    snapshot.

    `last_tenure` is the mod_revision of the last tenure that etcd knows. A restored etcd whose revision has
    caught up with the one on record still knows no tenure as late as the row's token.
    """
    return row is not None and (
        row.etcd_identity != identity or revision < row.etcd_revision or last_tenure < row.token.mod_revision
    )


def may_raise_generation(row: FenceRow, *, now_ms: int, quiet_ms: int = GENERATION_QUIET_MS) -> bool:
    """Say whether the generation may be raised without an operator; `now_ms` and `quiet_ms` are wall time in
    milliseconds.
    """
    return row.raised_generation_ms == 0 or now_ms - row.raised_generation_ms >= quiet_ms


def raised_generation(row: FenceRow, *, identity: EtcdIdentity, revision: int, now_ms: int) -> FenceRow:
    """Give the row after a rebuilt etcd: the next generation at mod_revision 0; the holder's fields stay."""
    return replace(
        row,
        token=Epoch(row.token.generation + 1, 0),
        etcd_identity=identity,
        etcd_revision=revision,
        raised_generation_ms=now_ms,
    )


def raised(
    row: FenceRow | None,
    *,
    epoch: Epoch,
    facts: ProcessFacts,
    granted_ttl_s: float,
    identity: EtcdIdentity,
    etcd_revision: int,
    fresh_history_id: str,
) -> FenceRow:
    """Give the row that a promotion writes. Call it only when `may_raise` says MAY.

    The history id on record stays; `fresh_history_id` is for a store that never had one. The failsafe mark is
    cleared.
    """
    return FenceRow(
        token=epoch,
        granted_ttl_s=granted_ttl_s,
        etcd_identity=identity,
        etcd_revision=etcd_revision,
        instance=facts.instance,
        host=facts.host,
        pid=facts.pid,
        process_start_ticks=facts.process_start_ticks,
        boot_id=facts.boot_id,
        failsafe=False,
        history_id=row.history_id if row is not None and row.history_id else fresh_history_id,
        raised_generation_ms=0 if row is None else row.raised_generation_ms,
    )
