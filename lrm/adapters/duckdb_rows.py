"""Facts, batches and entitlement lines as columns and rows of the usage store, and back.

Why apart: it is all naming and order, and nothing is decided here.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from lrm.core.entitlement import EntitlementLine, ItemKind
from lrm.core.ingest import Plan
from lrm.core.sessions import ItemName, SessionFact, SessionId, SourceId, TenantName, seat_of


def id_order(id_: str) -> int:
    """The first eight bytes of an id as a number: ordered as ids are, as far as it reaches."""
    return int.from_bytes(id_.encode()[:8].ljust(8, b"\0"))


def fact_table(numbered: list[tuple[int, SessionFact]]) -> pa.Table:
    """Facts with their numbers and the order of their ids as columns."""
    facts = [fact for _, fact in numbered]
    return pa.table(
        {
            "number": pa.array([number for number, _ in numbered], pa.int64()),
            "id_order": pa.array([id_order(fact.id) for fact in facts], pa.uint64()),
            "source": pa.array([fact.source for fact in facts], pa.string()),
            "id": pa.array([fact.id for fact in facts], pa.string()),
            "version": pa.array([fact.version for fact in facts], pa.int32()),
            "tenant": pa.array([fact.tenant for fact in facts], pa.string()),
            "item": pa.array([fact.item for fact in facts], pa.string()),
            "seat": pa.array([seat_of(place=fact.place, device=fact.device) for fact in facts], pa.string()),
            "place": pa.array([fact.place for fact in facts], pa.string()),
            "device": pa.array([fact.device for fact in facts], pa.string()),
            "person": pa.array([fact.person for fact in facts], pa.string()),
            "start_ms": pa.array([fact.start_ms for fact in facts], pa.int64()),
            "end_ms": pa.array([fact.end_ms for fact in facts], pa.int64()),
            "last_seen_ms": pa.array([fact.last_seen_ms for fact in facts], pa.int64()),
            "attributes": pa.array([_attributes_text(fact) for fact in facts], pa.string()),
        }
    )


def _attributes_text(fact: SessionFact) -> str:
    return json.dumps(fact.attributes) if fact.attributes else ""


def stored_fact(values: tuple[Any, ...]) -> tuple[int, SessionFact]:
    """The row number and the fact that `KNOWN_FACTS` has found."""
    (
        row,
        source,
        id_,
        version,
        tenant,
        item,
        _seat,
        place,
        device,
        person,
        start_ms,
        end_ms,
        seen_ms,
        attributes,
    ) = values
    return row, SessionFact(
        source=SourceId(source),
        id=SessionId(id_),
        version=version,
        tenant=TenantName(tenant),
        item=ItemName(item),
        place=place,
        device=device,
        person=person,
        start_ms=start_ms,
        end_ms=end_ms,
        last_seen_ms=seen_ms,
        attributes=tuple((name, value) for name, value in json.loads(attributes)) if attributes else (),
    )


def batch_table(plan: Plan, *, received_ms: int) -> pa.Table:
    """The batches that a plan takes as columns of table `batch`."""
    taken = plan.taken
    return pa.table(
        {
            "source": pa.array([batch.source for batch in taken], pa.string()),
            "sequence": pa.array([batch.sequence for batch in taken], pa.int64()),
            "digest": pa.array([batch.digest for batch in taken], pa.binary()),
            "sessions": pa.array([len(batch.facts) for batch in taken], pa.int32()),
            "ingest_number": pa.array([plan.ingest_number] * len(taken), pa.int64()),
            "received_ms": pa.array([received_ms] * len(taken), pa.int64()),
        }
    )


def line_values(line: EntitlementLine) -> list[Any]:
    """A line as the values of table `entitlement_line`, behind revision and position."""
    return [
        line.item,
        line.quantity,
        line.burst,
        line.kind.value,
        line.unit,
        line.order_number,
        line.description,
        line.valid_from_s,
        line.valid_until_s,
    ]


def entitlement_line(values: list[Any]) -> EntitlementLine:
    """The line that `line_values` made."""
    item, quantity, burst, kind, unit, order_number, description, valid_from_s, valid_until_s = values
    return EntitlementLine(
        item=ItemName(item),
        quantity=quantity,
        order_number=order_number,
        description=description,
        burst=burst,
        kind=ItemKind(kind),
        unit=unit,
        valid_from_s=valid_from_s,
        valid_until_s=valid_until_s,
    )
