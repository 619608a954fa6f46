"""What the suites of the usage store speak of: a source, its sessions, and tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from confkit.election.types import Epoch, EtcdIdentity, InstanceName
from confkit.fence import FenceRow
from lrm.core.ingest import Batch
from lrm.core.sessions import ItemName, SessionFact, SessionId, SourceId, TenantName

DESK = SourceId("desk")
ACME = TenantName("acme")
VOICE = ItemName("seat_voice")
DAY_MS = 86_400_000
RECEIVED_MS = 20_000 * DAY_MS


def session(number: int, start_ms: int, end_ms: int | None, **changes: object) -> SessionFact:
    """A session of acme's seat_voice on a device of its own."""
    fact = SessionFact(
        source=DESK,
        id=SessionId(f"s-{number}"),
        version=1,
        tenant=ACME,
        item=VOICE,
        start_ms=start_ms,
        end_ms=end_ms,
        device=f"d-{number}",
    )
    return replace(fact, **changes)


def batch(sequence: int, *facts: SessionFact, source: SourceId = DESK) -> Batch:
    """A batch whose digest says what is in it."""
    return Batch(source, sequence, repr(facts).encode(), facts)


def row(revision: int, *, generation: int = 1, instance: str = "lrm-1") -> FenceRow:
    """The fence row of a tenure."""
    return FenceRow(
        token=Epoch(generation, revision),
        granted_ttl_s=5.0,
        etcd_identity=EtcdIdentity("etcd"),
        etcd_revision=revision,
        instance=InstanceName(instance),
        host="host",
        pid=17,
        process_start_ticks=4,
        boot_id="boot",
        history_id="history",
    )


def becoming(new: FenceRow) -> Callable[[FenceRow | None], FenceRow]:
    """Raise the row to `new`, whatever it is."""
    return lambda _found: new
