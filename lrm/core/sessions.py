"""Sessions of use as they are reported, and the seats that they occupy.

Why: everything else in this package counts seats over seconds; this module says what a seat is and where the
seconds of a session begin and end. It does not promise that a session is true, only that it is well formed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

TenantName = NewType("TenantName", str)
ItemName = NewType("ItemName", str)
SourceId = NewType("SourceId", str)
SessionId = NewType("SessionId", str)
Seat = NewType("Seat", str)

MAX_NAME_CHARACTERS = 255
MAX_ATTRIBUTE_CHARACTERS = 4096
MS_PER_S = 1000
LATEST_MS = 253_402_300_799_999
"""The end of the year 9999, in milliseconds since 1970 UTC: what comes after it is a wrong unit, not a
time."""

Attributes = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""


@dataclass(frozen=True, slots=True)
class SessionFact:
    """One version of one session of use, as its source reported it.

    The key is (source, id); `version` orders what is said about it. Times are UTC in milliseconds since 1970;
    `end_ms` is None while the session runs, `last_seen_ms` is the last sign of life that its source saw.
    """

    source: SourceId
    id: SessionId
    version: int
    tenant: TenantName
    item: ItemName
    start_ms: int
    end_ms: int | None = None
    last_seen_ms: int | None = None
    place: str = ""
    device: str = ""
    person: str = ""
    attributes: Attributes = ()


def seat_of(*, place: str, device: str) -> Seat:
    """The seat that a session occupies: its place, or its device when it has no place.

    All devices of one place are one seat; places and devices are named apart, so that a device called like a
    place is not taken for it.
    """
    return Seat(f"place:{place}" if place else f"device:{device}")


def second_of(time_ms: int) -> int:
    """The whole second (since 1970, UTC) that a moment in milliseconds falls into; starts and ends are
    floored."""
    return time_ms // MS_PER_S


def fault_of(fact: SessionFact) -> str | None:
    """What makes a fact unusable, as a sentence for its sender, or None (`B-60`)."""
    return None if _is_usable(fact) else _fault_of_names(fact) or _fault_of_numbers(fact)


def _is_usable(fact: SessionFact) -> bool:
    """The same as no fault, in one look: it is asked of every fact that comes in."""
    return (
        fact.version >= 1
        and 0 < fact.start_ms <= LATEST_MS
        and (fact.end_ms is None or fact.start_ms <= fact.end_ms <= LATEST_MS)
        and 0 < len(fact.id) <= MAX_NAME_CHARACTERS
        and 0 < len(fact.tenant) <= MAX_NAME_CHARACTERS
        and 0 < len(fact.item) <= MAX_NAME_CHARACTERS
        and len(fact.place) <= MAX_NAME_CHARACTERS
        and len(fact.device) <= MAX_NAME_CHARACTERS
        and len(fact.person) <= MAX_NAME_CHARACTERS
        and bool(fact.place or fact.device)
        and (not fact.attributes or _attribute_characters(fact) <= MAX_ATTRIBUTE_CHARACTERS)
    )


def _attribute_characters(fact: SessionFact) -> int:
    return sum(len(name) + len(value) for name, value in fact.attributes)


def _fault_of_names(fact: SessionFact) -> str | None:
    names = {"id": fact.id, "tenant": fact.tenant, "item": fact.item}
    for name, value in names.items():
        if not value:
            return f"{name} is empty: name the {name} of the session"
    if not (fact.place or fact.device):
        return "place and device are both empty: name at least one, it is the seat that is counted"
    texts = {**names, "place": fact.place, "device": fact.device, "person": fact.person}
    for name, value in texts.items():
        if len(value) > MAX_NAME_CHARACTERS:
            return f"{name} has {len(value)} characters: at most {MAX_NAME_CHARACTERS} are stored"
    characters = _attribute_characters(fact)
    if characters > MAX_ATTRIBUTE_CHARACTERS:
        return f"attributes have {characters} characters: at most {MAX_ATTRIBUTE_CHARACTERS} are stored"
    return None


def _fault_of_numbers(fact: SessionFact) -> str | None:
    if fact.version < 1:
        return f"version is {fact.version}: versions begin at 1"
    if fact.start_ms <= 0:
        return f"start is {fact.start_ms} ms: it has to be later than 1970-01-01T00:00:00Z"
    if fact.end_ms is not None and fact.end_ms < fact.start_ms:
        return (
            f"end lies {fact.start_ms - fact.end_ms} ms before start: a session cannot end before it begins"
        )
    latest_ms = max(fact.start_ms, fact.end_ms or 0)
    if latest_ms > LATEST_MS:
        return f"{latest_ms} ms lies behind the year 9999: times are milliseconds since 1970"
    return None
